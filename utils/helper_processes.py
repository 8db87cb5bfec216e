"""Processes that do what might crash or never end: decoding files that anyone may have made, and encoding.

A helper has a limit of its address space, is ended where it takes too long, and may crash: that file is lost
then, and nothing else.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from utils.errors import UserError

PATIENCE = 5.0
"""Seconds by the clock for each of processor time: other programs may run, a decoder may also just wait."""

STEP = 0.1  # seconds between two readings of the clocks
_START_SECONDS = 120.0


class HelperProcess:
    """One helper, as its parent sees it. `serve(connection)` is its side, and calls `begin_serving` first.

    too_slow  what the user is told where it takes longer than it may, before "N s)"
    """

    def __init__(
        self,
        serve: Callable[[Connection], None],
        name: str,
        too_slow: str = "the file is damaged (decoding it takes more than",
    ):
        self._too_slow = too_slow
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs,), daemon=True, name=name)
        with _without_interrupts(), _without_main():
            self.process.start()
        theirs.close()
        self._ready = False

    @property
    def alive(self) -> bool:
        return self.process.is_alive()

    def await_start(self) -> None:
        """Until its imports are done."""
        if self._ready:
            return
        if not self.connection.poll(_START_SECONDS):
            self.end()
            raise UserError(f"cannot start a helper process ({self.process.name})")
        self.connection.recv()
        self._ready = True

    def answer(self, seconds: float) -> Any:
        """What it sends next. Raises UserError where that takes more processor time than `seconds`, and
        EOFError or OSError where the process ends."""
        start, before = time.monotonic(), self._processor_seconds()
        while not self.connection.poll(STEP):
            waited = time.monotonic() - start
            now = self._processor_seconds()
            used = waited if before is None or now is None else now - before
            if used > seconds or waited > PATIENCE * seconds:
                self.end()
                raise UserError(f"{self._too_slow} {seconds:.0f} s)")
        return self.connection.recv()

    def _processor_seconds(self) -> float | None:
        """What the process has used since it started; None where the system does not say."""
        try:
            with open(f"/proc/{self.process.pid}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, IndexError, ValueError):
            return None

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def may_have_helpers() -> bool:
    """False in a daemonic process, which may not start others."""
    return not multiprocessing.current_process().daemon


def begin_serving(connection: Connection) -> None:
    """A helper's first call, after its imports."""
    # Ctrl-C reaches all processes of a terminal; when to end is for the parent to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Decoders in C print about damaged files without naming them.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    connection.send(True)


@contextlib.contextmanager
def limited_memory(more: int) -> Iterator[None]:
    """Here the address space grows by at most `more` bytes; no limit where the system has none (Windows)."""
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = now + more if hard == resource.RLIM_INFINITY else min(now + more, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


_lock = threading.Lock()


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """A process started here does not see Ctrl-C, which would end its imports with a traceback."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # starting it would end the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """A process started here does not run the script of its parent, which may lack the usual guard
    (`if __name__ == "__main__"`) and needs time."""
    with _lock:
        main, sys.modules["__main__"] = sys.modules["__main__"], types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main
