"""Trying an action on many inputs in a process of its own, with bounds on its time and memory."""

import multiprocessing
import os
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from utils.errors import UserError

LONGEST_SENTENCE = 1000  # letters
ROOM = 2**30  # bytes
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
    """A line of docs/RELIABILITY.md: what was tried, how often, how often it failed, what happened."""

    what: str
    tried: int
    failed: int
    outcome: str


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


def summary(what: str, outcomes: Iterable[Outcome]) -> Row:
    """The line of a table for some outcomes; names the first failure."""
    outcomes = list(outcomes)
    failures = [outcome for outcome in outcomes if outcome.kind == "failed"]
    fine = sum(outcome.kind == "fine" for outcome in outcomes)
    text = f"{fine} fine, {len(outcomes) - fine - len(failures)} refused in a sentence"
    text += f"; at most {max((o.seconds for o in outcomes), default=0):.1f} s"
    text += f" and {max((o.mebibytes for o in outcomes), default=0):.0f} MiB"
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
        start, before = time.process_time(), _reset_peak()
        kind, detail = _outcome(action, given)
        seconds = time.process_time() - start
        connection.send(Outcome(kind, detail, seconds, (_memory("VmHWM") - before) / 1024))


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


def _reset_peak() -> int:
    """Sets the peak of resident memory back to what is held now, and returns that in KiB."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:  # not Linux: the peak stands, and rises are seen only above it
        return _memory("VmHWM")
    return _memory("VmRSS")


def _memory(entry: str) -> int:
    """A line of /proc/self/status in KiB; 0 where there is no such file."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(entry))
    except (OSError, StopIteration):
        return 0


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for a while, in memory where there is room: every file of ours is flushed to its disk, and
    a fault test of thousands of files would measure the disk."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM
    with tempfile.TemporaryDirectory(dir=memory if roomy else None, prefix="faults-") as name:
        yield Path(name)
