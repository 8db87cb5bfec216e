"""The parts of picture files that are not pixels: EXIF orientation, PNG chunks, TIFF fields."""

import struct
import zlib

import numpy as np
from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
EXIF_PREFIX = b"Exif\x00\x00"
_ORIENTATION = 0x0112
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
# ImageDescription, Make, Model, Software, DateTime, Artist, Copyright: the text fields of a TIFF header
# that describe the picture and not how its pixels are stored.
TEXT_TAGS = (270, 271, 272, 305, 306, 315, 33432)


def take_orientation(tiff: bytes) -> tuple[int, bytes]:
    """The EXIF orientation (1..8) of a TIFF header, and the same bytes with it reset to 1.

    `tiff` is an EXIF block without its "Exif" prefix, or a whole (classic) TIFF file. Everything else in
    it, maker notes included, stays byte for byte. A block that cannot be parsed counts as upright.
    """
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1, tiff
    try:
        magic, directory = struct.unpack_from(order + "HI", tiff, 2)
        if magic != 42:
            return 1, tiff
        (count,) = struct.unpack_from(order + "H", tiff, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(order + "HH", tiff, entry)
            if tag == _ORIENTATION:
                layout = order + ("I" if kind == 4 else "H")
                (value,) = struct.unpack_from(layout, tiff, entry + 8)
                reset = bytearray(tiff)
                struct.pack_into(layout, reset, entry + 8, 1)
                return (value if 1 <= value <= 8 else 1), bytes(reset)
    except struct.error:
        pass
    return 1, tiff


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """All (type, content) of a PNG file; ValueError where it is cut off or a checksum is wrong."""
    chunks, position = [], len(PNG_SIGNATURE)
    while True:
        if position + 12 > len(data):
            raise ValueError("the file is truncated")
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 12 + length
        if end > len(data):
            raise ValueError("the file is truncated")
        kind, body = data[position + 4 : position + 8], data[position + 8 : end - 4]
        if zlib.crc32(data[position + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise ValueError(f"wrong checksum in its {kind.decode('latin-1')} chunk")
        chunks.append((kind, body))
        if kind == b"IEND":
            return chunks
        position = end


def add_png_metadata(png: bytes, icc: bytes | None, exif: bytes | None) -> bytes:
    """The PNG file `png` with an ICC profile (iCCP) and an EXIF block (eXIf) put after its header."""
    extra = b""
    if icc:
        extra += _png_chunk(b"iCCP", b"ICC profile\x00\x00" + zlib.compress(icc))
    if exif:
        extra += _png_chunk(b"eXIf", exif)
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


def exif_of_tiff(image: Image.Image) -> bytes | None:
    """An EXIF block with the descriptive fields, camera data and position of an open TIFF file."""
    source, kept = image.getexif(), Image.Exif()
    for tag in TEXT_TAGS:
        if tag in source:
            kept[tag] = source[tag]
    for directory in (_EXIF_IFD, _GPS_IFD):
        fields = source.get_ifd(directory)
        if fields:
            kept.get_ifd(directory).update(fields)
            kept[directory] = dict(fields)
    return kept.tobytes().removeprefix(EXIF_PREFIX) if len(kept) else None


def text_fields(exif: bytes | None) -> dict[int, str]:
    """TEXT_TAGS of an EXIF block that hold text, tag number -> text."""
    if not exif:
        return {}
    fields = Image.Exif()
    fields.load(EXIF_PREFIX + exif)
    return {tag: fields[tag] for tag in TEXT_TAGS if isinstance(fields.get(tag), str)}
