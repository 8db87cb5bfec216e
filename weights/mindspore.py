"""MindSpore's checkpoint files, read without MindSpore.

A file is one protocol-buffer message (mindspore/ccsrc/utils/checkpoint.proto):

    Checkpoint  { repeated Value value = 1 }
    Value       { string tag = 1;  TensorProto tensor = 2 }
    TensorProto { repeated int64 dims = 1;  string tensor_type = 2;  bytes tensor_content = 3 }

Large tensors come in several values of one tag. A scalar has the dims (0). With MindSpore's `crc_check`, the
word "crc_num" and a CRC-32 of all before it follow the message.
"""

import os
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from utils.errors import UserError, reason

DTYPES = {
    "Float16": torch.float16,
    "Float32": torch.float32,
    "Float64": torch.float64,
    "BFloat16": torch.bfloat16,
    "Int32": torch.int32,
    "Int64": torch.int64,
}
CHECKSUM_WORD, CHECKSUM_BYTES = b"crc_num", 10
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types


class _Malformed(ValueError):
    """These bytes are no such message."""


def read_mindspore(path: str | os.PathLike) -> dict[str, Tensor]:
    """The tensors of a MindSpore checkpoint by their tags, on the CPU.

    Raises UserError naming the file where it is missing, cut short, damaged or of another kind. Nothing
    larger than the file is allocated.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({reason(error)})") from error
    try:
        return _tensors(memoryview(_without_checksum(data)))
    except _Malformed as error:
        raise UserError(f"{path} is no whole MindSpore checkpoint ({error}): get it again") from error


def _without_checksum(data: bytes) -> bytes:
    word = len(data) - CHECKSUM_BYTES - len(CHECKSUM_WORD)
    if word < 0 or data[word : word + len(CHECKSUM_WORD)] != CHECKSUM_WORD:
        return data
    if zlib.crc32(data[:word]) != int.from_bytes(data[-CHECKSUM_BYTES:], "big"):
        raise _Malformed("its checksum does not match: it is damaged")
    return data[:word]


def _tensors(message: memoryview) -> dict[str, Tensor]:
    parts: dict[str, list[tuple[tuple[int, ...], str, memoryview]]] = {}
    for value in _fields(message, {1: BYTES}).get(1, []):
        fields = _fields(value, {1: BYTES, 2: BYTES})
        if len(fields.get(1, [])) != 1 or len(fields.get(2, [])) != 1:
            raise _Malformed("an entry without a name or without a tensor")
        parts.setdefault(_text(fields[1][0]), []).append(_tensor_fields(fields[2][0]))
    if not parts:
        raise _Malformed("it holds no tensors")
    return {tag: _tensor(tag, pieces) for tag, pieces in parts.items()}


def _tensor_fields(message: memoryview) -> tuple[tuple[int, ...], str, memoryview]:
    dims: list[int] = []
    kind, content = "", memoryview(b"")
    for number, wire, value in _entries(message):
        if isinstance(value, int):
            if number == 1:
                dims.append(value)
        elif wire == BYTES:
            if number == 1:  # repeated numbers may be packed
                dims.extend(_varints(value))
            elif number == 2:
                kind = _text(value)
            elif number == 3:
                content = value
    return () if dims == [0] else tuple(dims), kind, content


def _tensor(tag: str, pieces: list[tuple[tuple[int, ...], str, memoryview]]) -> Tensor:
    shape, kind, _ = pieces[0]
    if kind not in DTYPES:
        raise _Malformed(f"{tag!r} is of the type {kind!r}, which is not read")
    if any((other, of) != (shape, kind) for other, of, _ in pieces):
        raise _Malformed(f"{tag!r} is there twice, with different shapes")
    dtype = DTYPES[kind]
    size, needed = sum(content.nbytes for *_, content in pieces), prod(shape) * dtype.itemsize
    if size != needed:
        raise _Malformed(f"{tag!r} has {size} bytes where its shape {shape} needs {needed}")
    if size == 0:
        return torch.empty(shape, dtype=dtype)
    content = bytearray(b"".join(content for *_, content in pieces))
    return torch.frombuffer(content, dtype=dtype).reshape(shape)


def _fields(message: memoryview, known: dict[int, int]) -> dict[int, list[memoryview]]:
    """The fields of a message by number; others than `known` (number -> wire type) are left out."""
    found: dict[int, list[memoryview]] = {}
    for number, wire, value in _entries(message):
        if known.get(number) == wire and isinstance(value, memoryview):
            found.setdefault(number, []).append(value)
        elif number in known:
            raise _Malformed(f"field {number} is of another kind")
    return found


def _entries(message: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """(field number, wire type, value) of a message: an int for numbers, the bytes for all else."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise _Malformed("a field without a number")
        if wire == VARINT:
            value, position = _varint(message, position)
            yield number, wire, value
            continue
        if wire == BYTES:
            size, position = _varint(message, position)
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
        else:
            raise _Malformed(f"wire type {wire}")
        if position + size > len(message):
            raise _Malformed("it is cut short")
        yield number, wire, message[position : position + size]
        position += size


def _varints(message: memoryview) -> Iterator[int]:
    position = 0
    while position < len(message):
        value, position = _varint(message, position)
        yield value


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and the position behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise _Malformed("it is cut short")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _Malformed("a number of more than 64 bits")


def _text(value: memoryview) -> str:
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        raise _Malformed("a name that is no text") from error
