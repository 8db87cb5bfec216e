"""Ctrl-C, SIGTERM and SIGHUP: how a running command is asked to end."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn


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
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP"):  # not on Windows
        numbers.append(signal.SIGHUP)
    with _handlers(dict.fromkeys(numbers, signal.default_int_handler)):
        yield


@contextmanager
def _handlers(handlers: dict[signal.Signals, Callable]) -> Iterator[None]:
    before = {}
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
    os.write(sys.__stderr__.fileno(), b"interrupted\n")
    os._exit(130)
