"""The directories of TIFF files and EXIF blocks (which are TIFF files without pixels), byte for byte.

Libraries that parse EXIF data into Python values and write them again lose text that is not ASCII and fields
that they do not know. Here a field stays the bytes it was; only the places that it points to move.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

ORIENTATION = 0x0112
EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005
_SUBDIRECTORIES = (EXIF, GPS, INTEROPERABILITY)
# ImageDescription, Make, Model, Software, DateTime, Artist, Copyright: the fields of a TIFF header that
# describe the picture and not how its pixels are stored.
DESCRIPTION = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
# GeoTIFF: scale, tie points, transformation, keys with their numbers and text; GDAL's metadata and no-data.
_GEOTIFF = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_BIG_SIZES = _SIZES | {16: 8, 17: 8, 18: 8}  # of BigTIFF only
_LONG = 4

MAX_FIELDS = 5000
"""Fields of one directory; damaged counts go up to 65535 and, in BigTIFF, beyond all memory."""


@dataclass(frozen=True)
class Field:
    """One field of a directory."""

    kind: int
    """TIFF's number of the type: 2 text, 3 short, 4 long, 5 rational, 7 undefined, ..."""
    count: int
    value: "bytes | Directory"
    """in the byte order of its file; a Directory where the field points to one"""


Directory = dict[int, Field]


@dataclass(frozen=True)
class Header:
    """How a TIFF file stores its directories. Raises ValueError where the bytes are no TIFF file."""

    order: str
    big: bool
    first: int
    """position of the first directory"""

    @classmethod
    def of(cls, data: bytes) -> "Header":
        order = {b"II": "<", b"MM": ">"}.get(data[:2])
        if order is None or len(data) < 8:
            raise ValueError("no TIFF header")
        (magic,) = struct.unpack_from(order + "H", data, 2)
        if magic == 42:
            return cls(order, False, struct.unpack_from(order + "I", data, 4)[0])
        if magic == 43 and len(data) >= 16:
            return cls(order, True, struct.unpack_from(order + "Q", data, 8)[0])
        raise ValueError("no TIFF header")

    def entries(self, data: bytes, position: int) -> Iterator[tuple[int, int, int, int]]:
        """(tag, kind, count, position of the value) of the fields of the directory at `position`.

        Fields of unknown kinds or beyond the end of the file are left out.
        """
        number, entry, pointer = ("Q", "HHQ", "Q") if self.big else ("H", "HHI", "I")
        sizes, room = (_BIG_SIZES, 8) if self.big else (_SIZES, 4)
        step = struct.calcsize("<" + entry) + room
        try:
            (fields,) = struct.unpack_from(self.order + number, data, position)
            start = position + struct.calcsize("<" + number)
            for place in range(start, start + step * min(fields, MAX_FIELDS), step):
                tag, kind, count = struct.unpack_from(self.order + entry, data, place)
                value = place + step - room
                size = sizes.get(kind, 0) * count
                if size > room:
                    (value,) = struct.unpack_from(self.order + pointer, data, value)
                if size and value + size <= len(data):
                    yield tag, kind, count, value
        except (struct.error, OverflowError):
            return  # the file is cut off: what came before counts

    def next_directory(self, data: bytes, position: int) -> int:
        """Position of the directory after the one at `position`; 0 where there is none."""
        number, pointer, step = ("Q", "Q", 20) if self.big else ("H", "I", 12)
        try:
            (fields,) = struct.unpack_from(self.order + number, data, position)
            end = position + struct.calcsize("<" + number) + step * fields
            return struct.unpack_from(self.order + pointer, data, end)[0]
        except (struct.error, OverflowError):
            return 0


def read_directory(data: bytes, header: Header, position: int, depth: int = 0) -> Directory:
    """The directory at `position` with those that it points to."""
    found: Directory = {}
    for tag, kind, count, place in header.entries(data, position):
        size = _BIG_SIZES[kind] * count
        value = data[place : place + size]
        if tag in _SUBDIRECTORIES and depth < 2 and size in (4, 8):
            inside = int.from_bytes(value, "little" if header.order == "<" else "big")
            found[tag] = Field(_LONG, 1, read_directory(data, header, inside, depth + 1))
        elif kind in _SIZES and tag not in _SUBDIRECTORIES:
            found[tag] = Field(kind, count, value)
    return found


def write_directory(directory: Directory, order: str, position: int) -> bytes:
    """The bytes of a (classic) directory that will lie at `position`, with all that it points to."""
    fields = sorted(directory.items())
    after = position + 2 + 12 * len(fields) + 4
    entries, outside = struct.pack(order + "H", len(fields)), b""
    for tag, field in fields:
        place = after + len(outside)
        if isinstance(field.value, dict):
            value, body = struct.pack(order + "I", place), write_directory(field.value, order, place)
        elif len(field.value) > 4:
            value, body = struct.pack(order + "I", place), field.value
        else:
            value, body = field.value.ljust(4, b"\0"), b""
        entries += struct.pack(order + "HHI", tag, field.kind, field.count) + value
        outside += body + b"\0" * (len(body) % 2)
    return entries + struct.pack(order + "I", 0) + outside


def take_orientation(data: bytes) -> tuple[int, bytes]:
    """The orientation (1..8) of a TIFF file or EXIF block, and the same bytes with it reset to 1.

    Everything else, maker notes included, stays byte for byte. What cannot be parsed counts as upright.
    """
    try:
        header = Header.of(data)
    except ValueError:
        return 1, data
    for tag, kind, _, place in header.entries(data, header.first):
        if tag == ORIENTATION and kind in (3, _LONG):
            layout = header.order + ("I" if kind == _LONG else "H")
            (value,) = struct.unpack_from(layout, data, place)
            reset = bytearray(data)
            struct.pack_into(layout, reset, place, 1)
            return (value if 1 <= value <= 8 else 1), bytes(reset)
    return 1, data


def renew_thumbnail(exif: bytes, make: Callable[[int], bytes | None]) -> bytes:
    """The EXIF block with `make(bytes there are)` in the place of its JPEG thumbnail, or without one where
    that is None. Everything else stays byte for byte."""
    try:
        header = Header.of(exif)
    except ValueError:
        return exif
    position = header.next_directory(exif, header.first)
    if not position or header.big:
        return exif
    places = {tag: place for tag, kind, _, place in header.entries(exif, position) if kind == _LONG}
    renewed = bytearray(exif)
    thumbnail = None
    if 0x0201 in places and 0x0202 in places:
        start, room = (
            struct.unpack_from(header.order + "I", exif, places[tag])[0] for tag in (0x0201, 0x0202)
        )
        if start + room <= len(exif):
            thumbnail = make(room)
            if thumbnail is not None:
                renewed[start : start + room] = thumbnail.ljust(room, b"\0")
                struct.pack_into(header.order + "I", renewed, places[0x0202], len(thumbnail))
    if thumbnail is None:
        (fields,) = struct.unpack_from(header.order + "H", exif, header.first)
        struct.pack_into(header.order + "I", renewed, header.first + 2 + 12 * fields, 0)
    return bytes(renewed)


def exif_of_tiff(data: bytes) -> bytes | None:
    """An EXIF block with the description, camera data and position of a TIFF file."""
    header = Header.of(data)
    directory = read_directory(data, header, header.first)
    kept = {tag: field for tag, field in directory.items() if tag in (*DESCRIPTION, *_GEOTIFF, EXIF, GPS)}
    if not kept:
        return None
    signature = b"II*\0" if header.order == "<" else b"MM\0*"
    return signature + struct.pack(header.order + "I", 8) + write_directory(kept, header.order, 8)


def add_exif(tiff: bytes, exif: bytes) -> bytes:
    """A classic TIFF file with the description, camera data and position of an EXIF block.

    Both in one byte order. The first directory is written anew at the end of the file. Raises ValueError
    for an EXIF block without a TIFF header.
    """
    header, source = Header.of(tiff), Header.of(exif)
    directory = read_directory(tiff, header, header.first)
    kept = read_directory(exif, source, source.first)
    directory |= {tag: field for tag, field in kept.items() if tag in (*DESCRIPTION, *_GEOTIFF, EXIF, GPS)}
    tiff += b"\0" * (len(tiff) % 2)
    end = struct.pack(header.order + "I", len(tiff))
    return tiff[:4] + end + tiff[8:] + write_directory(directory, header.order, len(tiff))
