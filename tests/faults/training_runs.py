"""train.py killed, again and again, must end as a run that nobody touched, bit for bit.

A third of the kills come at a random moment, a third just before an operation on a file of the run (opening a
temporary file, renaming it over its place, linking, deleting), a third while a file is being written.
"""

import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file

from tests.faults.attempts import Row, scratch
from tests.faults.killing import Command, Kill, commands, measured
from tests.training.compare import assert_equal, assert_same_run
from tests.training.conftest import TINY, write_pair
from training.options import TrainOptions
from utils.folder_lock import locked
from weights.pickled import read_pickled

COUNT = 30  # kills of each configuration
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "one process": {},
    "two that load pictures": {"num_workers": 2},
    "Muon, accumulated batches": {"optimizer": "muon", "grad_accumulation": 2, "batch_size": 1},
    "scenes as they are rendered": {"dataroot": None, "val_scenes": 2, "scenes_per_epoch": 8},
    "two processes train": {"processes": 2, "max_steps": 6},
}
SAME = "weights, optimisers, best checkpoints and log as of a run that nobody touched"


def run(seed: int, count: int) -> list[Row]:
    """A row for each configuration, `count` kills each."""
    rows = []
    with (
        scratch() as folder,
        commands("tests.faults.training_runs", "training.loop", "data.transforms") as start,
    ):
        write_pairs(folder / "pairs", np.random.default_rng(seed))
        for name, changes in CONFIGURATIONS.items():
            changes = dict(changes)
            begin = partial(start, processes=changes.pop("processes", 1))
            rng = random.Random(f"{seed} {name}")
            row = _Kills(begin, changes, folder, rng).row(count)
            rows.append(Row(f"train.py killed (SIGKILL): {name}", *row))
        others = _Kills(start, {}, folder, random.Random(seed))
        few = max(1, count // 5)
        rows.append(Row("two train.py at one run folder", *others.shared(few)))
        rows.append(Row("train.py: files that may not grow, as on a full disk", *others.without_room(few)))
    return rows


def write_pairs(root: Path, rng: np.random.Generator) -> None:
    """A data set of six pairs to train on and six to validate on, 64 pixels a side."""
    for split, first in (("train", 1), ("test", 14001)):
        for number in range(first, first + 6):
            write_pair(root / split, f"{number:05d}", rng)


class _Kills:
    """Kills of one configuration."""

    def __init__(self, start: Callable[..., Command], changes: dict, folder: Path, rng: random.Random):
        self.start, self.changes, self.rng = start, changes, rng
        self.pairs, self.whole, self.parts = folder / "pairs", folder / "whole", folder / "parts"

    def row(self, count: int) -> tuple[int, int, str]:
        """How many were tried, how many failed, and what happened."""
        usual = measured(self.start, self._main(self.whole), self.whole)
        if usual is None:
            return count, count, "the run that nobody touched failed"
        kills, ends, problems, begun = 0, 0, [], []
        while kills < count:
            command = self._begin(usual.kill(kills, self.rng))
            begun.append(command)
            if command.killed(self.rng):
                kills += 1
                if kills < count:
                    continue
                command = self._begin()
            ends += 1
            problems += self._problems(command.wait())
            shutil.rmtree(self.parts, ignore_errors=True)
        if sum(not command.orphans_end() for command in begun):
            problems.append("processes of a killed run went on")
        shutil.rmtree(self.whole)
        return kills, len(problems), problems[0] if problems else f"finished {ends} times, with {SAME}"

    def shared(self, count: int) -> tuple[int, int, str]:
        """The same for a folder in which another process trains."""
        with locked(self.parts):
            codes = [self._begin().wait() for _ in range(count)]
        shutil.rmtree(self.parts, ignore_errors=True)
        failed = sum(code != 2 for code in codes)
        return (
            count,
            failed,
            f"exit codes {codes}" if failed else "the second one is refused with exit code 2",
        )

    def without_room(self, count: int) -> tuple[int, int, str]:
        """The same for runs without room for their files, and then with it."""
        if self.start(self._main(self.whole), folder=self.whole).wait() != 0:
            return count, count, "the run that nobody touched failed"
        most, problems = (self.whole / "last.pt").stat().st_size, []
        for _ in range(count):
            code = self._begin(room=self.rng.randint(most // 100, most)).wait()
            if code != 1:
                problems.append("it hung" if code is None else f"ended with exit code {code}")
            problems += self._problems(self._begin().wait())
            shutil.rmtree(self.parts, ignore_errors=True)
        return count, len(problems), problems[0] if problems else f"exit code 1; with room again, {SAME}"

    def _main(self, folder: Path) -> Callable[[], int]:
        return partial(train_tiny, options(folder, self.pairs, **self.changes))

    def _begin(self, kill: Kill | None = None, **more: Any) -> Command:
        return self.start(self._main(self.parts), folder=self.parts, kill=kill, **more)

    def _problems(self, code: int | None) -> list[str]:
        if code != 0:
            return [f"the same command again {'hung' if code is None else f'ended with exit code {code}'}"]
        try:
            assert_same_run(self.whole, self.parts)
            for path in self.whole.glob("best*"):
                read = load_file if path.suffix == ".safetensors" else read_pickled
                assert_equal(read(path), read(self.parts / path.name), path.name)
        except AssertionError as error:
            return [f"another end: {str(error).splitlines()[0]}"]
        return []


def train_tiny(chosen: TrainOptions) -> int:
    """Body of a training process; returns its exit code."""
    import torch

    from training.loop import train

    torch.set_num_threads(1)
    return train(chosen)


def options(folder: Path, pairs: Path, **changes: Any) -> TrainOptions:
    """A tiny run that writes to `folder`."""
    values = {
        "runs_name": str(folder),
        "dataroot": str(pairs),
        "val_dataroot": [str(pairs / "test")],
        "model": "aha-lite",
        "hyperparameters": TINY,
        "size": 32,
        "batch_size": 2,
        "max_steps": 8,
        "val_every": 4,
        "checkpoint_every": 3,
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
