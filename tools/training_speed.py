"""Seconds and memory of one training step: our loop and path, and a plain loop over the plain path.

The batch lies on the device: decoding pictures is not timed. Ours seeds, logs and averages losses;
plain is forward, backward, step, in fp32, over the same weights, losses, optimisers and samples
(tools/plain_path.py). Neither keeps a moving average of the weights.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recipes.presets import resolve
from tools.measurement import Measurement, count_operations, peak_mebibytes, timed
from tools.memory import resident_mebibytes
from tools.plain_path import make_plain
from training.build import build_run
from training.distributed import Distributed
from training.loop import TrainingLoop
from training.options import TrainOptions
from training.state import Run
from training.stream import training_loader
from utils.image_files import write_rgb
from utils.signals import StopSignals

PAIR_SIDE = 200  # pixels, as SHIQ


def measure_training_step(
    model: str, size: tuple[int, int], batch: int, precision: str, path: str, device: str, runs: int
) -> Measurement:
    """One measurement; called in a process of its own. `size` is (width, height), both alike; `path` ours or
    plain."""
    result = Measurement("training step", model, path, f"{size[0]}x{size[1]}", batch, precision)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder / "train", 2 * batch)
        before = resident_mebibytes()
        options = training_options(
            folder,
            model=model,
            size=size[0],
            batch_size=batch,
            precision=precision,
            device=device,
            runs_name=str(folder / "run"),
            log_every=1,
            # What docs/RESULTS.md advises: in fp32 the backward pass is faster without.
            channels_last=path == "ours" and precision != "fp32",
        )
        run = build_run(resolve(options), Distributed(device, precision))
        step = _plain_step(run) if path == "plain" else _our_step(run)
        result.loss = _first_loss(run)
        result.seconds = timed(step, run.distributed.device, runs)
        result.peak_mebibytes = peak_mebibytes(before, run.distributed.device)
        result.operations = count_operations(step)
    return result


def training_options(folder: Path, **changes: Any) -> TrainOptions:
    """Options of a run on the pairs in `folder` that needs no downloads and never validates."""
    values = {
        "dataroot": str(folder),
        "backbone_weights": "none",
        "perceptual_weights": "random",
        "num_workers": 0,
        "ema_decay": 0.0,
        "tracker": ["none"],
        "pictures": False,
        "val_share": 0.01,
        "max_steps": 10**6,
    }
    return TrainOptions(**(values | changes))


def write_pairs(folder: Path, count: int) -> None:
    """`count` pairs of SHIQ's layout and size: coloured squares, and the same 0.2 brighter."""
    rng = np.random.default_rng(0)
    for number in range(count):
        diffuse = np.kron(rng.random((10, 10, 3)) * 0.7, np.ones((PAIR_SIDE // 10, PAIR_SIDE // 10, 1)))
        write_rgb(folder / f"{number:05d}_A.png", diffuse + 0.2)
        write_rgb(folder / f"{number:05d}_D.png", diffuse)


def _our_step(run: Run) -> Callable[[], None]:
    loop = TrainingLoop(run, StopSignals())
    loop.checkpoints.open()
    loop.logger.open()
    parts = [_first_batch(run)]

    def step() -> None:
        loop.step(parts)
        loop.log()

    return step


def _plain_step(run: Run) -> Callable[[], None]:
    for network in run.recipe.networks.values():
        make_plain(network.bare)
    batch = _first_batch(run)

    def step() -> None:
        for name, loss, _ in run.recipe.phases(batch):
            loss.backward()
            optimiser = run.recipe.optimisers[name]
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    return step


def _first_loss(run: Run) -> float:
    """Of the first batch and phase, before any step: both paths start from the same weights."""
    batch = _first_batch(run)
    torch.manual_seed(0)
    with torch.no_grad():
        for network in run.recipe.networks.values():
            network.bare.train()
        _, loss, _ = next(run.recipe.phases(batch))
    return float(loss)


def _first_batch(run: Run) -> dict[str, Any]:
    """On the run's device."""
    batch = next(iter(training_loader(run.samples, run.options, run.distributed, 0, run.total)))
    device = run.distributed.device
    return {key: value.to(device) if torch.is_tensor(value) else value for key, value in batch.items()}
