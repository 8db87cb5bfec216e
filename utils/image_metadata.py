"""The parts of picture files that are not pixels: chunks of PNG files, and what of them is kept."""

import re
import struct
import zlib
from collections.abc import Iterator

import numpy as np

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
EXIF_PREFIX = b"Exif\x00\x00"
COLOUR_CHUNKS = (b"gAMA", b"cHRM", b"sRGB", b"cICP")
MAX_METADATA = 16 * 2**20
"""Bytes of an ICC profile, EXIF block or XMP packet; longer ones are left out."""

_XMP_KEYWORD = b"XML:com.adobe.xmp"
_XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\x00"
_BOXES = 2**16  # bytes at the start of a HEIC or AVIF file in which its properties lie
GAIN_MAP = (b"ns.adobe.com/hdr-gain-map", b"HDRGainMap")
"""What the XMP of a JPEG file with an HDR gain map has: Adobe's and Google's name space, Apple's."""
_INCH = 0.0254  # metres

_XMP_ORIENTATION = re.compile(rb"(\btiff:Orientation(?:\s*=\s*[\"']|\s*>)\s*)[1-8]")


def upright_xmp(xmp: bytes) -> bytes:
    """An XMP packet that says orientation 1 where it gives one; as long as before."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def raw_profile(info: dict, name: str) -> bytes | None:
    """EXIF data or XMP from the hexadecimal text in which ImageMagick puts it into PNG files; None where
    there is none, or it is damaged. `info` is Pillow's."""
    for key in (f"Raw profile type {name}", "Raw profile type APP1"):
        try:
            value = bytes.fromhex("".join(str(info[key]).split("\n")[3:]))
        except (KeyError, ValueError):
            continue
        if key.endswith("APP1") and value.startswith(EXIF_PREFIX) != (name == "exif"):
            continue
        return value.removeprefix(EXIF_PREFIX).removeprefix(_XMP_PREFIX)
    return None


def nclx_colour(data: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """The cICP chunk that says what the colours of a HEIC or AVIF file mean; () where that is sRGB or
    unspecified. Decoders have undone the matrix and the range of the file."""
    place = data.find(b"colrnclx", 0, _BOXES)
    if place < 0 or place + 12 > len(data):
        return ()
    primaries, transfer = struct.unpack_from(">HH", data, place + 8)
    # BT.601 and BT.709 curves are shown as sRGB by all viewers.
    if max(primaries, transfer) > 22 or (primaries in (1, 2, 5, 6) and transfer in (1, 2, 6, 13)):
        return ()
    return ((b"cICP", bytes([primaries, transfer, 0, 1])),)


def avif_bits(data: bytes) -> int:
    """Bits of each value of an AVIF file: 8, 10 or 12."""
    place = data.find(b"av1C", 0, _BOXES)
    flags = data[place + 6] if 0 <= place < len(data) - 6 else 0
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10


def still_png(data: bytes) -> bytes:
    """A PNG file without the frames of its animation: its default image."""
    chunks = (c for c in png_chunks(data) if c[0] not in (b"acTL", b"fcTL", b"fdAT"))
    return PNG_SIGNATURE + b"".join(_png_chunk(kind, body) for kind, body in chunks)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """All (type, content) of a PNG file; ValueError where it is cut off or a checksum is wrong."""
    position = len(PNG_SIGNATURE)
    while True:
        if position + 12 > len(data):
            raise ValueError("the file is truncated")
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 12 + length
        if end > len(data):
            raise ValueError("the file is truncated")
        kind = data[position + 4 : position + 8]
        if zlib.crc32(memoryview(data)[position + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise ValueError(f"wrong checksum in its {kind.decode('latin-1')} chunk")
        yield kind, data[position + 8 : end - 4]
        if kind == b"IEND":
            return
        position = end


def png_colour(data: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """The COLOUR_CHUNKS of a PNG file; of a damaged one those before the damage."""
    found = []
    try:
        for kind, body in png_chunks(data):
            if kind == b"IDAT":  # the standard has them before the pixels
                break
            if kind in COLOUR_CHUNKS and len(body) <= 32:
                found.append((kind, body))
    except ValueError:
        pass
    return tuple(found)


def add_png_metadata(
    png: bytes,
    *,
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    dpi: tuple[float, float] | None = None,
    colour: tuple[tuple[bytes, bytes], ...] = (),
    text: dict[str, str] | None = None,
) -> bytes:
    """The PNG file `png` with chunks put after its header: an ICC profile (iCCP), an EXIF block (eXIf), an
    XMP packet (iTXt), a resolution (pHYs), COLOUR_CHUNKS, and Latin-1 text by keyword (tEXt)."""
    extra = b"".join(_png_chunk(kind, body) for kind, body in colour)
    if icc:
        extra += _png_chunk(b"iCCP", b"ICC profile\x00\x00" + zlib.compress(icc))
    if exif:
        extra += _png_chunk(b"eXIf", exif)
    if dpi:
        extra += _png_chunk(b"pHYs", struct.pack(">IIB", *(round(value / _INCH) for value in dpi), 1))
    if xmp:
        extra += _png_chunk(b"iTXt", _XMP_KEYWORD + bytes(5) + xmp)
    for keyword, words in (text or {}).items():
        extra += _png_chunk(b"tEXt", f"{keyword}\0{words}".encode("latin-1"))
    header_end = len(PNG_SIGNATURE) + 25  # IHDR: length, type, 13 bytes, checksum
    return png[:header_end] + extra + png[header_end:]


def png_of_grey_alpha(array: np.ndarray) -> bytes:
    """(H, W, 2) grey and alpha, uint8 or uint16, as a PNG file (colour type 4)."""
    height, width = array.shape[:2]
    rows = array.astype(array.dtype.newbyteorder(">")).reshape(height, -1).view(np.uint8)
    unfiltered = np.pad(rows, ((0, 0), (1, 0)))  # each row starts with its filter, 0 for none
    header = struct.pack(">IIBBBBB", width, height, array.itemsize * 8, 4, 0, 0, 0)
    body = _png_chunk(b"IHDR", header) + _png_chunk(b"IDAT", zlib.compress(unfiltered.tobytes(), 3))
    return PNG_SIGNATURE + body + _png_chunk(b"IEND", b"")


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
