"""Picture files that are damaged, forged or exchanged: each is read as a picture or refused in a sentence.

What is read is also written in every format, since forged metadata shows there only. A folder of such files
goes through infer.py: all that can be read are done, all others named.
"""

import functools
import io
import re
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms

from tests.faults.attempts import Kind, Outcome, Row, scratch, try_kinds
from tests.faults.mutations import mutate
from utils.image_decoding import size_of
from utils.image_encoding import encode, fit
from utils.image_files import WRITERS, Picture, read_picture
from utils.image_metadata import PNG_SIGNATURE, png_chunks
from utils.tiff_directories import EXIF, GPS, Field, write_directory

COUNT = 5000
SECONDS = 5.0
SPARE_MEBIBYTES = 1024.0
"""Memory beyond what the pixels that a file claims take (see `_own_mebibytes`)."""

IN_FOLDER = 200  # at most so many files go through infer.py, which starts anew for them

Bytes = Callable[[np.random.Generator], bytes]


def run(seed: int, count: int = COUNT) -> list[Row]:
    """`count` files in all, in equal parts of each kind; a row for each kind, and one for a folder."""
    ways = _ways()
    kinds = [Kind(what, _written(make)) for what, make in ways.items()]
    rows = try_kinds(kinds, count, seed, read_and_write, _judged, seconds=SECONDS, mebibytes=np.inf)
    rng, makes = np.random.default_rng(seed), list(ways.values())
    some = [("a.png", makes[number % len(makes)](rng)) for number in range(min(count, IN_FOLDER))]
    return [*rows, through_infer("a folder of such files through infer.py", some)]


def _written(make: Bytes) -> Callable[[Path, np.random.Generator], Path]:
    def write(folder: Path, rng: np.random.Generator) -> Path:
        (folder / "case.png").write_bytes(make(rng))
        return folder / "case.png"

    return write


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


def _judged(kind: Kind, outcome: Outcome, path: Path) -> Outcome:
    allowed = SPARE_MEBIBYTES + _own_mebibytes(path.read_bytes())
    if outcome.kind == "failed" or outcome.mebibytes <= allowed:
        return outcome
    return replace(outcome, kind="failed", detail=f"took {outcome.mebibytes:.0f} MiB, {allowed:.0f} allowed")


def _own_mebibytes(data: bytes) -> float:
    """What the picture that a file claims to hold needs: once decoded, and once as it is handed on."""
    width, height = size_of(data)
    return 8 * width * height / 2**20


def through_infer(what: str, files: list[tuple[str, bytes]]) -> Row:
    """A folder of files (a name, of which the suffix counts, and the content), and infer.py, which must name
    each that it cannot read."""
    count = len(files)
    with scratch() as folder:
        (folder / "in").mkdir()
        for number, (name, content) in enumerate(files):
            (folder / "in" / f"{number}{Path(name).suffix}").write_bytes(content)
        command = [sys.executable, "infer.py", "-i", folder / "in", "-o", folder / "out", "--method", "input"]
        done = subprocess.run(
            command,
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        numbers = re.search(r"done (\d+), skipped 0, failed (\d+)", done.stdout)
        named = len(re.findall(r"failed: ", done.stderr))
        if not numbers or "Traceback" in done.stderr:
            lines = done.stderr.strip().splitlines()
            return Row(what, count, count, f"exit code {done.returncode}: {lines[-1] if lines else ''}")
        finished, failed = int(numbers[1]), int(numbers[2])
        written = len([path for path in folder.glob("out/*") if path.suffix != ".part"])
        wrong = abs(count - finished - failed) + abs(failed - named) + abs(finished - written)
        wrong += done.returncode != (1 if failed else 0)
        return Row(
            what, count, wrong, f"{finished} done, {failed} failed and named, exit code {done.returncode}"
        )


def _ways() -> dict[str, Bytes]:
    files = _files()
    others = list(files.values())
    ways = {f"{name}, bytes changed": _changed(data) for name, data in files.items()}
    ways |= {f"{name}, start of another kind": _exchanged(data, others) for name, data in files.items()}
    for name in ("PNG 8 bits", "PNG 16 bits, alpha", "PNG palette"):
        ways[f"{name}, changed under right checksums"] = _under_checksums(files[name])
    for kind in ("PNG", "JPEG", "TIFF", "WEBP"):
        ways[f"{kind}, metadata forged"] = _forged_metadata(kind)
    return ways | {"absurd sizes claimed": _claims()}


def _changed(data: bytes) -> Bytes:
    return lambda rng: mutate(data, rng)


def _exchanged(data: bytes, others: list[bytes]) -> Bytes:
    def make(rng: np.random.Generator) -> bytes:
        length = int(rng.integers(4, 257))
        return others[rng.integers(len(others))][:length] + data[length:]

    return make


def _under_checksums(data: bytes) -> Bytes:
    """The content of one chunk of a PNG file changed, its length and checksum right again."""

    def make(rng: np.random.Generator) -> bytes:
        chunks = list(png_chunks(data))
        place = int(rng.integers(len(chunks)))
        changed = mutate(chunks[place][1], rng)
        if chunks[place][0] == b"IDAT" and rng.random() < 0.5:  # damage beyond deflate
            changed = zlib.compress(
                mutate(zlib.decompress(b"".join(b for k, b in chunks if k == b"IDAT")), rng)
            )
        chunks[place] = (chunks[place][0], changed)
        return PNG_SIGNATURE + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in chunks
        )

    return make


def _forged_metadata(kind: str) -> Bytes:
    """A sound picture with damaged EXIF data, colour profile and XMP data in it."""

    def make(rng: np.random.Generator) -> bytes:
        exif, icc, xmp = (
            mutate(part, rng) if rng.random() < 0.7 else part for part in (_exif(), _icc(), _xmp())
        )
        pixels = np.zeros((12, 16, 3), np.uint8)
        if kind == "TIFF":
            file = io.BytesIO()
            tags = [(34665, "I", 1, int(rng.integers(2**32)), True), (700, "B", len(xmp), xmp, True)]
            tags += [(274, "H", 1, int(rng.integers(2**16)), True), (34675, "I", 1, 5, True)]
            kept = [tag for tag in tags if rng.random() < 0.6]
            tifffile.imwrite(file, pixels, photometric="rgb", extratags=kept)
            return file.getvalue()
        picture = Picture(pixels, exif=exif, icc=icc, xmp=xmp, dpi=(float(rng.integers(1, 10**5)),) * 2)
        return encode(picture, kind)

    return make


def _claims() -> Bytes:
    """Small sound files whose headers claim huge sizes."""
    files = _files()

    def make(rng: np.random.Generator) -> bytes:
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
            white = int(rng.choice([255, 65535]))
            data = bytearray(b"P6 %d %d %d\n" % (width, height, white) + bytes(1000))
        return bytes(data)

    return make


@functools.cache
def _files() -> dict[str, bytes]:
    """A sound file of each kind, small."""
    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.random((5, 6, 3)).astype(np.float32), (48, 40), interpolation=cv2.INTER_CUBIC)
    floats = np.clip(smooth, 0, 1)
    pixels, deep = np.rint(floats * 255).astype(np.uint8), np.rint(floats * 65535).astype(np.uint16)
    rich = {"exif": _exif(), "icc": _icc(), "xmp": _xmp(), "dpi": (300.0, 300.0)}
    image, frames = (
        Image.fromarray(pixels),
        [Image.fromarray(np.roll(pixels, 9 * n, axis=1)) for n in range(3)],
    )
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
        "TIFF by Pillow": _saved(image, "TIFF", compression="tiff_lzw", save_all=True, append_images=frames),
        "BigTIFF": big.getvalue(),
        "WebP": encode(Picture(pixels, **rich), "WEBP"),
        "WebP animation": _saved(image, "WEBP", save_all=True, append_images=frames),
        "BMP": encode(Picture(pixels), "BMP"),
        "GIF animation": _saved(image, "GIF", save_all=True, append_images=frames),
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
    camera = {
        0x829A: Field(5, 1, struct.pack("<II", 1, 250)),
        0x9003: Field(2, 20, b"2024:02:03 04:05:06\0"),
        0x927C: Field(7, 64, bytes(range(64))),
    }
    position = {1: Field(2, 2, b"N\0"), 2: Field(5, 3, struct.pack("<6I", 48, 1, 51, 1, 29, 1))}
    directory = {
        0x010F: Field(2, 7, b"Camera\0"),
        0x0112: Field(3, 1, struct.pack("<H", 6)),
        EXIF: Field(4, 1, camera),
        GPS: Field(4, 1, position),
    }
    return b"II*\0" + struct.pack("<I", 8) + write_directory(directory, "<", 8)


def _icc() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + bytes(12) + profile[36:]  # without its time: equal seeds try equal files


def _xmp() -> bytes:
    return b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf>5</rdf></x:xmpmeta>'
