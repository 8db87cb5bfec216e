"""train.py killed at random moments, again and again, must end as a run that nobody touched, bit for bit."""

import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from faults.attempts import Row
from tests.training.compare import assert_same_run
from tests.training.conftest import TINY, write_pair
from training.options import TrainOptions

COUNT = 30  # kills of each configuration
PRELOADED = ["training.loop", "data.transforms"]
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "one process": {},
    "two that load pictures": {"num_workers": 2},
    "Muon, accumulated batches": {"optimizer": "muon", "grad_accumulation": 2, "batch_size": 1},
    "scenes as they are rendered": {"dataroot": None, "val_scenes": 2, "scenes_per_epoch": 8},
}


def run(seed: int, count: int) -> list[Row]:
    """A row for each configuration, `count` kills each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(seed)
        for split, first in (("train", 1), ("test", 14001)):
            for number in range(first, first + 6):
                write_pair(Path(folder) / "pairs" / split, f"{number:05d}", rng)
        for name, changes in CONFIGURATIONS.items():
            rows.append(_row(context, name, changes, Path(folder), random.Random(f"{seed} {name}"), count))
    return rows


def _row(
    context: ForkServerContext, name: str, changes: dict, folder: Path, rng: random.Random, count: int
) -> Row:
    whole, parts = folder / f"{name} whole", folder / f"{name} parts"
    began = time.monotonic()
    if _ended(_start(context, folder, whole, changes)) != 0:
        return Row(f"train.py killed: {name}", 1, 1, "the run that nobody touched failed")
    seconds = time.monotonic() - began
    kills, failed, detail = 0, 0, "the same weights, optimisers, best checkpoints and log every time"
    while kills < count:
        process = _start(context, folder, parts, changes)
        process.join(rng.uniform(0, seconds))
        if process.is_alive():
            process.kill()
            process.join()
            kills += 1
            if kills < count:
                continue
            process = _start(context, folder, parts, changes)
        problem = _problem(_ended(process), whole, parts)
        if problem:
            failed, detail = failed + 1, problem
        shutil.rmtree(parts)
    return Row(f"train.py killed (SIGKILL) at a random moment: {name}", kills, failed, detail)


def _start(context: ForkServerContext, folder: Path, run: Path, changes: dict) -> BaseProcess:
    process = context.Process(target=_work, args=(_options(folder, run, changes),))
    process.start()
    return process


def _ended(process: BaseProcess) -> int | None:
    process.join()
    return process.exitcode


def _work(options: TrainOptions) -> None:
    import torch

    from training.loop import train
    from utils.errors import run as ended

    torch.set_num_threads(1)
    sys.stderr = open("/dev/null", "w")  # noqa: SIM115 (until the process ends)
    sys.exit(ended(lambda: train(options)))


def _options(folder: Path, run: Path, changes: dict) -> TrainOptions:
    values = {
        "runs_name": str(run),
        "dataroot": str(folder / "pairs"),
        "val_dataroot": [str(folder / "pairs" / "test")],
        "model": "aha-lite",
        "hyperparameters": TINY,
        "size": 32,
        "batch_size": 2,
        "max_steps": 12,
        "val_every": 3,
        "checkpoint_every": 2,
        "keep_checkpoints": 2,
        "log_every": 1,
        "ema_decay": 0.9,
        "lambda_gan": 0.0,
        "lambda_perceptual": 0.0,
        "num_workers": 0,
        "tracker": ["none"],
        "pictures": False,
        "curves": False,
        "deterministic": True,
        "device": "cpu",
    }
    return TrainOptions(**(values | changes))


def _problem(code: int | None, whole: Path, parts: Path) -> str:
    if code != 0:
        return f"the same command again ended with exit code {code}"
    try:
        assert_same_run(whole, parts)
    except AssertionError as error:
        return f"another end: {str(error).splitlines()[0]}"
    return ""
