"""infer.py, evaluate.py and train.py killed, signalled, without room, disturbed by others; long runs.

Whatever happens, the same command again finishes with the results of a run that nobody touched, and leaves no
temporary file. In a long run neither memory nor open files may grow after the first tenth.
"""

import json
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import psutil
from safetensors.torch import load_file

from evaluation.settings import EvaluateOptions
from restoration.options import InferOptions
from tests.evaluation.shiq_pairs import write
from tests.faults.attempts import Row, scratch
from tests.faults.processes import Command, Usual, commands
from tests.training.compare import assert_equal, assert_same_run
from tests.training.conftest import TINY, write_pair
from training.options import TrainOptions
from utils.folder_lock import locked
from utils.image_files import Picture, read_picture, write_picture
from weights.pickled import read_pickled

PICTURES = 40
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TRAININGS: dict[str, dict[str, Any]] = {
    "one process": {},
    "two that load pictures": {"num_workers": 2},
    "Muon, accumulated batches": {"optimizer": "muon", "grad_accumulation": 2, "batch_size": 1},
    "scenes as they are rendered": {"dataroot": None, "val_scenes": 2, "scenes_per_epoch": 8},
    "two processes train": {"processes": 2, "max_steps": 6},
}


def disturbed(seed: int, count: int) -> list[Row]:
    """A row for each command and kind of trouble: `count` kills, and a fifth as many cases of all else."""
    few = max(1, count // 5)
    libraries = ("restoration.infer", "restoration.folder", "evaluation.report", "training.loop")
    with scratch() as folder, commands("tests.faults.runs", *libraries, "data.transforms") as start:
        infer = InferRuns(start, folder / "infer", seed)
        evaluate = EvaluateRuns(start, folder / "evaluate", seed)
        trainings = {name: TrainingRuns(start, folder / name, seed, **TRAININGS[name]) for name in TRAININGS}
        training = TrainingRuns(start, folder / "train", seed)
        size = (training.whole / "last.pt").stat().st_size
        cases = [
            (infer, "infer.py killed (SIGKILL)", count, infer.killed),
            (infer, "infer.py ended by Ctrl-C, SIGTERM or SIGHUP", few, infer.signalled),
            (infer, "infer.py: files that may not grow", few, partial(infer.full, 12_000, 30_000)),
            (infer, "two infer.py write into one folder", few, infer.together),
            (infer, "the output folder of infer.py vanishes midway", few, infer.vanishing),
            (infer, "inputs of infer.py are rewritten while they are read", few, infer.rewritten),
            (evaluate, "evaluate.py killed (SIGKILL)", count, evaluate.killed),
            (evaluate, "evaluate.py: files that may not grow", few, partial(evaluate.full, 100, 1500)),
            (evaluate, "two evaluate.py write into one folder", few, evaluate.refused),
            (evaluate, "the output folder of evaluate.py vanishes", few, evaluate.vanishing),
            *((runs, f"train.py killed: {name}", count, runs.killed) for name, runs in trainings.items()),
            (training, "train.py: files that may not grow", few, partial(training.full, size // 100, size)),
            (training, "two train.py at one run folder", few, training.refused),
        ]
        return [runs.row(what, number, attempt) for runs, what, number, attempt in cases]


class Runs:
    """Attempts with one command in one folder, each with all its checks."""

    def __init__(self, start: Callable[..., Command], folder: Path, seed: int, **changes: Any):
        self.processes = changes.pop("processes", 1)
        self.start, self.rng, self.changes = start, random.Random(f"{seed} {folder.name}"), changes
        self.folder, self.whole, self.parts = folder, folder / "whole", folder / "parts"
        self.said = folder / "said"
        folder.mkdir()
        self.prepare()
        began, counts = time.monotonic(), folder / "counts"
        self._ended(self.begin(self.whole, counts=counts))
        self.usual = Usual(time.monotonic() - began, int(counts.read_text(encoding="ascii")))

    def prepare(self) -> None:
        """Writes what the command reads."""
        raise NotImplementedError

    def main(self, folder: Path) -> Callable[[], int]:
        """The body of a process that writes to `folder`."""
        raise NotImplementedError

    def check(self) -> None:
        """Raises AssertionError unless `parts` is as `whole`."""
        raise NotImplementedError

    def row(self, what: str, count: int, attempt: Callable[[int], None]) -> Row:
        """`count` attempts, each of which raises AssertionError where something is wrong."""
        wrong = []
        for number in range(count):
            shutil.rmtree(self.parts, ignore_errors=True)
            try:
                attempt(number)
                self._ended(self.begin())
                self.check()
                left = [path.name for path in self.parts.rglob(".tmp-*")]
                assert not left, f"left {left[0]}"
            except AssertionError as error:
                wrong.append(str(error).splitlines()[0] if str(error) else "it failed")
        outcome = f"first failure: {wrong[0]}" if wrong else "the same command again: as an untouched run"
        return Row(what, count, len(wrong), outcome)

    def begin(self, folder: Path | None = None, **more: Any) -> Command:
        folder = folder or self.parts
        given = {"folder": folder, "output": self.said, "processes": self.processes} | more
        return self.start(self.main(folder), **given)

    def killed(self, number: int) -> None:
        # By turns at a moment and before an operation on a file, mostly an early one: counts start anew with
        # each process, and later ones have less left to do.
        early = 1 + int(self.usual.operations * self.rng.random() ** 2)
        command = self.begin(kill_at=early if number % 2 else 0)
        command.kill(self.rng.uniform(0, self.usual.seconds), self.rng)
        assert command.orphans_end(), "processes of a killed run went on"

    def signalled(self, number: int) -> None:
        self.said.unlink(missing_ok=True)
        command = self.begin()
        process, sent = command.processes[0], SIGNALS[number % len(SIGNALS)]
        while process.is_alive() and not self.said.exists():  # from then on it sees signals as a program does
            process.join(0.001)
        process.join(self.rng.uniform(0, self.usual.seconds))
        if process.is_alive() and process.pid:
            os.kill(process.pid, sent)
        # 0: it was done already; before its first lines a signal ends it as any program.
        self._ended(command, (0, 130, -sent))
        assert command.orphans_end(), "processes of an ended run went on"

    def full(self, least: int, most: int, _: int) -> None:
        self._ended(self.begin(room=self.rng.randint(least, most)), (1,))

    def refused(self, _: int) -> None:
        with locked(self.parts):
            self._ended(self.begin(), (2,))

    def together(self, _: int) -> None:
        for command in [self.begin(), self.begin(output=self.folder / "other")]:
            self._ended(command)

    def vanishing(self, _: int) -> None:
        command = self.begin()
        command.processes[0].join(self.rng.uniform(0, self.usual.seconds))
        shutil.rmtree(self.parts, ignore_errors=True)
        self._ended(command, (0, 1, 2))

    def _ended(self, command: Command, codes: Sequence[int] = (0,)) -> None:
        code, said = command.wait(), command.output.read_text(encoding="utf-8")
        assert "Traceback" not in said, said[-300:].replace("\n", " ")
        assert code in codes, "it hung" if code is None else f"exit code {code}: {said[-300:]!r}"


class InferRuns(Runs):
    """Nothing is removed from the pictures (`--method input`): what is tried is reading and writing."""

    def prepare(self) -> None:
        draw_pictures(self.folder / "in", PICTURES, (96, 128))

    def main(self, folder: Path) -> Callable[[], int]:
        again = folder.exists()
        options = InferOptions(str(self.folder / "in"), str(folder), method="input", skip_existing=again)
        return partial(_infer, options)

    def rewritten(self, number: int) -> None:
        rng, stop = np.random.default_rng(number), threading.Event()
        sources = sorted((self.folder / "in").iterdir())
        contents = [path.read_bytes() for path in sources]

        def disturb() -> None:
            while not stop.wait(0.002):
                some = int(rng.integers(PICTURES))
                sources[some].write_bytes(contents[some][: rng.integers(len(contents[some]))])

        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            self._ended(self.begin(), (0, 1))
        finally:
            stop.set()
            thread.join()
            for path, content in zip(sources, contents, strict=True):
                path.write_bytes(content)

    def check(self) -> None:
        assert len(os.listdir(self.parts)) == PICTURES, f"{len(os.listdir(self.parts))} files"
        for path in self.parts.iterdir():
            source = self.folder / "in" / path.name.replace("-removed", "")
            same = np.array_equal(read_picture(path).pixels, read_picture(source).pixels)
            assert same, f"{path.name} differs"


class EvaluateRuns(Runs):
    """A classical method on small pairs."""

    def prepare(self) -> None:
        write(self.folder / "data", [f"{number:03d}" for number in range(PICTURES // 2)])

    def main(self, folder: Path) -> Callable[[], int]:
        return partial(_evaluate, EvaluateOptions(self.folder / "data", methods=["shen2013"], out=folder))

    def check(self) -> None:
        assert _means(self.parts) == _means(self.whole), "another table"


class TrainingRuns(Runs):
    """A few steps of a tiny network; weights, optimisers, checkpoints and log are compared bit for bit."""

    def prepare(self) -> None:
        write_pairs(self.folder / "pairs", np.random.default_rng(0))

    def main(self, folder: Path) -> Callable[[], int]:
        return partial(train_tiny, options(folder, self.folder / "pairs", **self.changes))

    def check(self) -> None:
        assert_same_run(self.whole, self.parts)
        for path in self.whole.glob("best*"):
            read = load_file if path.suffix == ".safetensors" else read_pickled
            assert_equal(read(path), read(self.parts / path.name), path.name)


def draw_pictures(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Writes `count` PNG files of noise, `size` (H, W)."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        write_picture(folder / f"{number:05d}.png", Picture(pixels))


def write_pairs(root: Path, rng: np.random.Generator) -> None:
    """A data set of six pairs to train on and six to validate on, 64 pixels a side."""
    for split, first in (("train", 1), ("test", 14001)):
        for number in range(first, first + 6):
            write_pair(root / split, f"{number:05d}", rng)


def options(folder: Path, pairs: Path, **changes: Any) -> TrainOptions:
    """A tiny run that writes to `folder`."""
    values: dict[str, Any] = {"runs_name": str(folder), "dataroot": str(pairs), "model": "aha-lite"}
    values |= {"val_dataroot": [str(pairs / "test")], "hyperparameters": TINY, "size": 32, "batch_size": 2}
    values |= {"max_steps": 8, "val_every": 4, "checkpoint_every": 3, "keep_checkpoints": 2, "log_every": 1}
    values |= {"ema_decay": 0.9, "lambda_gan": 0.0, "lambda_perceptual": 0.0, "num_workers": 0}
    values |= {"tracker": ["none"], "pictures": False, "curves": False, "deterministic": True}
    return TrainOptions(device="cpu", **(values | changes))


def train_tiny(chosen: TrainOptions) -> int:
    """Body of a training process; returns its exit code."""
    import torch

    from training.loop import train

    torch.set_num_threads(1)
    return train(chosen)


def _infer(chosen: InferOptions) -> int:
    from restoration.infer import infer

    return infer(chosen)


def _evaluate(chosen: EvaluateOptions) -> int:
    from evaluation.report import evaluate

    return evaluate(chosen)


def _means(out: Path) -> list:
    content = json.loads((out / "table.json").read_text(encoding="utf-8"))
    return [(method["method"], method["n"], method["means"]) for method in content["methods"]]


# ---- long runs

TENTHS = 10
ALLOWED_GROWTH = 24  # MiB after the first tenth: the allocators of C and of torch keep what they like
"""A leak of the smallest picture, 2 KiB, for each of 20,000 would be 40."""


def long_runs(seed: int, count: int) -> list[Row]:
    """`count` pictures, a tenth as many steps and pairs; a row for each command."""
    few = max(TENTHS, count // 10)
    return [
        long_run("infer.py: small pictures in one process", count, _long_infer),
        long_run("train.py: small steps", few, partial(_long_train, seed)),
        long_run("evaluate.py: small pairs", few, _long_evaluate),
    ]


def long_run(what: str, count: int, work: Callable[[Path, int, Callable[[int], None]], None]) -> Row:
    """`work` in this process; after each tenth it calls its last argument with how many are done."""
    states: list[tuple[int, int, int]] = []

    def look(done: int) -> None:
        memory = files = 0
        for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                memory, files = memory + process.memory_info().rss, files + process.num_fds()
        states.append((done, memory, files))

    with scratch() as folder:
        work(folder, count, look)
    done, memory, files = (np.array(column) for column in zip(*states, strict=True))
    growth, opened = (memory[1:].max() - memory[0]) / 2**20, int(files[1:].max() - files[0])
    failed = len(states) != TENTHS or done[-1] != count or growth > ALLOWED_GROWTH or opened > 0
    outcome = f"{done[-1]} done; then memory grew by {growth:+.1f} MiB, open files by {opened:+d}"
    return Row(what, count, int(failed), outcome)


def _long_infer(folder: Path, count: int, look: Callable[[int], None]) -> None:
    from restoration import HighlightRemover
    from restoration.folder import restore_folder
    from restoration.jobs import Job

    draw_pictures(folder / "in", 1, (24, 32))
    source, done = folder / "in" / "00000.png", 0
    remover = HighlightRemover.from_pretrained("input", device="cpu", workers=1)
    for tenth in range(TENTHS):
        numbers = range(count * tenth // TENTHS, count * (tenth + 1) // TENTHS)
        jobs = [Job(source, {"result": folder / "out" / f"{number % 50}.png"}) for number in numbers]
        done += restore_folder(jobs, remover, quiet=True).done
        look(done)


def _long_train(seed: int, folder: Path, count: int, look: Callable[[int], None]) -> None:
    from training.logger import RunLogger

    write_step = RunLogger.write_step

    def written(logger: RunLogger, *values: dict) -> None:
        write_step(logger, *values)
        look(logger.run.progress.step)

    write_pairs(folder / "pairs", np.random.default_rng(seed))
    tenth = count // TENTHS
    every = {"log_every": tenth, "val_every": tenth, "checkpoint_every": tenth // 2 or 1}
    with patch.object(RunLogger, "write_step", written):
        train_tiny(options(folder / "run", folder / "pairs", max_steps=count, **every))


def _long_evaluate(folder: Path, count: int, look: Callable[[int], None]) -> None:
    from evaluation.datasets import find_pairs
    from evaluation.methods import ScoredMethod
    from evaluation.runner import run as score
    from evaluation.settings import Settings

    write(folder / "pairs", [f"{number:05d}" for number in range(count)])
    pairs = find_pairs(folder / "pairs").pairs
    methods = [ScoredMethod.parse(text) for text in ("input", "shen2013")]
    for tenth in range(1, TENTHS + 1):
        some = pairs[: count * tenth // TENTHS]
        score(some, methods, Settings(), folder / "scores", progress=False)
        look(len(some))
