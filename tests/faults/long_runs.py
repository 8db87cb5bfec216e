"""Long runs: after the first tenth, neither memory nor open files may grow.

A process and those that it started count together. Each tenth ends with a look at them.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from unittest.mock import patch

import numpy as np
import psutil

from tests.evaluation.shiq_pairs import write
from tests.faults.attempts import Row, scratch
from tests.faults.runs import draw_pictures, options, train_tiny, write_pairs

COUNT = 20_000
"""Pictures; steps and pairs are a tenth of them."""

TENTHS = 10
ALLOWED_GROWTH = 24  # MiB after the first tenth: the allocators of C and of torch keep what they like
"""A leak of the smallest picture, 2 KiB, for each of 20,000 would be 40."""


def run(seed: int, count: int = COUNT) -> list[Row]:
    """A row for each command."""
    few = max(TENTHS, count // 10)
    return [
        _row("infer.py: small pictures in one process", count, _infer),
        _row("train.py: small steps", few, partial(_train, seed)),
        _row("evaluate.py: small pairs", few, _evaluate),
    ]


def _row(what: str, count: int, work: Callable[[Path, int, Connection], None]) -> Row:
    """`work` in a process of its own, which sends a number after each tenth: how many are done."""
    context = get_context("spawn")
    with scratch() as folder:
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(folder, count, theirs))
        process.start()
        theirs.close()
        try:
            states = list(_states(ours, psutil.Process(process.pid)))
        finally:
            process.kill()
            process.join()
    if len(states) != TENTHS or states[-1][0] != count:
        return Row(what, count, 1, f"ended after {states[-1][0] if states else 0}")
    _, memory, files = (np.array(column) for column in zip(*states, strict=True))
    growth = (memory[1:].max() - memory[0]) / 2**20
    slope = np.polyfit(np.arange(1, TENTHS) * count / TENTHS / 1000, memory[1:] / 2**20, 1)[0]
    opened = int(files[1:].max() - files[0])
    return Row(
        what,
        count,
        int(growth > ALLOWED_GROWTH or opened > 0),
        f"after the first tenth memory grew by {growth:+.1f} MiB ({slope:+.2f} MiB for 1,000 of them), open "
        f"files by {opened:+d}",
    )


def _states(connection: Connection, process: psutil.Process) -> Iterator[tuple[int, int, int]]:
    """(how many are done, resident bytes, open files) whenever the process asks, which waits meanwhile."""
    while True:
        try:
            done = connection.recv()
        except EOFError:
            return
        memory = files = 0
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                memory += one.memory_info().rss
                files += one.num_fds()
        connection.send(True)
        yield done, memory, files


def _infer(folder: Path, count: int, connection: Connection) -> None:
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
        look(connection, done)


def _train(seed: int, folder: Path, count: int, connection: Connection) -> None:
    from training.logger import RunLogger

    write_step = RunLogger.write_step

    def written(logger: RunLogger, *values: dict) -> None:
        write_step(logger, *values)
        look(connection, logger.run.progress.step)

    write_pairs(folder / "pairs", np.random.default_rng(seed))
    tenth = count // TENTHS
    every = {"log_every": tenth, "val_every": tenth, "checkpoint_every": tenth // 2 or 1}
    with patch.object(RunLogger, "write_step", written):
        train_tiny(options(folder / "run", folder / "pairs", max_steps=count, **every))


def _evaluate(folder: Path, count: int, connection: Connection) -> None:
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
        look(connection, len(some))


def look(connection: Connection, done: int) -> None:
    """Has this process looked at, after so many are `done`."""
    connection.send(done)
    connection.recv()
