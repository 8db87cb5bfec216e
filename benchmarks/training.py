"""What the training loop costs beside a plain one, and how fast it is.

    python -m benchmarks.training                                  # overhead: aha at 224, batch 3
    python -m benchmarks.training --mode throughput --device cuda --precision bf16 --batch_sizes 16 32 64

`overhead` runs the same network, losses and optimisers twice in a process, step by step in turn: our loop
(seeding, checks, logging, averages of losses) and a plain one (forward, backward, step). CPU time on a CPU,
wall time on a GPU; the median over steps. Peak memory is that of a process that does one of the two only.
The moving average of the weights is no part of the comparison; it is measured as a third row.
`throughput` prints images a second and the share of time waiting for data for each batch size, with real
loading: a data set of --pairs pairs is written to a temporary folder and read by --num_workers.
"""

import json
import multiprocessing
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from recipes.presets import resolve
from training.build import build_run
from training.distributed import Distributed
from training.loop import TrainingLoop, train
from training.options import TrainOptions
from training.stream import training_loader
from utils import cli
from utils.atomic import write_text
from utils.errors import UserError
from utils.image_files import write_rgb
from utils.signals import StopSignals

PAIR_SIDE = 200  # pixels, as SHIQ


@dataclass
class Options:
    """Options of the benchmark."""

    mode: str = "overhead"
    """overhead or throughput"""
    model: str = "aha"
    """network"""
    size: int = 224
    """side in pixels"""
    batch_sizes: list[int] = field(default_factory=lambda: [3])
    """batch sizes; overhead takes the first"""
    steps: int = 7
    """steps that are measured, after one that is not"""
    device: str = "cpu"
    """cpu or cuda"""
    precision: str = "fp32"
    """fp32, bf16 or fp16"""
    num_workers: int = 0
    """processes that load; throughput on a GPU needs several"""
    pairs: int = 64
    """pairs of the temporary data set"""
    out: Path | None = None
    """also write the numbers to this JSON file, e.g. benchmarks/training_MACHINE.json"""


def main(argv: list[str] | None = None) -> int:
    options = cli.parse(Options, argv, prog="python -m benchmarks.training", description=__doc__)
    modes = {"overhead": overhead, "throughput": throughput}
    if options.mode not in modes:
        raise UserError(f"--mode {options.mode}: choose overhead or throughput")
    with tempfile.TemporaryDirectory() as folder:
        _write_pairs(Path(folder) / "train", options.pairs)
        result = modes[options.mode](options, Path(folder))
    result |= {
        "machine": _machine(options.device),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        write_text(options.out, text + "\n")
    return 0


def overhead(options: Options, folder: Path) -> dict[str, Any]:
    """Seconds a step and peak memory of our loop, a plain one, and ours with a moving average."""
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    steps = _steps(options, folder, ema=False)
    for round_ in range(options.steps + 1):
        for name in seconds:
            spent = _timed(steps[name], options.device)
            if round_:
                seconds[name].append(spent)
    average = _steps(options, folder, ema=True)["ours"]
    average()
    seconds["ours, with a moving average"] = [_timed(average, options.device) for _ in range(options.steps)]
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = [a / b for a, b in zip(seconds["ours"], seconds["plain"], strict=True)]
    return {
        "what": f"{options.model} at {options.size}, batch {options.batch_sizes[0]}, {options.precision}",
        "seconds_per_step": medians,
        "overhead": statistics.median(ratios) - 1,
        "peak_bytes": {name: _alone(_peak, options, folder, name) for name in ("ours", "plain")},
    }


def throughput(options: Options, folder: Path) -> dict[str, Any]:
    """Images a second of whole training runs, data loading included, for each batch size."""
    rows = []
    for batch_size in options.batch_sizes:
        steps = options.steps + 1
        train(
            _training(
                options,
                folder,
                batch_size=batch_size,
                runs_name=str(folder / f"run{batch_size}"),
                max_steps=2 * steps,
                log_every=steps,
                val_every=10**9,
                val_size=options.size,
            )
        )
        # The first line covers the start of workers and the search for fast kernels, the second does not.
        lines = (folder / f"run{batch_size}" / "timing.jsonl").read_text().splitlines()
        rows.append({"batch_size": batch_size, **json.loads(lines[-1])})
    return {"what": f"{options.model} at {options.size}, {options.precision}", "rows": rows}


def _training(options: Options, folder: Path, **changes: Any) -> TrainOptions:
    values = {
        "dataroot": str(folder),
        "model": options.model,
        "backbone_weights": "none",
        "perceptual_weights": "random",
        "size": options.size,
        "batch_size": options.batch_sizes[0],
        "device": options.device,
        "precision": options.precision,
        "num_workers": options.num_workers,
        "ema_decay": 0.0,
        "tensorboard": False,
        "val_share": 0.01,
        "max_steps": 10**6,
    }
    return TrainOptions(**(values | changes))


def _steps(options: Options, folder: Path, ema: bool) -> dict[str, Callable[[], None]]:
    """One step of our loop, and one of a plain loop over the same networks, losses and optimisers."""
    changes = {"runs_name": str(folder / f"run{ema}"), "log_every": 1, "tensorboard": True}
    chosen = resolve(_training(options, folder, ema_decay=0.999 if ema else 0.0, **changes))
    run = build_run(chosen, Distributed(options.device, options.precision))
    loop = TrainingLoop(run, StopSignals())
    loop.checkpoints.open(None)
    loop.logger.open()
    batches = iter(training_loader(run.samples, chosen, run.distributed, 0, run.total))

    def ours() -> None:
        loop.step(loop.next_batches(batches))
        loop.log()

    def plain() -> None:
        batch = {
            key: value.to(run.distributed.device) if torch.is_tensor(value) else value
            for key, value in next(batches).items()
        }
        for name, loss, _ in run.recipe.phases(batch):
            loss.backward()
            optimiser: torch.optim.Optimizer = run.recipe.optimisers[name]
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    if options.precision != "fp32":
        plain = _autocast(plain, options, run.model)
    return {"ours": ours, "plain": plain}


def _autocast(step: Callable[[], None], options: Options, model: nn.Module) -> Callable[[], None]:
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}[options.precision]

    def wrapped() -> None:
        with torch.autocast(options.device, kind):
            step()

    return wrapped


def _timed(step: Callable[[], None], device: str) -> float:
    if device == "cpu":
        began = time.process_time()
        step()
        return time.process_time() - began
    torch.cuda.synchronize()
    began = time.perf_counter()
    step()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def _peak(options: Options, folder: Path, which: str) -> float:
    step = _steps(options, folder, ema=False)[which]
    for _ in range(2):
        step()
    if options.device == "cuda":
        return float(torch.cuda.max_memory_allocated())
    # Not getrusage: what it says of a child includes its parent's peak.
    status = Path("/proc/self/status").read_text()
    return 1024.0 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def _alone(function: Callable, *arguments: Any) -> Any:
    """The function's result from a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def _write_pairs(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(count):
        diffuse = np.kron(rng.random((10, 10, 3)) * 0.7, np.ones((PAIR_SIDE // 10, PAIR_SIDE // 10, 1)))
        write_rgb(folder / f"{number:05d}_A.png", diffuse + 0.2)
        write_rgb(folder / f"{number:05d}_D.png", diffuse)


def _machine(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    model = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ""
    )
    return model.partition(":")[2].strip() or platform.processor()


if __name__ == "__main__":
    sys.exit(cli.run(main))
