"""Damaging bytes at random: what disks, downloads and people do to files."""

import numpy as np

STARTS = {
    "zip": b"PK\x03\x04\x14\x00",
    "pickle": b"\x80\x02}q\x00",
    "PNG": b"\x89PNG\r\n\x1a\n",
    "JPEG": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    "TIFF": b"II*\x00\x08\x00\x00\x00",
    "gzip": b"\x1f\x8b\x08\x00",
    "HDF5": b"\x89HDF\r\n\x1a\n",
    "text": b'{"weights": [1, 2, 3]}\n',
}


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """`content` changed in one of ten ways; never longer than twice its length and 64 bytes."""
    if not content:
        return bytes(rng.bytes(8))
    size = len(content)
    start = int(rng.integers(size))
    stop = min(size, start + int(rng.integers(1, 4097)))
    match rng.integers(10):
        case 0:
            return _flip(content, size, rng)
        case 1:  # where the headers are
            return _flip(content, min(256, size), rng)
        case 2:
            return set_bytes(content, rng)
        case 3:
            return forge_number(content, rng)
        case 4:  # the end is missing
            return content[:start] if rng.random() < 0.7 else content[: max(0, size - 1 - start % 16)]
        case 5:
            return content + rng.bytes(int(rng.integers(1, 64)))
        case 6:  # a block of zeros, as after a crash of the file system
            return content[:start] + bytes(stop - start) + content[stop:]
        case 7:
            return content[:start] + content[stop:]
        case 8:
            return content[:stop] + content[start:]
        case _:  # the file begins as one of another kind
            begun = list(STARTS.values())[rng.integers(len(STARTS))][:size]
            return begun + content[len(begun) :]


def set_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """A run of up to 16 bytes becomes random."""
    place = int(rng.integers(len(content)))
    run = rng.bytes(int(rng.integers(1, 17)))[: len(content) - place]
    return content[:place] + run + content[place + len(run) :]


def forge_number(content: bytes, rng: np.random.Generator) -> bytes:
    """Four or eight bytes become a number absurd as a length: all ones, the largest positive, zero."""
    width = int(rng.choice([4, 8]))
    place = int(rng.integers(max(1, min(len(content), 4096) - width)))
    forged = [b"\xff" * width, b"\xff" * (width - 1) + b"\x7f", b"\x00" * width][rng.integers(3)]
    return content[:place] + forged + content[place + width :]


def _flip(content: bytes, within: int, rng: np.random.Generator) -> bytes:
    """One to eight bits of the first `within` bytes."""
    changed = bytearray(content)
    for place in rng.integers(within, size=rng.integers(1, 9)):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)
