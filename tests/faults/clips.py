"""Clips that are damaged, forged or cut off: each is read to its end or refused in a sentence.

All are decoded in one process, which is fast; what fails there, by an exception, a crash, or too much time or
memory, must be refused in a sentence where infer.py decodes it, in a helper process. A folder of such clips
goes through infer.py: all that can be read are done, all others named.
"""

import functools
import os
import struct
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np

from restoration.video.clip_reader import decode_frames, decode_info, read_frames, read_info
from tests.faults.attempts import Kind, Outcome, Row, try_kinds
from tests.faults.mutations import forge_number, mutate, set_bytes
from tests.faults.pictures import through_infer
from tests.restoration.video.clip_files import noisy_pictures, write_clip
from utils.errors import UserError

COUNT = 600
SECONDS, MEBIBYTES = 5.0, 1024.0
IN_FOLDER = 12
MAX_PIXELS = 2 * 10**8  # infer.py's own
MOVED = 2**16  # bytes of a file in which its headers lie

CONTAINERS: dict[str, tuple[str, str, str]] = {
    "MP4, H.264 and sound": ("a.mp4", "libx264", "yuv420p"),
    "MOV, HEVC": ("a.mov", "libx265", "yuv420p"),
    "Matroska, FFV1": ("a.mkv", "ffv1", "yuv444p"),
    "WebM, VP9": ("a.webm", "libvpx-vp9", "yuv420p"),
    "AVI, Motion JPEG": ("a.avi", "mjpeg", "yuvj420p"),
    "AVI, MPEG-4": ("b.avi", "mpeg4", "yuv420p"),
    "MPEG transport stream": ("a.mts", "libx264", "yuv420p"),
    "Windows Media": ("a.wmv", "wmv2", "yuv420p"),
    "Flash": ("a.flv", "flv1", "yuv420p"),
}
"""File name, encoder and pixel format of each kind."""

Bytes = Callable[[np.random.Generator], bytes]


def run(seed: int, count: int = COUNT) -> list[Row]:
    """`count` clips in all, in equal parts of each kind; a row for each kind, and one for a folder."""
    ways = _ways()
    kinds = [Kind(what, _written(name, make)) for what, (name, make) in ways.items()]
    rows = try_kinds(kinds, count, seed, read_whole, _guarded, seconds=SECONDS, mebibytes=MEBIBYTES)
    rng = np.random.default_rng(seed)
    some = [(name, make(rng)) for name, make in list(ways.values())[: min(count, IN_FOLDER)]]
    return [*rows, through_infer("a folder of such clips through infer.py", some)]


def _written(name: str, make: Bytes) -> Callable[[Path, np.random.Generator], Path]:
    def write(folder: Path, rng: np.random.Generator) -> Path:
        (folder / name).write_bytes(make(rng))
        return folder / name

    return write


def read_whole(path: str, guarded: bool = False) -> str:
    """Reads a clip to its end, in this process or guarded by another one; returns what was in it in words."""
    of_clip, of_frames = (read_info, read_frames) if guarded else (decode_info, decode_frames)
    info = of_clip(Path(path), MAX_PIXELS)
    frames = 0
    for frame in of_frames(Path(path), info):
        shown = frame.rgb()
        assert shown.dtype == np.float32
        frames += 1
    return f"{frames} frames of {info.width}x{info.height}"


def _guarded(kind: Kind, outcome: Outcome, path: Path) -> Outcome:
    """What infer.py makes of a clip that failed without a helper process."""
    if outcome.kind != "failed":
        return outcome
    try:
        return Outcome("fine", read_whole(str(path), guarded=True))
    except UserError as error:
        return Outcome("refused", f"{error}")
    except Exception as error:
        return replace(outcome, detail=f"{type(error).__name__}: {error}")


def _ways() -> dict[str, tuple[str, Bytes]]:
    """File name and content of each kind of damage."""
    ways = {}
    for what, (name, data) in _files().items():
        ways[f"clips: {what}, bytes changed"] = name, _changed(data)
        ways[f"clips: {what}, headers forged"] = name, _forged(data)
    name, data = next(iter(_files().values()))
    return ways | {"clips: absurd sizes claimed": (name, _claims(data))}


def _changed(data: bytes) -> Bytes:
    return lambda rng: mutate(data, rng)


def _forged(data: bytes) -> Bytes:
    """Up to four numbers of the headers, which lie before the frames, or for MP4 and its kin behind them."""
    start = max(data.find(b"moov"), 0)

    def make(rng: np.random.Generator) -> bytes:
        headers = bytes(data[start : start + MOVED])
        for _ in range(rng.integers(1, 5)):
            headers = (forge_number if rng.random() < 0.5 else set_bytes)(headers, rng)
        return data[:start] + headers + data[start + MOVED :]

    return make


def _claims(data: bytes) -> Bytes:
    """Small sound clips whose headers claim huge frames, endless tracks, or a billion of frames."""

    def make(rng: np.random.Generator) -> bytes:
        forged = bytearray(data)
        width, height = (int(side) for side in 2 ** rng.uniform(8, 16, 2))
        codec = data.index(b"avc1", data.index(b"stsd"))
        forged[codec + 28 : codec + 32] = struct.pack(">HH", width % 2**16, height % 2**16)
        for box in (b"tkhd", b"mdhd", b"mvhd", b"stts", b"stsz", b"stco", b"elst"):
            place = data.find(box)
            if place > 0 and rng.random() < 0.3:
                at = place + 8 + 4 * int(rng.integers(1, 6))
                forged[at : at + 4] = struct.pack(">I", int(2 ** rng.uniform(8, 32)) % 2**32)
        return bytes(forged)

    return make


@functools.cache
def _files() -> dict[str, tuple[str, bytes]]:
    """A sound clip of each kind whose encoder is there: what it is, its name and its content."""
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        for what, (name, codec, pixel_format) in CONTAINERS.items():
            path = Path(folder) / name
            pictures = noisy_pictures(6, size=(64, 96))  # x265 writes beyond its memory below 64
            options = {"x265-params": "log-level=error"} if codec == "libx265" else {}
            more = {"codec": codec, "pixel_format": pixel_format, "sound": "sound" in what}
            try:
                write_clip(path, pictures, options=options, **more)
            except (av.FFmpegError, ValueError):  # this build of FFmpeg has no such encoder
                continue
            files[what] = os.path.basename(path), path.read_bytes()
    return files
