"""Trying an action on many damaged files in a process of its own, with bounds on its time and memory."""

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
STARTS = (  # of zip, pickle, PNG, JPEG, TIFF, gzip, HDF5 and text files
    *(b"PK\x03\x04\x14\x00", b"\x80\x02}q\x00", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"),
    *(b"II*\x00\x08\x00\x00\x00", b"\x1f\x8b\x08\x00", b"\x89HDF\r\n\x1a\n", b'{"weights": [1, 2, 3]}\n'),
)


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

    def failed(self, detail: str) -> "Outcome":
        """A failure in place of this outcome."""
        return replace(self, kind="failed", detail=detail)


@dataclass(frozen=True)
class Row:
    """A line of the table: what was tried, how often, how often it failed, what happened."""

    what: str
    tried: int
    failed: int
    outcome: str


@dataclass(frozen=True)
class Kind:
    """One way to damage one kind of file.

    make   writes a file into a folder and returns its path
    judge  the outcome in the light of what the kind allows, from the outcome and the path
    """

    what: str
    make: Callable[[Path, np.random.Generator], Path]
    judge: Callable[[Outcome, Path], Outcome] = lambda outcome, path: outcome


def one_file(name: str, content: Callable[[np.random.Generator], bytes]) -> Callable:
    """`Kind.make` for a single file of that name."""

    def make(folder: Path, rng: np.random.Generator) -> Path:
        (folder / name).write_bytes(content(rng))
        return folder / name

    return make


def try_kinds(
    kinds: Sequence[Kind],
    count: int,
    seed: int,
    action: Callable[[str], str],
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
            found[kind.what].append(kind.judge(outcome, paths[-1]))
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
                outcome = outcome.failed(f"took {outcome.mebibytes:.0f} MiB")
            if outcome.kind != "failed" and outcome.seconds > seconds:
                outcome = outcome.failed(f"took {outcome.seconds:.1f} s")
            yield outcome
    finally:
        if worker is not None:
            worker.end()


def summary(what: str, outcomes: Sequence[Outcome]) -> Row:
    """The row of some outcomes; names the first failure."""
    failures = [outcome.detail for outcome in outcomes if outcome.kind == "failed"]
    fine = sum(outcome.kind == "fine" for outcome in outcomes)
    text = f"{fine} fine, {len(outcomes) - fine - len(failures)} refused in a sentence; at most "
    text += f"{max(o.seconds for o in outcomes):.1f} s and {max(o.mebibytes for o in outcomes):.0f} MiB"
    text += f"; first failure: {failures[0]}" if failures else ""
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
        outcome = _outcome(action, given)
        taken = {"seconds": time.process_time() - start, "mebibytes": peak_mebibytes() - before}
        connection.send(replace(outcome, **taken))


def _outcome(action: Callable[[str], str], given: str) -> Outcome:
    try:
        return Outcome("fine", str(action(given)))
    except UserError as error:
        sentence = str(error)
        if "\n" in sentence or len(sentence) > LONGEST_SENTENCE:
            return Outcome("failed", f"no sentence: {sentence[:200]!r}")
        return Outcome("refused", sentence)
    except BaseException as error:
        file = os.path.basename(traceback.extract_tb(error.__traceback__)[-1].filename)
        return Outcome("failed", f"{type(error).__name__} in {file}: {str(error)[:120]}")


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder, in memory where there is a GiB: files are flushed to disk, which takes long."""
    memory = Path("/dev/shm")
    fits = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2**30
    with tempfile.TemporaryDirectory(dir=memory if fits else None, prefix="faults-") as name:
        yield Path(name)


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """`content` damaged as disks, downloads and people do it; at most twice its length and 64 bytes."""
    if not content:
        return bytes(rng.bytes(8))
    size = len(content)
    start = int(rng.integers(size))
    stop = min(size, start + int(rng.integers(1, 4097)))
    match rng.integers(10):
        case 0:
            return _flip(content, size, rng)
        case 1:  # where the headers are
            return _flip(content, min(256, size), rng)
        case 2 | 3:
            return forge(content, rng)
        case 4:  # the end is missing
            return content[:start] if rng.random() < 0.7 else content[: max(0, size - 1 - start % 16)]
        case 5:
            return content + rng.bytes(int(rng.integers(1, 64)))
        case 6:  # a block of zeros, as after a crash of the file system
            return content[:start] + bytes(stop - start) + content[stop:]
        case 7:
            return content[:start] + content[stop:]
        case 8:
            return content[:stop] + content[start:]
        case _:  # the file begins as one of another kind
            begun = STARTS[rng.integers(len(STARTS))][:size]
            return begun + content[len(begun) :]


def forge(content: bytes, rng: np.random.Generator) -> bytes:
    """A run of up to 16 bytes becomes random, or 4 or 8 bytes a number that is absurd as a length."""
    if rng.random() < 0.5:
        place, forged = int(rng.integers(len(content))), rng.bytes(int(rng.integers(1, 17)))
    else:
        width = int(rng.choice([4, 8]))
        place = int(rng.integers(max(1, min(len(content), 4096) - width)))
        forged = [b"\xff" * width, b"\xff" * (width - 1) + b"\x7f", b"\x00" * width][rng.integers(3)]
    return (content[:place] + forged + content[place + len(forged) :])[: len(content)]


def _flip(content: bytes, within: int, rng: np.random.Generator) -> bytes:
    """One to eight bits of the first `within` bytes."""
    changed = bytearray(content)
    for place in rng.integers(within, size=rng.integers(1, 9)):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)
