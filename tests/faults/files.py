"""Pictures, clips and weight files, damaged, forged or foreign: each is read or refused in a sentence.

A picture that is read is also written in every format, since forged metadata shows there only. Clips are
decoded in one process, which is fast; what fails there must be refused in a sentence in a helper process.
Folders of such pictures and clips go through infer.py: all that can be read are done, all others named.
Weight files with a hash or checksums that still load must hold the very weights that were written; those
without (MindSpore, PyTorch before 1.6) may load with other numbers.
"""

import collections
import functools
import io
import json
import os
import pickle
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import tifffile
import torch
from PIL import Image, ImageCms
from safetensors import safe_open
from torch import nn

from models import build_model
from models.unet import UNet
from tests.faults.attempts import STARTS, Kind, Outcome, Row, forge, mutate, one_file, scratch, try_kinds
from tests.weights.mindspore_files import write_nets
from utils.errors import UserError
from utils.image_decoding import size_of
from utils.image_encoding import encode, fit
from utils.image_files import WRITERS, Picture, read_picture
from utils.image_metadata import PNG_SIGNATURE, png_chunks
from utils.tiff_directories import EXIF, GPS, Field, write_directory
from weights.hashing import content_hash
from weights.model_files import load_model, network_of, read_weights, save_model
from weights.safetensors_files import write_safetensors

SECONDS = 5.0  # of processor time for each file
# The largest weight file has 300 KiB: what is held above that is Python's own and the tables of networks.
# Pictures may take that much beyond the pixels that they claim.
WEIGHT_MEBIBYTES, CLIP_MEBIBYTES, PICTURE_MEBIBYTES = 200.0, 1024.0, 1024.0
PICTURES_IN_FOLDER, CLIPS_IN_FOLDER = (
    200,
    12,
)  # at most so many go through infer.py, which starts anew for them
MAX_PIXELS = 2 * 10**8  # infer.py's own

Bytes = Callable[[np.random.Generator], bytes]


def _changed(data: bytes) -> Bytes:
    return lambda rng: mutate(data, rng)


def through_infer(what: str, files: list[tuple[str, bytes]]) -> Row:
    """infer.py, given files (a name, of which the suffix counts, and content), names what it cannot read."""
    count = len(files)
    with scratch() as folder:
        (folder / "in").mkdir()
        for number, (name, content) in enumerate(files):
            (folder / "in" / f"{number}{Path(name).suffix}").write_bytes(content)
        command = [sys.executable, "infer.py", "-i", folder / "in", "-o", folder / "out", "--method", "input"]
        root, text = Path(__file__).parents[2], {"text": True, "errors": "replace"}
        done = subprocess.run(command, cwd=root, capture_output=True, check=False, **text)
        written = len([path for path in folder.glob("out/*") if path.suffix != ".part"])
    numbers = re.search(r"done (\d+), skipped 0, failed (\d+)", done.stdout)
    if not numbers or "Traceback" in done.stderr:
        return Row(what, count, count, f"exit code {done.returncode}: {done.stderr.strip()[-200:]}")
    finished, failed, named = int(numbers[1]), int(numbers[2]), len(re.findall(r"failed: ", done.stderr))
    wrong = abs(count - finished - failed) + abs(failed - named) + abs(finished - written)
    wrong += done.returncode != (1 if failed else 0)
    outcome = f"{finished} done, {failed} failed and named, exit code {done.returncode}"
    return Row(what, count, wrong, outcome)


# ---- pictures


def pictures(seed: int, count: int) -> list[Row]:
    """`count` files in all, in equal parts of each kind; a row for each kind, and one for a folder."""
    files = _picture_files()
    others = list(files.values())
    ways = {f"{name}, bytes changed": _changed(data) for name, data in files.items()}
    ways |= {f"{name}, start of another kind": _exchanged(data, others) for name, data in files.items()}
    for name in ("PNG 8 bits", "PNG 16 bits, alpha", "PNG palette"):
        ways[f"{name}, changed under right checksums"] = functools.partial(_under_checksums, files[name])
    for kind in ("PNG", "JPEG", "TIFF", "WEBP"):
        ways[f"{kind}, metadata forged"] = functools.partial(_forged_metadata, kind)
    ways["absurd sizes claimed"] = _claimed_sizes
    kinds = [Kind(what, one_file("case.png", make), _within_claim) for what, make in ways.items()]
    rows = try_kinds(kinds, count, seed, read_and_write, seconds=SECONDS, mebibytes=np.inf)
    rng, makes = np.random.default_rng(seed), list(ways.values())
    some = [("a.png", makes[n % len(makes)](rng)) for n in range(min(count, PICTURES_IN_FOLDER))]
    return [*rows, through_infer("a folder of such files through infer.py", some)]


def read_and_write(path: str) -> str:
    """Reads a picture, and encodes it in each format where it is small; returns its size in words."""
    with warnings.catch_warnings(action="ignore"):
        picture = read_picture(path)
        height, width = picture.pixels.shape[:2]
        assert picture.pixels.dtype in (np.uint8, np.uint16, np.float32)
        assert picture.alpha is None or picture.alpha.shape == (height, width)
        if height * width < 10**6:
            for kind in dict.fromkeys(WRITERS.values()):
                encode(fit(picture, kind)[0], kind)
    return f"{width}x{height}"


def _within_claim(outcome: Outcome, path: Path) -> Outcome:
    """Fails above what the pixels that a file claims take: once decoded, and once as they are handed on."""
    width, height = size_of(path.read_bytes())
    allowed = PICTURE_MEBIBYTES + 8 * width * height / 2**20
    if outcome.kind == "failed" or outcome.mebibytes <= allowed:
        return outcome
    return outcome.failed(f"took {outcome.mebibytes:.0f} MiB, {allowed:.0f} allowed")


def _exchanged(data: bytes, others: list[bytes]) -> Bytes:
    def make(rng: np.random.Generator) -> bytes:
        length = int(rng.integers(4, 257))
        return others[rng.integers(len(others))][:length] + data[length:]

    return make


def _under_checksums(data: bytes, rng: np.random.Generator) -> bytes:
    """The content of one chunk of a PNG file changed, its length and checksum right again."""
    chunks = list(png_chunks(data))
    place = int(rng.integers(len(chunks)))
    name, body = chunks[place]
    if name == b"IDAT" and rng.random() < 0.5:  # damage beyond deflate
        whole = zlib.decompress(b"".join(b for k, b in chunks if k == b"IDAT"))
        chunks[place] = name, zlib.compress(mutate(whole, rng))
    else:
        chunks[place] = name, mutate(body, rng)
    return PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def _forged_metadata(kind: str, rng: np.random.Generator) -> bytes:
    """A sound picture with damaged EXIF data, colour profile and XMP data in it."""
    parts = _exif(), _icc(), _xmp()
    exif, icc, xmp = (mutate(part, rng) if rng.random() < 0.7 else part for part in parts)
    pixels = np.zeros((12, 16, 3), np.uint8)
    if kind == "TIFF":
        file = io.BytesIO()
        tags = [(34665, "I", 1, int(rng.integers(2**32)), True), (700, "B", len(xmp), xmp, True)]
        tags += [(274, "H", 1, int(rng.integers(2**16)), True), (34675, "I", 1, 5, True)]
        kept = [tag for tag in tags if rng.random() < 0.6]
        tifffile.imwrite(file, pixels, photometric="rgb", extratags=kept)
        return file.getvalue()
    dpi = (float(rng.integers(1, 10**5)),) * 2
    return encode(Picture(pixels, exif=exif, icc=icc, xmp=xmp, dpi=dpi), kind)


def _claimed_sizes(rng: np.random.Generator) -> bytes:
    """Small sound files whose headers claim huge sizes."""
    files = _picture_files()
    width, height = (int(side) for side in 2 ** rng.uniform(8, 31, 2))
    which = rng.integers(5)
    if which == 0:
        data = bytearray(files["PNG 8 bits"])
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif which == 1:
        data = bytearray(files["JPEG"] if rng.random() < 0.5 else files["JPEG progressive"])
        frame = max(data.find(b"\xff\xc0\x00\x11"), data.find(b"\xff\xc2\x00\x11"))
        data[frame + 5 : frame + 9] = struct.pack(">HH", height % 2**16, width % 2**16)
    elif which == 2:
        data = bytearray(files["BMP"])
        data[18:26] = struct.pack("<ii", width % 2**31, height % 2**31)
    elif which == 3:
        data = bytearray(files["GIF animation"])
        data[6:10] = struct.pack("<HH", width % 2**16, height % 2**16)
    else:
        data = bytearray(b"P6 %d %d %d\n" % (width, height, int(rng.choice([255, 65535]))) + bytes(1000))
    return bytes(data)


@functools.cache
def _picture_files() -> dict[str, bytes]:
    """A sound file of each kind, small."""
    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.random((5, 6, 3)).astype(np.float32), (48, 40), interpolation=cv2.INTER_CUBIC)
    floats = np.clip(smooth, 0, 1)
    pixels, deep = np.rint(floats * 255).astype(np.uint8), np.rint(floats * 65535).astype(np.uint16)
    rich = {"exif": _exif(), "icc": _icc(), "xmp": _xmp(), "dpi": (300.0, 300.0)}
    image = Image.fromarray(pixels)
    turned = [Image.fromarray(np.roll(pixels, 9 * n, 1)) for n in range(3)]
    frames = {"save_all": True, "append_images": turned}
    big = io.BytesIO()
    tifffile.imwrite(big, deep, bigtiff=True, photometric="rgb")
    files = {
        "PNG 8 bits": encode(Picture(pixels, **rich), "PNG"),
        "PNG 16 bits, alpha": encode(Picture(deep, deep[..., 0].copy(), **rich), "PNG"),
        "PNG palette": _saved(image.quantize(32), "PNG", transparency=3),
        "JPEG": encode(Picture(pixels, **rich), "JPEG"),
        "JPEG progressive": _saved(image, "JPEG", progressive=True),
        "JPEG CMYK": _saved(image.convert("CMYK"), "JPEG"),
        "TIFF 8 bits": encode(Picture(pixels, **rich), "TIFF"),
        "TIFF 16 bits": encode(Picture(deep, **rich), "TIFF"),
        "TIFF floating point": encode(Picture(floats), "TIFF"),
        "TIFF by Pillow": _saved(image, "TIFF", compression="tiff_lzw", **frames),
        "BigTIFF": big.getvalue(),
        "WebP": encode(Picture(pixels, **rich), "WEBP"),
        "WebP animation": _saved(image, "WEBP", **frames),
        "BMP": encode(Picture(pixels), "BMP"),
        "GIF animation": _saved(image, "GIF", **frames),
        "PPM 8 bits": _saved(image, "PPM"),
        "PPM 16 bits": b"P6 48 40 65535\n" + deep.astype(">u2").tobytes(),
        "AVIF": _saved(image, "AVIF", speed=10),
        "JPEG 2000": cv2.imencode(".jp2", deep)[1].tobytes(),
    }
    try:
        import pillow_heif
    except ImportError:
        return files
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file)
    return files | {"HEIC": file.getvalue()}


def _saved(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _exif() -> bytes:
    camera = {0x829A: Field(5, 1, struct.pack("<II", 1, 250)), 0x9003: Field(2, 20, b"2024:02:03 04:05:06\0")}
    camera[0x927C] = Field(7, 64, bytes(range(64)))
    position = {1: Field(2, 2, b"N\0"), 2: Field(5, 3, struct.pack("<6I", 48, 1, 51, 1, 29, 1))}
    directory = {0x010F: Field(2, 7, b"Camera\0"), 0x0112: Field(3, 1, struct.pack("<H", 6))}
    directory |= {EXIF: Field(4, 1, camera), GPS: Field(4, 1, position)}
    return b"II*\0" + struct.pack("<I", 8) + write_directory(directory, "<", 8)


def _icc() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + bytes(12) + profile[36:]  # without its time: equal seeds try equal files


def _xmp() -> bytes:
    return b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf>5</rdf></x:xmpmeta>'


# ---- clips

CONTAINERS = {  # file name, encoder and pixel format of each kind
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


def clips(seed: int, count: int) -> list[Row]:
    """`count` clips in all, in equal parts of each kind; a row for each kind, and one for a folder."""
    ways = {}
    for what, (name, data) in _clip_files().items():
        ways[f"clips: {what}, bytes changed"] = name, _changed(data)
        ways[f"clips: {what}, headers forged"] = name, functools.partial(_forged_headers, data)
    name, data = next(iter(_clip_files().values()))
    ways["clips: absurd sizes claimed"] = name, functools.partial(_claimed_frames, data)
    kinds = [Kind(what, one_file(*way), _in_helper) for what, way in ways.items()]
    rows = try_kinds(kinds, count, seed, read_clip, seconds=SECONDS, mebibytes=CLIP_MEBIBYTES)
    rng = np.random.default_rng(seed)
    some = [(name, make(rng)) for name, make in list(ways.values())[: min(count, CLIPS_IN_FOLDER)]]
    return [*rows, through_infer("a folder of such clips through infer.py", some)]


def read_clip(path: str, guarded: bool = False) -> str:
    """Reads a clip to its end, in this process or guarded by another one; returns what was in it in words."""
    from restoration.video.clip_reader import decode_frames, decode_info, read_frames, read_info

    of_clip, of_frames = (read_info, read_frames) if guarded else (decode_info, decode_frames)
    info = of_clip(Path(path), MAX_PIXELS)
    frames = 0
    for frames, frame in enumerate(of_frames(Path(path), info), 1):  # noqa: B007 (how many there are)
        assert frame.rgb().dtype == np.float32
    return f"{frames} frames of {info.width}x{info.height}"


def _in_helper(outcome: Outcome, path: Path) -> Outcome:
    """What infer.py makes of a clip that failed without a helper process."""
    if outcome.kind != "failed":
        return outcome
    try:
        return Outcome("fine", read_clip(str(path), guarded=True))
    except UserError as error:
        return Outcome("refused", f"{error}")
    except Exception as error:
        return outcome.failed(f"{type(error).__name__}: {error}")


def _forged_headers(data: bytes, rng: np.random.Generator) -> bytes:
    """Up to four numbers of the headers, which lie before the frames, or for MP4 and its kin behind them."""
    start = max(data.find(b"moov"), 0)
    headers = data[start : start + 2**16]
    for _ in range(rng.integers(1, 5)):
        headers = forge(headers, rng)
    return data[:start] + headers + data[start + 2**16 :]


def _claimed_frames(data: bytes, rng: np.random.Generator) -> bytes:
    """Small sound clips whose headers claim huge frames, endless tracks, or a billion of frames."""
    forged = bytearray(data)
    width, height = (int(side) % 2**16 for side in 2 ** rng.uniform(8, 16, 2))
    codec = data.index(b"avc1", data.index(b"stsd"))
    forged[codec + 28 : codec + 32] = struct.pack(">HH", width, height)
    for box in (b"tkhd", b"mdhd", b"mvhd", b"stts", b"stsz", b"stco", b"elst"):
        place = data.find(box)
        if place > 0 and rng.random() < 0.3:
            at = place + 8 + 4 * int(rng.integers(1, 6))
            forged[at : at + 4] = struct.pack(">I", int(2 ** rng.uniform(8, 32)) % 2**32)
    return bytes(forged)


@functools.cache
def _clip_files() -> dict[str, tuple[str, bytes]]:
    """A sound clip of each kind whose encoder is there: what it is, its name and its content."""
    import av

    from tests.restoration.video.clip_files import noisy_pictures, write_clip

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
            files[what] = name, path.read_bytes()
    return files


# ---- weights

MARKER = "code-was-run"
SMALL = {"widths": (3, 6, 6), "trunk_channels": (4, 6, 8)}


def weight_files(seed: int, count: int) -> list[Row]:
    """`count` files in all, in equal parts of each kind; a row for each kind."""
    with scratch() as folder:
        kinds = _weight_kinds(folder)
        return try_kinds(kinds, count, seed, load_and_hash, seconds=SECONDS, mebibytes=WEIGHT_MEBIBYTES)


def load_and_hash(path: str) -> str:
    """Loads as users do; returns a hash of the weights. Raises AssertionError where code ran or NaN came."""
    try:
        with warnings.catch_warnings(action="ignore"):
            if path.endswith(".mdl"):
                # The authors' network has 300 MB; the same code reads a small one in the same form.
                weights = replace(read_weights(path), default="aha-lite", hyperparameters=SMALL)
                model = network_of(weights, path)
            else:
                model = load_model(path)
    finally:
        assert not (Path(path).parent / MARKER).exists(), "a file ran code"
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    return content_hash(model.state_dict())


def _refused(outcome: Outcome, path: Path) -> Outcome:
    return outcome.failed("it was loaded") if outcome.kind == "fine" else outcome


def _the_same(wanted: str) -> Callable[[Outcome, Path], Outcome]:
    def judge(outcome: Outcome, path: Path) -> Outcome:
        other = outcome.kind == "fine" and outcome.detail != wanted
        return outcome.failed("other weights were loaded, without a word") if other else outcome

    return judge


def _weight_kinds(folder: Path) -> list[Kind]:
    torch.manual_seed(0)
    model = build_model("aha-lite", **SMALL)
    names = ("a.safetensors", "a.mdl", "old.mdl", "last.pt")
    ours, mdl, old, last = files = [folder / name for name in names]
    state, hyperparameters = model.state_dict(), model.spec.hyperparameters
    save_model(model, ours, training={"steps": 7})
    torch.save({"epoch": 1, "model": state}, mdl)
    torch.save(state, old, _use_new_zipfile_serialization=False)
    checkpoint = {"network": "aha-lite", "hyperparameters": hyperparameters, "progress": {"step": 3}}
    torch.save(checkpoint | {"networks": {"model": state}, "average": state}, last)
    (folder / "pth").mkdir()
    for number, channels in enumerate((3, 3, 6, 9), start=1):
        torch.save(UNet(channels, width=2).state_dict(), folder / "pth" / f"UNet{number}_60.pth")
    write_nets(folder / "ckpt")
    assert {load_and_hash(str(path)) for path in files} == {content_hash(state)}
    same, same_unets = _the_same(content_hash(state)), _the_same(load_and_hash(str(folder / "pth")))

    def bytes_of(path: Path) -> Callable:
        return one_file(path.name, _changed(path.read_bytes()))

    return [
        Kind(".safetensors, bytes changed", bytes_of(ours), same),
        Kind(".safetensors, metadata forged", _metadata_of(ours), same),
        Kind(".safetensors, tensors forged", functools.partial(_tensors_of, model), _refused),
        Kind(".mdl, bytes changed", bytes_of(mdl), same),
        Kind(".mdl, pickle changed under right checksums", _pickle_of(mdl)),
        Kind(".mdl before PyTorch 1.6, bytes changed", bytes_of(old)),
        Kind("pickles that call functions", _calls, _refused),
        Kind("checkpoint of train.py, bytes changed", bytes_of(last), same),
        Kind("TSHRNet's .pth, bytes of one changed", _one_of(folder / "pth"), same_unets),
        Kind("TSHRNet's .ckpt of MindSpore, bytes of one changed", _one_of(folder / "ckpt")),
        Kind("files of other programs under these names", _foreign, _refused),
    ]


def _one_of(whole: Path) -> Callable[[Path, np.random.Generator], Path]:
    def make(folder: Path, rng: np.random.Generator) -> Path:
        shutil.copytree(whole, folder, dirs_exist_ok=True)
        file = sorted(folder.iterdir())[rng.integers(4)]
        file.write_bytes(mutate(file.read_bytes(), rng))
        return folder

    return make


_ABSURD = (0, -1, 2**31, 2**63, 10**300, 1.5, 1e308, float("nan"), True, None, "", "wide", "\u0000", [], {})
_ABSURD += ([0, 0, 0], [8192] * 3, [2**40] * 3, [[4]], [1] * 100_000, ["a", "b", "c"], {"a": 1}, [None] * 3)


def _metadata_of(whole: Path) -> Callable[[Path, np.random.Generator], Path]:
    """Metadata forged under a right hash."""
    with safe_open(whole, "pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        metadata = {key: text for key, text in file.metadata().items() if key != "sha256"}
    odd = ("", "[" * 5000, "aha", "null", '{"a":' * 2000, "NaN", "0" * 10_000)

    def make(folder: Path, rng: np.random.Generator) -> Path:
        forged, way = dict(metadata), int(rng.integers(5))
        key = ("network", "hyperparameters", "training", "format")[rng.integers(4)]
        if way == 0:
            del forged[key]
        elif way == 1:
            forged[key] = mutate(forged[key].encode(), rng).decode("latin-1")
        elif way == 2:
            forged[key] = odd[rng.integers(len(odd))]
        else:
            values = json.loads(forged["hyperparameters"])
            names = [*values, "unknown"]
            for _ in range(way - 2):
                values[names[rng.integers(len(names))]] = _ABSURD[rng.integers(len(_ABSURD))]
            forged["hyperparameters"] = json.dumps(values)
        write_safetensors(folder / "a.safetensors", state, forged)
        return folder / "a.safetensors"

    return make


def _tensors_of(model: nn.Module, folder: Path, rng: np.random.Generator) -> Path:
    """The metadata and the hash are right: what is wrong are the tensors."""
    changed = build_model("aha-lite", **SMALL)
    state = dict(model.state_dict())
    floats = [name for name, value in state.items() if value.is_floating_point()]
    name, way = floats[rng.integers(len(floats))], int(rng.integers(6))
    if way == 0:
        state[name] = torch.full_like(state[name], float(rng.choice([np.nan, np.inf, -np.inf])))
    elif way == 1:
        state[name] = state[name].flatten()[:-1].contiguous()
    elif way == 2:
        state[name] = state[name].to([torch.int8, torch.bool, torch.int64][rng.integers(3)])
    elif way == 3:
        del state[name]
    elif way == 4:
        state["extra." + "x" * int(rng.integers(1, 3000))] = torch.zeros(1)
    else:
        state[name] = torch.zeros(0)
    changed.state_dict = lambda: state
    save_model(changed, folder / "a.safetensors")
    return folder / "a.safetensors"


def _pickle_of(whole: Path) -> Callable[[Path, np.random.Generator], Path]:
    with zipfile.ZipFile(whole) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}

    def make(folder: Path, rng: np.random.Generator) -> Path:
        with zipfile.ZipFile(folder / "a.mdl", "w", zipfile.ZIP_STORED) as archive:
            for name, content in entries.items():
                archive.writestr(name, mutate(content, rng) if name.endswith(".pkl") else content)
        return folder / "a.mdl"

    return make


class _Call:
    def __init__(self, function: Callable, *arguments: object):
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def _calls(folder: Path, rng: np.random.Generator) -> Path:
    """A pickle that would write a file, ask for a tebibyte, or build an object with code in it."""
    marker = folder / MARKER
    writes = f"open({str(marker)!r}, 'w')"
    calls = [_Call(os.system, f"touch {marker}"), _Call(eval, writes), _Call(exec, writes)]
    calls += [_Call(bytearray, 2**40), _Call(torch.FloatTensor, 2**38), _Call(torch.load, str(marker))]
    calls += [_Call(getattr, nn.Linear, "forward"), _Call(collections.Counter, "weights")]
    calls += [nn.Linear(2, 2), folder]
    call = calls[rng.integers(len(calls))]
    content = [call, {"model": call}, {"model": {"w": call}}, [torch.zeros(2), call]][rng.integers(4)]
    file = folder / ("a.mdl", "a.pth", "a.pt", "a.ckpt")[rng.integers(4)]
    if rng.random() < 0.3:
        file.write_bytes(pickle.dumps(content, protocol=int(rng.integers(6))))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=bool(rng.random() < 0.5))
    return file


def _foreign(folder: Path, rng: np.random.Generator) -> Path:
    names = ("a.safetensors", "a.mdl", "a.pth", "UNet1_60.ckpt", "UNet2_60ckpt", "UNet3_60.pth", "last.pt")
    for name in names if rng.random() < 0.2 else [names[rng.integers(len(names))]]:
        start = [b"", *STARTS][rng.integers(len(STARTS) + 1)]
        path = folder / name
        path.write_bytes(start + rng.bytes(int(rng.choice([0, 1, 100, 5000]))))
    return path if rng.random() < 0.7 else folder
