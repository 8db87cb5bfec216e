"""Ctrl-C, SIGTERM and SIGHUP: how a running command is asked to end."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import wait
from types import FrameType
from typing import Any, NoReturn

STOPPING: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)
if hasattr(signal, "SIGHUP"):  # not on Windows
    STOPPING += (signal.SIGHUP,)


@contextmanager
def ended_at_once() -> Iterator[None]:
    """Here Ctrl-C ends the process with one line and exit code 130, whatever it is doing.

    For the first seconds of a command: libraries that are being imported turn a KeyboardInterrupt into
    errors of their own, and there is nothing to clean up yet.
    """
    with _handlers({signal.SIGINT: _end}):
        yield


@contextmanager
def interruptible() -> Iterator[None]:
    """Here Ctrl-C, SIGTERM (schedulers, torchrun) and SIGHUP (a closed terminal) raise KeyboardInterrupt."""
    with _handlers(dict.fromkeys(STOPPING, signal.default_int_handler)):
        yield


def end_with_parent() -> None:
    """From now on this worker process ends when the process that started it is gone, however that died.

    torch's data loaders watch the process above them, which may be a server of forks that lives as long as
    its workers do; those of a ProcessPoolExecutor watch nothing.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


class StopSignals:
    """A wish to stop, granted when it suits: a context in which these signals are noted in `received`.

    A second signal raises KeyboardInterrupt. A process of torchrun whose agent was killed counts as one
    that received SIGTERM: nothing else would ever end it.
    """

    def __init__(self) -> None:
        self._received = 0
        self._agent = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None
        self._handlers = ExitStack()

    @property
    def received(self) -> int:
        """Number of the signal, 0 before there is one."""
        if not self._received and self._agent not in (None, os.getppid()):
            self._received = signal.SIGTERM
        return self._received

    def __enter__(self) -> "StopSignals":
        self._handlers.enter_context(_handlers(dict.fromkeys(STOPPING, self._note)))
        return self

    def __exit__(self, *_: object) -> None:
        self._handlers.close()

    def _note(self, number: int, _: FrameType | None) -> None:
        if self._received:
            raise KeyboardInterrupt
        self._received = number


@contextmanager
def _handlers(handlers: dict[signal.Signals, Callable]) -> Iterator[None]:
    before: dict[signal.Signals, Any] = {}
    # Only the main thread may set handlers.
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            # What the process was started to ignore (by nohup) stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(*_: object) -> NoReturn:
    if sys.__stderr__ is not None:
        os.write(sys.__stderr__.fileno(), b"interrupted\n")
    os._exit(130)
