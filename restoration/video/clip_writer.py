"""A clip out: frames encoded into segments, and segments joined with the sound of the source.

Segments are NUT files, which hold any codec at the source's own time stamps. There are no B-frames in them,
so that packets are stored in the order of their time and segments can be put one behind the other.
"""

import heapq
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

import av
import numpy as np

from restoration.video.clip_reader import ONE_THREAD, ClipInfo, is_cover, opened, words
from utils.atomic import atomic_path
from utils.errors import UserError
from utils.helper_processes import HelperProcess, begin_serving, may_have_helpers

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""FFmpeg's names of what can be written."""

ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    # As good as the eye can tell from the source; presets for a pace that the network does not wait for.
    "h264": ("libx264", {"crf": "17", "preset": "medium"}),
    "hevc": ("libx265", {"crf": "19", "preset": "medium", "x265-params": "log-level=error"}),
    "vp9": ("libvpx-vp9", {"crf": "20", "b": "0", "deadline": "good", "cpu-used": "3"}),
    "av1": ("libsvtav1", {"crf": "22", "preset": "7", "svtav1-params": "pred-struct=1"}),
    "ffv1": ("ffv1", {}),
}
"""By the codec of the source; sources of another become H.264, in WebM VP9."""


os.environ.setdefault("SVT_LOG", "1")  # of the encoder of AV1: errors only


SECONDS, PIXELS_PER_SECOND = 60.0, 1e5
"""Seconds of processor time that a frame may take: a constant, and what the slowest encoders need."""
HELD = 100
"""Frames that an encoder holds back, at most, and writes at the end of a segment."""


class SegmentWriter:
    """Encodes frames to one file, in a process of its own; a context.

    An encoder may crash, or write beyond its memory (x265 4.2 does in small pictures), which would end
    whatever else this process does.

    path       of the segment
    info       of the clip
    container  FFmpeg's name of the one that the segments will be joined in
    """

    def __init__(self, path: Path, info: ClipInfo, container: str):
        self._arguments = path, info, container
        self._seconds = SECONDS + info.width * info.height / PIXELS_PER_SECOND
        self._helper: HelperProcess | None = None
        self._here: Encoder | None = None

    def __enter__(self) -> Self:
        if not may_have_helpers():
            self._here = Encoder(*self._arguments)
            return self
        helper = HelperProcess(_serve, "clip-encoder", "its encoder was stopped (a frame takes more than")
        self._helper = helper
        try:
            helper.await_start()
            helper.connection.send(self._arguments)
        except BaseException:
            helper.end()
            raise
        return self

    def write(self, planes: list[np.ndarray], time: int, duration: int) -> None:
        """planes as `ClipFrame` has them; time and duration in ticks of the clip. Raises UserError, also for
        the frame before."""
        if self._here is not None:
            self._here.write(planes, time, duration)
        else:
            self._send((planes, time, duration), self._seconds)

    def _send(self, message: object, seconds: float) -> None:
        """When the frame before is done: this one is encoded while the next is computed."""
        assert self._helper is not None
        try:
            error = self._helper.answer(seconds)
            if error is None:
                self._helper.connection.send(message)
        except (EOFError, OSError) as ended:
            raise UserError("its encoder crashed") from ended
        if error is not None:
            raise UserError(error)

    def __exit__(self, kind: object, *_: object) -> None:
        if self._here is not None:
            self._here.close(flush=kind is None)
            return
        assert self._helper is not None
        try:
            if kind is None:
                self._send(None, self._seconds)
                self._send(None, HELD * self._seconds)
        finally:
            with suppress(OSError):  # it may have been ended already
                self._helper.end()


def _serve(connection: Connection) -> None:
    """The helper's side: before each message, None or what went wrong with the one before."""
    begin_serving(connection)
    with suppress(EOFError, OSError):  # the parent ended
        try:
            encoder = Encoder(*connection.recv())
            connection.send(None)
            while (message := connection.recv()) is not None:
                encoder.write(*message)
                connection.send(None)
            encoder.close(flush=True)
            connection.send(None)
        except UserError as error:
            connection.send(str(error))
        connection.recv()


class Encoder:
    """Encodes frames to one file in this process; parameters and `write` as those of SegmentWriter. Raises
    UserError."""

    def __init__(self, path: Path, info: ClipInfo, container: str):
        self._info = info
        name, options = encoder_for(info, container)
        try:
            self._file = av.open(str(path), "w", format="nut")
        except (av.FFmpegError, OSError) as error:
            raise UserError(f"cannot write {path}: {words(error)}") from error
        self._stream = self._file.add_stream(name, rate=info.rate, options=options)
        context = self._stream.codec_context
        context.width, context.height = info.width, info.height
        context.pix_fmt = encoded_format(name, info)
        context.time_base = info.time_base
        context.max_b_frames = 0
        if info.aspect is not None:
            context.sample_aspect_ratio = info.aspect
        _set_colours(context, info)

    def write(self, planes: list[np.ndarray], time: int, duration: int) -> None:
        info = self._info
        frame = _frame_of(planes, info)
        frame.pts, frame.time_base, frame.duration = time, info.time_base, duration
        if frame.format.name != self._stream.codec_context.pix_fmt:
            frame = frame.reformat(format=self._stream.codec_context.pix_fmt, threads=ONE_THREAD)
        self._encode(frame)

    def close(self, flush: bool) -> None:
        """Closes the file, with the frames that the encoder still holds if they are to be kept."""
        try:
            if flush:
                self._encode(None)
        finally:
            self._file.close()

    def _encode(self, frame: av.VideoFrame | None) -> None:
        name = self._stream.codec_context.name
        try:
            packets = self._stream.encode(frame)
            if name == "libsvtav1":
                leave_real_time()
            self._file.mux(packets)
        except (av.FFmpegError, OSError) as error:
            raise UserError(f"{name} cannot encode its frames: {words(error)}") from error


def leave_real_time() -> None:
    """Takes back the real-time priority that SVT-AV1 as root gives to its threads and the calling one.

    With it an encoder starves all other processes, and every process that is started later inherits it.
    """
    for thread in os.listdir("/proc/self/task") if os.path.isdir("/proc/self/task") else []:
        try:
            if os.sched_getscheduler(int(thread)) == os.SCHED_FIFO:
                os.sched_setscheduler(int(thread), os.SCHED_OTHER, os.sched_param(0))
        except OSError:  # the thread has just ended
            continue


def encoder_for(info: ClipInfo, container: str) -> tuple[str, dict[str, str]]:
    """(name, options) of the encoder for a clip."""
    codec = info.codec
    # x265 4.2 writes beyond its memory where the picture is smaller than a block.
    if codec == "hevc" and min(info.width, info.height) < 64:
        codec = "h264"
    if codec not in ENCODERS or (container == "webm" and codec not in ("vp9", "av1")):
        codec = "vp9" if container == "webm" else "h264"
    if codec == "ffv1" and container != "matroska":
        codec = "h264"
    return ENCODERS[codec]


def encoded_format(encoder: str, info: ClipInfo) -> str:
    """The pixel format to encode: the frames' own where the encoder takes it, else a near one of 4:2:0, with
    more chroma where the encoder wants even sides for that and a side is odd."""
    formats = {form.name for form in av.Codec(encoder, "w").video_formats or ()}
    deep = info.pixel_format.endswith("le") and "yuv420p10le" in formats
    chosen = info.pixel_format if info.pixel_format in formats else "yuv420p10le" if deep else "yuv420p"
    if encoder in ("libx264", "libx265") and (info.width % 2 or info.height % 2):
        if chosen.startswith("nv"):  # the same in another order, for which there is no other chroma
            chosen = "yuv420p"
        chroma = ("420", "444"), ("422", "444") if info.width % 2 else ("420", "422")
        for fewer, more in chroma if info.width % 2 else chroma[1:]:
            chosen = chosen.replace(fewer, more)
    return chosen


def join(source: Path, segments: list[Path], result: Path, info: ClipInfo) -> tuple[str, ...]:
    """Writes the moving picture of `segments` and all other streams of `source` to `result`, atomically.

    Nothing is encoded anew. Returns what could not be kept, one clause each. Raises UserError.
    """
    container = CONTAINERS[result.suffix.lower()]
    options = {"movie_timescale": str(info.time_base.denominator)} if container in ("mp4", "mov") else {}
    notes: list[str] = []
    with atomic_path(result) as temporary, ExitStack() as stack:
        original = stack.enter_context(opened(source))
        try:
            first = stack.enter_context(opened(segments[0])).streams.video[0]
            target = stack.enter_context(av.open(str(temporary), "w", format=container, options=options))
            picture = target.add_stream_from_template(first, opaque=True)
            picture.time_base = info.time_base
            _set_colours(picture.codec_context, info)  # not all codecs say them themselves
            if info.display_matrix is not None:
                picture.set_display_matrix(info.display_matrix)
            copies = _copied_streams(original, target, notes)
            target.metadata.update(original.metadata)
            target.set_chapters(original.chapters())
            picture.metadata.update(_language(original))
            # The muxer holds packets until each stream has one of a later time: they come in order.
            for _, _, packet, stream in heapq.merge(
                _pictures(segments, picture), _others(original, copies), key=lambda item: item[:2]
            ):
                packet.stream = stream
                target.mux_one(packet)
        except (av.FFmpegError, ValueError) as error:
            raise UserError(f"cannot write {result}: {words(error)}") from error
    return tuple(notes)


def _copied_streams(
    original: av.container.InputContainer, target: av.container.OutputContainer, notes: list[str]
) -> dict[int, av.stream.Stream]:
    """Streams of `target` for those of `original` that are copied, by their index there."""
    kinds = {"audio", "subtitle"} | ({"attachment"} if target.format.name == "matroska" else set())
    copies = {}
    for stream in original.streams:
        if stream.type == "video" and not is_cover(stream):
            continue
        try:
            if stream.type not in kinds:
                raise ValueError(stream.type)
            copy = target.add_stream_from_template(stream)
            copy.metadata.update(stream.metadata)
            copy.disposition = stream.disposition
            if stream.type != "attachment":  # which has no packets
                copies[stream.index] = copy
        except (av.FFmpegError, ValueError):
            kind = {"audio": "sound", "video": "cover"}.get(stream.type, stream.type)
            notes.append(f"its {kind} (stream {stream.index}) is not kept: the result cannot hold it")
    return copies


def _language(original: av.container.InputContainer) -> dict[str, str]:
    stream = next(stream for stream in original.streams.video if not is_cover(stream))
    return {key: value for key, value in stream.metadata.items() if key in ("language", "title")}


def _pictures(segments: list[Path], stream: av.VideoStream) -> Iterator[tuple]:
    """(seconds, 0, packet, stream) of all segments in order."""
    for path in segments:
        with opened(path) as segment:
            for packet in segment.demux(video=0):
                if packet.dts is not None:
                    yield packet.dts * packet.time_base, 0, packet, stream


def _others(original: av.container.InputContainer, copies: dict[int, av.stream.Stream]) -> Iterator[tuple]:
    """(seconds, 1, packet, stream) of the copied streams, as they lie in the file."""
    wanted = [stream for stream in original.streams if stream.index in copies]
    latest = Fraction(0)
    for packet in original.demux(*wanted) if wanted else ():
        time = packet.pts if packet.dts is None else packet.dts
        if time is not None:  # the last packet is an empty one
            # Streams of one file are interleaved only roughly; merging needs an order.
            latest = max(latest, time * packet.time_base)
            yield latest, 1, packet, copies[packet.stream.index]


def _frame_of(planes: list[np.ndarray], info: ClipInfo) -> av.VideoFrame:
    frame = av.VideoFrame(info.width, info.height, info.pixel_format)
    for plane, pixels in zip(frame.planes, planes, strict=True):
        lines = np.frombuffer(plane, pixels.dtype)[: plane.line_size // pixels.itemsize * plane.height]
        lines.reshape(plane.height, -1)[:, : plane.width] = pixels
    _set_colours(frame, info)
    return frame


def _set_colours(of: av.VideoCodecContext | av.VideoFrame, info: ClipInfo) -> None:
    of.color_primaries, of.color_trc, of.colorspace, of.color_range = info.colours
