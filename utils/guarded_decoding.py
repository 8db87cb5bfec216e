"""Decoding of pictures in helper processes, which are ended where a file takes too long.

A damaged or forged file can make a decoder run for minutes, take all memory, or crash its process. Here it
costs that file only: the helper has a limit of its address space, is killed when its time is up, and the
next file gets a new one.
"""

import atexit
import contextlib
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection

import cv2
import numpy as np
from PIL import AvifImagePlugin

from utils.errors import UserError
from utils.image_decoding import TIFF_SIGNATURES, decode, size_of
from utils.image_metadata import PNG_SIGNATURE
from utils.picture import MAX_PIXELS, Picture

SECONDS, PIXELS_PER_SECOND = 4.0, 2e6
"""Seconds of processor time that decoding may take: a constant, and what the slowest codecs need."""

PATIENCE = 5.0
"""Seconds by the clock for each of them: other programs may run, but a decoder may also just wait."""

_STEP = 0.1  # seconds between two readings of the clocks

SPARE_BYTES = 2**30
"""What a decoder may take beyond what the picture itself needs."""

_START_SECONDS = 120.0
_NOTHING = np.empty((0, 0), np.uint8)  # in the place of pixels that travel apart


def decode_guarded(
    data: bytes, max_pixels: int = MAX_PIXELS, admit: Callable[[int], None] | None = None
) -> Picture:
    """`utils.image_decoding.decode` in a helper process. Thread-safe: each call has a process of its own.

    admit  called with the number of pixels before they are decoded, and may wait

    Raises UserError, also where decoding takes too long, too much memory, or ends its process.
    """
    if multiprocessing.current_process().daemon:  # such a process may not start others
        if admit is not None:
            admit(math.prod(size_of(data)))
        return decode(data, max_pixels)
    helper = _take_helper()
    try:
        picture = helper.decode(data, max_pixels, admit)
    except UserError:
        _give_back(helper)
        raise
    except (EOFError, OSError) as error:
        helper.end()
        raise UserError("the file is damaged (its decoder crashed)") from error
    except BaseException:
        helper.end()
        raise
    _give_back(helper)
    return picture


class _Helper:
    """One helper process, as its parent sees it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True, name="picture-decoder")
        with _without_interrupts(), _without_main():
            self.process.start()
        theirs.close()
        self._ready = False

    @property
    def alive(self) -> bool:
        return self.process.is_alive()

    def decode(self, data: bytes, max_pixels: int, admit: Callable[[int], None] | None) -> Picture:
        if not self._ready:
            self._await_start()
        self.connection.send(max_pixels)
        self.connection.send_bytes(data)
        pixels = self._answer(SECONDS)
        if admit is not None:
            admit(pixels)
        self.connection.send(True)
        answer = self._answer(SECONDS + min(pixels, max_pixels) / PIXELS_PER_SECOND)
        if isinstance(answer, str):
            raise UserError(answer)
        picture, layouts = answer
        layers = [np.empty(shape, dtype) for shape, dtype in layouts]
        for layer in layers:
            self.connection.recv_bytes_into(layer.reshape(-1).view(np.uint8).data)
        return replace(picture, pixels=layers[0], alpha=layers[1] if len(layers) > 1 else None)

    def _await_start(self) -> None:
        if not self.connection.poll(_START_SECONDS):
            self.end()
            raise UserError("no process for decoding could be started")
        self.connection.recv()  # says that it has started
        self._ready = True

    def _answer(self, seconds: float):
        start, before = time.monotonic(), self._processor_seconds()
        while not self.connection.poll(_STEP):
            waited = time.monotonic() - start
            now = self._processor_seconds()
            used = waited if before is None or now is None else now - before
            if used > seconds or waited > PATIENCE * seconds:
                self.end()
                raise UserError(f"the file is damaged (decoding it takes more than {seconds:.0f} s)")
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


_idle: list[_Helper] = []
_lock = threading.Lock()


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """A process started here does not see Ctrl-C, which would end its imports with a traceback."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
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


def start_helper() -> None:
    """Starts a helper process in the background, so that the first picture need not wait for it."""
    if not multiprocessing.current_process().daemon:
        _give_back(_Helper())


def _take_helper() -> _Helper:
    with _lock:
        while _idle:
            helper = _idle.pop()
            if helper.alive:
                return helper
            helper.end()
    return _Helper()


def _give_back(helper: _Helper) -> None:
    if helper.alive:
        with _lock:
            _idle.append(helper)


@atexit.register
def end_helpers() -> None:
    """Ends the helper processes that wait for work; later calls start new ones."""
    with _lock:
        while _idle:
            _idle.pop().end()


def _serve(connection: Connection) -> None:
    """The helper's side: files in, pictures or errors out, until the parent ends."""
    # Ctrl-C reaches all processes of a terminal; when to end is for the parent to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Decoders in C print about damaged files without naming them.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    _use_one_thread()
    connection.send(True)
    with contextlib.suppress(EOFError, OSError):
        while True:
            max_pixels = connection.recv()
            data = connection.recv_bytes()
            width, height = size_of(data)
            connection.send(width * height)
            connection.recv()
            try:
                with _limited_memory(_allowance(data, min(width * height, max_pixels))):
                    picture = decode(data, max_pixels)
            except UserError as error:
                connection.send(str(error))
                continue
            except MemoryError:
                connection.send("decoding it takes more memory than a picture of its size needs")
                return  # what is left of the heap is not worth keeping
            layers = [layer for layer in (picture.pixels, picture.alpha) if layer is not None]
            layouts = [(layer.shape, layer.dtype.str) for layer in layers]
            connection.send((replace(picture, pixels=_NOTHING, alpha=None), layouts))
            for layer in layers:
                connection.send_bytes(np.ascontiguousarray(layer).reshape(-1).view(np.uint8).data)


def _use_one_thread() -> None:
    """Pictures are decoded side by side already, and the address space of a thread for each core of a large
    machine would not fit the limit."""
    cv2.setNumThreads(1)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.options.DECODE_THREADS = 1


def _allowance(data: bytes, pixels: int) -> int:
    """Bytes that decoding may take: two copies of the pixels (of TIFF up to four floats each, of other deep
    files four times 16 bits; a progressive JPEG has 10 bytes), the file, and SPARE_BYTES."""
    if data[:4] in TIFF_SIGNATURES:
        each = 32
    elif data.startswith(PNG_SIGNATURE) and data[24:25] != b"\x10":
        each = 8
    else:
        each = 16
    return each * pixels + 2 * len(data) + SPARE_BYTES


@contextlib.contextmanager
def _limited_memory(more: int) -> Iterator[None]:
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
