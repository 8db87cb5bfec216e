"""A clip in: its frames one after the other, upright, with all that a result must say of them.

Clips are decoded in a helper process: a file that makes the decoder hang, crash or take all memory costs that
clip only. Frames become RGB for the network, and the layer S that was removed goes back into the frame's own
luma and chroma. Only S is converted, never the picture: with M the matrix of R'G'B' -> Y'CbCr (ITU-R BT.601,
BT.709, BT.2020; SMPTE 240M)

    Y'CbCr_out = Y'CbCr_in - M S

rounded to the frame's levels, chroma averaged over the pixels that share it. Where S is 0 the frame stays as
it was decoded, bit for bit.
"""

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type as SideDataType

from utils.cores import usable_cores
from utils.errors import UserError
from utils.helper_processes import HelperProcess, begin_serving, limited_memory, may_have_helpers

FORMAT = re.compile(r"(?:yuvj?(?:410|411|420|422|440|444)p|gray)(?P<bits>9|10|12|14|16)?(?:le)?")
"""Pixel formats whose planes are taken as they are."""

BT709, UNSPECIFIED, BT470BG, SMPTE170M, SMPTE240M, BT2020, BT2020_CL = 1, 2, 5, 6, 7, 9, 10
FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_KR_KB = {
    BT709: (0.2126, 0.0722),
    BT470BG: (0.299, 0.114),
    SMPTE170M: (0.299, 0.114),
    SMPTE240M: (0.212, 0.087),
    BT2020: (0.2627, 0.0593),
    BT2020_CL: (0.2627, 0.0593),
}


@dataclass(frozen=True)
class Coding:
    """What the numbers of a frame mean."""

    bits: int
    """of each sample"""
    full_range: bool
    """0 to 2^bits - 1 instead of 16 to 235 (luma) and 16 to 240 (chroma), times 2^(bits - 8)"""
    matrix: int
    """coefficients, as ITU-T H.273 counts them"""

    @classmethod
    def of(cls, pixel_format: str, matrix: int, colour_range: int, height: int) -> "Coding":
        """matrix and colour_range as a frame says them. Where a frame does not, the matrix is BT.709 from
        720 lines on and else BT.601, as players take it."""
        match = FORMAT.fullmatch(pixel_format)
        if match is None:
            raise ValueError(f"no planes of {pixel_format}")
        if matrix not in _KR_KB:
            matrix = BT709 if height >= 720 else SMPTE170M
        full = colour_range == FULL_RANGE or pixel_format.startswith("yuvj")
        return cls(int(match["bits"] or 8), full, matrix)

    @property
    def white(self) -> int:
        """Largest value of a sample."""
        return 2**self.bits - 1

    def luma(self) -> tuple[float, float]:
        """(black, white - black) of Y' in levels."""
        return (0, self.white) if self.full_range else (16 * 2 ** (self.bits - 8), 219 * 2 ** (self.bits - 8))

    def chroma(self) -> tuple[float, float]:
        """(zero, range) of Cb and Cr in levels."""
        return 2 ** (self.bits - 1), self.white if self.full_range else 224 * 2 ** (self.bits - 8)

    def to_ycbcr(self) -> np.ndarray:
        """M, (3, 3) float32: R'G'B' in [0, 1] to Y' in [0, 1] and Cb, Cr in [-1/2, 1/2]."""
        kr, kb = _KR_KB[self.matrix]
        luma = np.array([kr, 1 - kr - kb, kb])
        red, blue = np.array([1, 0, 0]), np.array([0, 0, 1])
        rows = [luma, (blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))]
        return np.stack(rows).astype(np.float32)


def to_rgb(planes: list[np.ndarray], coding: Coding) -> np.ndarray:
    """(H, W, 3) float32 in [0, 1] of the planes Y', Cb, Cr; (H, W) of a single plane.

    planes  (H, W) and twice (h, w) uint8 or uint16, chroma of the same or of a smaller size
    """
    black, span = coding.luma()
    luma = (planes[0].astype(np.float32) - np.float32(black)) / np.float32(span)
    if len(planes) == 1:
        return luma.clip(0, 1)
    height, width = luma.shape
    zero, span = coding.chroma()
    chroma = [(plane.astype(np.float32) - np.float32(zero)) / np.float32(span) for plane in planes[1:3]]
    enlarged = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in chroma]
    inverse = np.linalg.inv(coding.to_ycbcr().astype(np.float64)).astype(np.float32)
    return cv2.transform(np.dstack([luma, *enlarged]), inverse).clip(0, 1)


def subtract(planes: list[np.ndarray], specular: np.ndarray, coding: Coding) -> list[np.ndarray]:
    """The planes without the layer S, in their own type.

    planes    as `to_rgb` takes them
    specular  (H, W, 3), or (H, W) for a single plane, float32 in units of white
    """
    if len(planes) == 1:
        layers = [specular]
    else:
        layers = list(np.moveaxis(cv2.transform(np.ascontiguousarray(specular), coding.to_ycbcr()), 2, 0))
    spans = [coding.luma()[1], coding.chroma()[1], coding.chroma()[1]]
    result = []
    for plane, layer, span in zip(planes, layers, spans, strict=False):
        height, width = plane.shape
        if layer.shape != plane.shape:
            layer = cv2.resize(layer, (width, height), interpolation=cv2.INTER_AREA)
        levels = np.rint(layer * np.float32(span))
        result.append(np.clip(plane - levels, 0, coding.white).astype(plane.dtype))
    return result


ONE_THREAD = 1
"""For FFmpeg's conversions of colours: with more, the first small frames come out wrong now and then."""
DEINTERLACE_FIRST = "it is interlaced; deinterlace it first: ffmpeg -i CLIP -vf bwdif RESULT"

FORMATS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg,nut"
"""FFmpeg's names of what may be in a file, whatever its suffix."""


@dataclass(frozen=True)
class ClipInfo:
    """What a clip is, before its frames are read."""

    codec: str
    """FFmpeg's name: h264, hevc, vp9, ..."""
    pixel_format: str
    """of the frames that `ClipReader` gives"""
    width: int
    height: int
    time_base: Fraction
    """seconds of one tick of the time stamps"""
    rate: Fraction
    """frames per second, on average"""
    frames: int | None
    """how many there are, as the file says it or as its length suggests"""
    exact: bool
    """True where the file itself says how many"""
    aspect: Fraction | None
    """width of a pixel divided by its height"""
    colours: tuple[int, int, int, int]
    """primaries, transfer function, matrix and range, as ITU-T H.273 counts them"""
    display_matrix: tuple[int, ...] | None
    """nine integers that turn the picture for display, or None"""
    quarter_turns: int
    """of those, counter-clockwise"""
    notes: tuple[str, ...] = ()
    """what is not kept, one clause each"""


@dataclass(frozen=True)
class ClipFrame:
    """One frame."""

    planes: list[np.ndarray]
    """Y', Cb, Cr or grey as decoded, (H, W) and (h, w) uint8 or uint16"""
    coding: Coding
    time: int
    """its time stamp, in ticks of `ClipInfo.time_base`"""
    duration: int
    """in the same ticks; 0 where the file does not say it"""
    turns: int

    def rgb(self) -> np.ndarray:
        """The upright picture, (H, W, 3) or (H, W) float32 in [0, 1]."""
        return np.ascontiguousarray(np.rot90(to_rgb(self.planes, self.coding), self.turns))

    def turned_back(self, layer: np.ndarray) -> np.ndarray:
        """An upright layer as the planes lie."""
        return np.ascontiguousarray(np.rot90(layer, -self.turns))


def decode_info(path: Path, max_pixels: int) -> ClipInfo:
    """Looks at the first frame of a clip. Raises UserError where there is none that can be read."""
    with opened(path) as container:
        stream = _video(container)
        _check_size(stream, max_pixels)  # before anything is decoded, as far as the file says it
        # Where its frames say otherwise, FFmpeg refuses them.
        stream.codec_context.options = {"max_pixels": str(max_pixels)}
        first = next(_decoded(container, stream), None)
        if first is None:
            raise UserError("cannot read it: there is no frame in it")
        _check_size(first, max_pixels)
        if first.interlaced_frame:
            raise UserError(DEINTERLACE_FIRST)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        duration = stream.duration and stream.duration * stream.time_base
        if duration is None and container.duration is not None:
            duration = Fraction(container.duration, av.time_base)
        pixel_format = _working_format(first.format)
        matrix = _display_matrix(first)
        return ClipInfo(
            codec=stream.codec_context.codec.canonical_name,
            pixel_format=pixel_format,
            width=first.width,
            height=first.height,
            time_base=stream.time_base or 1 / rate,
            rate=rate,
            frames=stream.frames or (round(duration * rate) if duration else None),
            exact=bool(stream.frames),
            aspect=stream.sample_aspect_ratio or None,
            colours=_colours(first, pixel_format),
            display_matrix=matrix,
            quarter_turns=round(first.rotation / 90) % 4 if matrix else 0,
            notes=_notes(container, first, pixel_format),
        )


def declared_pixels(path: Path) -> int:
    """Pixels of a frame, as the file says it. Raises UserError."""
    with opened(path) as container:
        stream = _video(container)
        return stream.width * stream.height


def _check_size(of: av.VideoStream | av.VideoFrame, max_pixels: int) -> None:
    if of.width * of.height > max_pixels:
        raise UserError(
            f"cannot read it: {of.width} x {of.height} pixels are more than the {max_pixels} allowed"
        )


def decode_frames(path: Path, info: ClipInfo, skip: int = 0) -> Iterator[ClipFrame]:
    """The frames of a clip from number `skip` on; one of them is in memory at a time.

    Time stamps rise from frame to frame: what says no time, or one that does not rise, gets the next tick
    that does. Raises UserError where a frame cannot be decoded, or differs in size from the first.
    """
    coding = Coding.of(info.pixel_format, info.colours[2], info.colours[3], info.height)
    with opened(path) as container:
        stream = _video(container)
        usual = max(1, round(1 / (info.rate * info.time_base)))
        last: int | None = None
        for number, frame in enumerate(_decoded(container, stream)):
            if (frame.width, frame.height) != (info.width, info.height):
                raise UserError(
                    f"frame {number} has {frame.width} x {frame.height} pixels, those before "
                    f"{info.width} x {info.height}: cut the clip there"
                )
            time = frame.pts
            if time is None:
                time = 0 if last is None else last + usual
            elif last is not None and time <= last:
                time = last + 1
            last = time
            if number >= skip:
                planes = _planes(_converted(frame, info.pixel_format))
                yield ClipFrame(planes, coding, time, frame.duration or 0, info.quarter_turns)


def opened(path: Path) -> av.container.InputContainer:
    """The container of a clip. Raises UserError, also for pipes and devices, which may never end."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UserError("cannot read it: it is not an ordinary file")
        # Named as a file: a path such as "http:a.mp4" must not be taken for an address. Nor may a playlist
        # that calls itself a clip bring in other files.
        options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
        return av.open(f"file:{os.fspath(path)}", container_options=options, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UserError(f"cannot read it: {words(error)}") from error


def words(error: Exception) -> str:
    """What FFmpeg says, without the file's name."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _video(container: av.container.InputContainer) -> av.VideoStream:
    for stream in container.streams.video:
        if not is_cover(stream):
            stream.thread_type = "AUTO"
            return stream
    raise UserError("cannot read it: there is no moving picture in it")


def is_cover(stream: av.stream.Stream) -> bool:
    """True for a still picture beside the clip, such as a cover."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _decoded(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    frames, number = container.decode(stream), 0
    while True:
        try:
            frame = next(frames, None)
        except (av.FFmpegError, OSError, ValueError) as error:
            place = f" after frame {number}" if number else ""
            raise UserError(f"cannot read it{place}: {words(error)}") from error
        if frame is None:
            return
        number += 1
        yield frame


def _working_format(of: av.VideoFormat) -> str:
    """The nearest format whose planes are taken as they are; one of less depth never."""
    name = of.name.replace("yuvj", "yuv")
    if FORMAT.fullmatch(name) and not name.endswith("be"):
        return name
    components = [part for part in of.components if not part.is_alpha]
    bits = max(part.bits for part in components)
    if len(components) == 1:
        kind = "gray"
    elif of.is_rgb or of.has_palette:
        kind = "yuv444p"
    else:
        chroma = components[1]
        wide = {True: "2", False: "4"}[chroma.width < components[0].width] if of.width else "2"
        kind = "yuv444p" if wide == "4" else "yuv420p" if chroma.height < components[0].height else "yuv422p"
    return kind if bits <= 8 else f"{kind}{10 if bits <= 10 else 12}le"


def _converted(frame: av.VideoFrame, pixel_format: str) -> av.VideoFrame:
    name = frame.format.name
    if name.replace("yuvj", "yuv") == pixel_format:
        return frame
    if frame.format.is_rgb or frame.format.has_palette:
        return frame.reformat(
            format=pixel_format, dst_colorspace="ITU709", dst_color_range="MPEG", threads=ONE_THREAD
        )
    return frame.reformat(format=pixel_format, threads=ONE_THREAD)


def _planes(frame: av.VideoFrame) -> list[np.ndarray]:
    """Copies, since a decoder still looks at its frames."""
    planes = []
    for plane in frame.planes:
        dtype = np.dtype(np.uint8 if frame.format.components[0].bits <= 8 else "<u2")
        lines = np.frombuffer(plane, dtype)[: plane.line_size // dtype.itemsize * plane.height]
        planes.append(lines.reshape(plane.height, -1)[:, : plane.width].copy())
    return planes


def _display_matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    data = frame.side_data.get(SideDataType.DISPLAYMATRIX)
    if data is None:
        return None
    matrix = tuple(int(value) for value in np.frombuffer(bytes(data), np.int32)[:9])
    identity = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    return None if matrix == identity else matrix


def _colours(frame: av.VideoFrame, pixel_format: str) -> tuple[int, int, int, int]:
    colours = frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range
    if frame.format.is_rgb or frame.format.has_palette:
        return (*colours[:2], 1, 1)  # as `_converted` makes it: BT.709, limited range
    if frame.format.name.startswith("yuvj"):
        return (*colours[:3], 2)
    primaries, transfer, matrix, levels = (int(colour) for colour in colours)
    return primaries, transfer, matrix, levels


def _notes(
    container: av.container.InputContainer, frame: av.VideoFrame, pixel_format: str
) -> tuple[str, ...]:
    notes = []
    if any(part.is_alpha for part in frame.format.components):
        notes.append("its transparency is not kept")
    if frame.format.name.replace("yuvj", "yuv") != pixel_format:
        notes.append(f"its frames are {frame.format.name}, and are stored as {pixel_format}")
    if frame.color_trc in (16, 18):
        notes.append("it is HDR (PQ or HLG); the networks learned from SDR pictures")
    if len([stream for stream in container.streams.video if not is_cover(stream)]) > 1:
        notes.append("only the first of its moving pictures is kept")
    return tuple(notes)


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
    """`decode_info` in a helper process. Raises UserError, also where that ends or takes too long."""
    if not may_have_helpers():
        return decode_info(path, max_pixels)
    return next(_answers("decode_info", (path, max_pixels), SECONDS, SECONDS))


def read_frames(path: Path, info: ClipInfo, skip: int = 0) -> Iterator[ClipFrame]:
    """`decode_frames` in a helper process. Raises UserError, also where that ends or takes too long."""
    if not may_have_helpers():
        yield from decode_frames(path, info, skip)
        return
    seconds = SECONDS + info.width * info.height / PIXELS_PER_SECOND
    yield from _answers("decode_frames", (path, info, skip), seconds * (1 + skip), seconds)


def _answers(function: str, arguments: tuple, first: float, others: float) -> Iterator[Any]:
    """What `function` of this file returns or yields, from a helper process. Frames come one at a time: the
    helper waits until the last one is taken, with the next one ready.

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
                result = globals()[function](*arguments)
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
