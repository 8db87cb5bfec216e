"""Clips read in a helper process: a file that makes the decoder hang, crash or take all memory costs that
clip only. The same functions as in clip_reader.py.

Frames come one at a time: the helper waits until the last one is taken, with the next one ready.
"""

import contextlib
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from restoration.video import clip_reader
from restoration.video.clip_reader import ClipFrame, ClipInfo, declared_pixels, words
from utils.cores import usable_cores
from utils.errors import UserError
from utils.helper_processes import HelperProcess, begin_serving, limited_memory, may_have_helpers

SECONDS, PIXELS_PER_SECOND = 20.0, 1e6
"""Seconds of processor time that a frame may take: a constant, since a decoder fills its threads before the
first comes out, and what the slowest codecs need."""

SPARE_BYTES = 2**30
FRAME_BYTES = 6
"""Of a pixel, at most: three planes of 16 bits."""
KEPT = 20
"""Frames that a decoder keeps to build others from, at most."""
THREAD_BYTES = 2**27
"""Address space of each of its threads, which nothing need fill."""


def read_info(path: Path, max_pixels: int) -> ClipInfo:
    """As `clip_reader.read_info`. Raises UserError, also where the helper ends or runs away."""
    if not may_have_helpers():
        return clip_reader.read_info(path, max_pixels)
    return next(_answers("read_info", (path, max_pixels), SECONDS, SECONDS))


def read_frames(path: Path, info: ClipInfo, skip: int = 0) -> Iterator[ClipFrame]:
    """As `clip_reader.read_frames`. Raises UserError, also where the helper ends or runs away."""
    if not may_have_helpers():
        yield from clip_reader.read_frames(path, info, skip)
        return
    seconds = SECONDS + info.width * info.height / PIXELS_PER_SECOND
    yield from _answers("read_frames", (path, info, skip), seconds * (1 + skip), seconds)


def _answers(function: str, arguments: tuple, first: float, others: float) -> Iterator[Any]:
    """What `function` of clip_reader.py returns or yields.

    first, others  seconds of processor time for the first of them and for each other one
    """
    helper = HelperProcess(_serve, "clip-decoder")
    number = 0
    try:
        helper.await_start()
        helper.connection.send((function, arguments))
        while True:
            try:
                kind, value = helper.answer(others if number else first)
            except (EOFError, OSError) as error:
                place = f" after frame {number}" if number else ""
                raise UserError(
                    f"cannot read it{place}: the file is damaged (its decoder crashed)"
                ) from error
            if kind == "error":
                raise UserError(value)
            if kind == "end":
                return
            yield value
            number += 1
    finally:
        with contextlib.suppress(OSError):  # it may have been ended already
            helper.end()


def _serve(connection: Connection) -> None:
    """The helper's side: one clip."""
    begin_serving(connection)
    with contextlib.suppress(EOFError, OSError):  # the parent ended
        function, arguments = connection.recv()
        try:
            with limited_memory(_allowance(arguments[0])):
                result = getattr(clip_reader, function)(*arguments)
                for value in [result] if isinstance(result, ClipInfo) else result:
                    connection.send(("value", value))
            connection.send(("end", None))
        except UserError as error:
            connection.send(("error", str(error)))
        except MemoryError:
            connection.send(
                ("error", "cannot read it: decoding takes more memory than frames of this size need")
            )
        except (ValueError, TypeError, AttributeError, ArithmeticError) as error:  # of forged fields
            connection.send(("error", f"cannot read it: {words(error)}"))


def _allowance(path: Path) -> int:
    """Bytes that decoding may take beyond what the process has now."""
    threads = min(16, usable_cores())  # FFmpeg takes no more
    with limited_memory(SPARE_BYTES):
        pixels = declared_pixels(path)
    return SPARE_BYTES + threads * THREAD_BYTES + (threads + KEPT) * FRAME_BYTES * pixels
