"""Trying an action on many inputs in a process of its own, with bounds on its time and memory."""

import multiprocessing
import os
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import numpy as np

from tools.memory import peak_mebibytes, reset_peak, resident_mebibytes
from utils.errors import UserError

LONGEST_SENTENCE = 1000  # letters
PATIENCE = 12  # wall-clock seconds for each second of processor time allowed: other programs may run


@dataclass(frozen=True)
class Outcome:
    """What became of one input.

    kind       "fine": the action returned; "refused": it raised UserError; "failed": all else
    detail     what it returned, the sentence of the refusal, or what went wrong
    seconds    of processor time
    mebibytes  how much the peak of resident memory rose above what was held before
    """

    kind: Literal["fine", "refused", "failed"]
    detail: str
    seconds: float = 0.0
    mebibytes: float = 0.0


@dataclass(frozen=True)
class Row:
    """A line of the table: what was tried, how often, how often it failed, what happened."""

    what: str
    tried: int
    failed: int
    outcome: str


@dataclass(frozen=True)
class Kind:
    """One way to damage one kind of file; `make` writes a file into a folder and returns its path."""

    what: str
    make: Callable[[Path, np.random.Generator], Path]


def try_kinds(
    kinds: Sequence[Kind],
    count: int,
    seed: int,
    action: Callable[[str], str],
    judge: Callable[[Kind, Outcome, Path], Outcome],
    *,
    seconds: float,
    mebibytes: float,
) -> list[Row]:
    """`count` files in all, in equal parts of each kind; a row for each kind."""
    rng = np.random.default_rng(seed)
    order = [kinds[number % len(kinds)] for number in range(count)]
    found: dict[str, list[Outcome]] = {kind.what: [] for kind in order}
    paths: list[Path] = []

    def cases() -> Iterator[str]:
        for kind in order:
            shutil.rmtree(folder / "case", ignore_errors=True)
            (folder / "case").mkdir()
            paths.append(kind.make(folder / "case", rng))
            yield str(paths[-1])

    with scratch() as folder:
        outcomes = attempt_all(action, cases(), seconds=seconds, mebibytes=mebibytes)
        for kind, outcome in zip(order, outcomes, strict=True):
            found[kind.what].append(judge(kind, outcome, paths[-1]))
    return [summary(what, outcomes) for what, outcomes in found.items()]


def attempt_all(
    action: Callable[[str], str], inputs: Iterable[str], *, seconds: float, mebibytes: float
) -> Iterator[Outcome]:
    """The outcome of `action` on each input, in order; `action` is a function at the top of a module.

    It fails where it raises anything but a UserError of one line, takes more than `seconds` of processor time
    or 12 times as long by the clock (its process is ended then), takes more than `mebibytes` of memory above
    what was held before, or ends its process.
    """
    worker = None
    try:
        for given in inputs:
            if worker is None or not worker.process.is_alive():
                worker = _Worker(action)
            outcome = worker.attempt(given, PATIENCE * seconds)
            if outcome.kind != "failed" and outcome.mebibytes > mebibytes:
                outcome = replace(outcome, kind="failed", detail=f"took {outcome.mebibytes:.0f} MiB")
            if outcome.kind != "failed" and outcome.seconds > seconds:
                outcome = replace(outcome, kind="failed", detail=f"took {outcome.seconds:.1f} s")
            yield outcome
    finally:
        if worker is not None:
            worker.end()


def summary(what: str, outcomes: Sequence[Outcome]) -> Row:
    """The row of some outcomes; names the first failure."""
    failures = [outcome for outcome in outcomes if outcome.kind == "failed"]
    fine = sum(outcome.kind == "fine" for outcome in outcomes)
    text = (
        f"{fine} fine, {len(outcomes) - fine - len(failures)} refused in a sentence; at most "
        f"{max(o.seconds for o in outcomes):.1f} s and {max(o.mebibytes for o in outcomes):.0f} MiB"
    )
    if failures:
        text += f"; first failure: {failures[0].detail}"
    return Row(what, len(outcomes), len(failures), text)


class _Worker:
    def __init__(self, action: Callable[[str], str]):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(action, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.connection.recv()  # its imports are done

    def attempt(self, given: str, seconds: float) -> Outcome:
        self.connection.send(given)
        if not self.connection.poll(seconds):
            self.end()
            return Outcome("failed", f"not done after {seconds:g} s")
        try:
            return self.connection.recv()
        except EOFError:
            self.process.join()
            return Outcome("failed", f"its process ended ({self.process.exitcode})")

    def end(self) -> None:
        self.process.kill()
        self.process.join()


def _serve(action: Callable[[str], str], connection: Connection) -> None:
    connection.send("ready")
    while True:
        try:
            given = connection.recv()
        except EOFError:
            return
        reset_peak()
        start, before = time.process_time(), resident_mebibytes()
        kind, detail = _outcome(action, given)
        connection.send(Outcome(kind, detail, time.process_time() - start, peak_mebibytes() - before))


def _outcome(action: Callable[[str], str], given: str) -> tuple[str, str]:
    try:
        return "fine", str(action(given))
    except UserError as error:
        sentence = str(error)
        if "\n" in sentence or len(sentence) > LONGEST_SENTENCE:
            return "failed", f"no sentence: {sentence[:200]!r}"
        return "refused", sentence
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return "failed", f"{type(error).__name__} in {os.path.basename(place.filename)}: {str(error)[:120]}"


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder, in memory where there is a GiB: files are flushed to disk, which takes long."""
    memory = Path("/dev/shm")
    fits = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2**30
    with tempfile.TemporaryDirectory(dir=memory if fits else None, prefix="faults-") as name:
        yield Path(name)
