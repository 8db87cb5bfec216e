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
    """`content` changed in one of a dozen ways; never longer than twice its length and 64 bytes."""
    change = _CHANGES[rng.integers(len(_CHANGES))]
    return bytes(change(bytearray(content), rng)) if content else bytes(rng.bytes(8))


def flip_bits(content: bytearray, rng: np.random.Generator) -> bytearray:
    """One to eight bits anywhere."""
    for place in rng.integers(len(content), size=rng.integers(1, 9)):
        content[place] ^= 1 << int(rng.integers(8))
    return content


def flip_early_bits(content: bytearray, rng: np.random.Generator) -> bytearray:
    """One to four bits in the first 256 bytes, where the headers are."""
    for place in rng.integers(min(256, len(content)), size=rng.integers(1, 5)):
        content[place] ^= 1 << int(rng.integers(8))
    return content


def set_bytes(content: bytearray, rng: np.random.Generator) -> bytearray:
    """A run of up to 16 bytes becomes random."""
    place = int(rng.integers(len(content)))
    run = rng.bytes(int(rng.integers(1, 17)))[: len(content) - place]
    content[place : place + len(run)] = run
    return content


def forge_number(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Four or eight bytes become a number absurd as a length: all ones, the largest positive, zero."""
    width = int(rng.choice([4, 8]))
    place = int(rng.integers(max(1, min(len(content), 4096) - width)))
    forged = [b"\xff" * width, b"\xff" * (width - 1) + b"\x7f", b"\x00" * width][rng.integers(3)]
    content[place : place + width] = forged
    return content


def cut(content: bytearray, rng: np.random.Generator) -> bytearray:
    """The end is missing: anything from a byte to everything."""
    kept = len(content) - 1 - int(rng.integers(16)) if rng.random() < 0.3 else int(rng.integers(len(content)))
    return content[: max(kept, 0)]


def append(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Bytes behind the end."""
    return content + rng.bytes(int(rng.integers(1, 64)))


def blank(content: bytearray, rng: np.random.Generator) -> bytearray:
    """A block of up to 4096 bytes becomes zero, as after a crash of the file system."""
    start, stop = _span(content, rng)
    content[start:stop] = bytes(stop - start)
    return content


def remove(content: bytearray, rng: np.random.Generator) -> bytearray:
    """A block is missing."""
    start, stop = _span(content, rng)
    del content[start:stop]
    return content


def repeat(content: bytearray, rng: np.random.Generator) -> bytearray:
    """A block is there twice."""
    start, stop = _span(content, rng)
    return content[:stop] + content[start:]


def exchange(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Two blocks of equal length change places."""
    size = int(rng.integers(1, min(4096, len(content) // 2 + 1) + 1))
    first, second = sorted(int(place) for place in rng.integers(max(1, len(content) - size), size=2))
    second = max(second, first + size)
    if second + size > len(content):
        return flip_bits(content, rng)
    content[first : first + size], content[second : second + size] = (
        content[second : second + size],
        content[first : first + size],
    )
    return content


def other_start(content: bytearray, rng: np.random.Generator) -> bytearray:
    """The file begins as one of another kind."""
    start = list(STARTS.values())[rng.integers(len(STARTS))][: len(content)]
    content[: len(start)] = start
    return content


def _span(content: bytearray, rng: np.random.Generator) -> tuple[int, int]:
    start = int(rng.integers(len(content)))
    return start, min(len(content), start + int(rng.integers(1, 4097)))


_CHANGES = (
    flip_bits,
    flip_early_bits,
    set_bytes,
    forge_number,
    cut,
    append,
    blank,
    remove,
    repeat,
    exchange,
    other_start,
)
