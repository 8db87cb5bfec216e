"""A clip in: its frames one after the other, upright, with all that a result must say of them."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType

from restoration.video.yuv import FORMAT, Coding, to_rgb
from utils.errors import UserError

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


def read_info(path: Path, max_pixels: int) -> ClipInfo:
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


def read_frames(path: Path, info: ClipInfo, skip: int = 0) -> Iterator[ClipFrame]:
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
