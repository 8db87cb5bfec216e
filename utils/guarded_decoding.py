"""Decoding of pictures in helper processes, which are ended where a file takes too long.

A damaged or forged file can make a decoder run for minutes, take all memory, or crash its process. Here it
costs that file only: the helper has a limit of its address space, is killed when its time is up, and the
next file gets a new one.
"""

import atexit
import contextlib
import math
import threading
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection

import cv2
import numpy as np
from PIL import AvifImagePlugin

from utils.errors import UserError
from utils.helper_processes import HelperProcess, begin_serving, limited_memory, may_have_helpers
from utils.image_decoding import TIFF_SIGNATURES, decode, size_of
from utils.image_metadata import PNG_SIGNATURE
from utils.picture import MAX_PIXELS, Picture

SECONDS, PIXELS_PER_SECOND = 4.0, 2e6
"""Seconds of processor time that decoding may take: a constant, and what the slowest codecs need."""

SPARE_BYTES = 2**30
"""What a decoder may take beyond what the picture itself needs."""

_NOTHING = np.empty((0, 0), np.uint8)  # in the place of pixels that travel apart


def decode_guarded(
    data: bytes, max_pixels: int = MAX_PIXELS, admit: Callable[[int], None] | None = None
) -> Picture:
    """`utils.image_decoding.decode` in a helper process. Thread-safe: each call has a process of its own.

    admit  called with the number of pixels before they are decoded, and may wait

    Raises UserError, also where decoding takes too long, too much memory, or ends its process.
    """
    if not may_have_helpers():
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


class _Helper(HelperProcess):
    """One helper process that decodes."""

    def __init__(self) -> None:
        super().__init__(_serve, "picture-decoder")

    def decode(self, data: bytes, max_pixels: int, admit: Callable[[int], None] | None) -> Picture:
        self.await_start()
        self.connection.send(max_pixels)
        self.connection.send_bytes(data)
        pixels = self.answer(SECONDS)
        if admit is not None:
            admit(pixels)
        self.connection.send(True)
        answer = self.answer(SECONDS + min(pixels, max_pixels) / PIXELS_PER_SECOND)
        if isinstance(answer, str):
            raise UserError(answer)
        picture, layouts = answer
        layers = [np.empty(shape, dtype) for shape, dtype in layouts]
        for layer in layers:
            self.connection.recv_bytes_into(layer.reshape(-1).view(np.uint8).data)
        return replace(picture, pixels=layers[0], alpha=layers[1] if len(layers) > 1 else None)


_idle: list[_Helper] = []
_lock = threading.Lock()


def start_helper() -> None:
    """Starts a helper process in the background, so that the first picture need not wait for it."""
    if may_have_helpers():
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
    _use_one_thread()
    begin_serving(connection)
    with contextlib.suppress(EOFError, OSError):
        while True:
            max_pixels = connection.recv()
            data = connection.recv_bytes()
            width, height = size_of(data)
            connection.send(width * height)
            connection.recv()
            try:
                with limited_memory(_allowance(data, min(width * height, max_pixels))):
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
