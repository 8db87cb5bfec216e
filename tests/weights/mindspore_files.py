"""MindSpore checkpoints as MindSpore itself writes them, for tests of the reader (weights/mindspore.py)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from models.unet import UNet

BATCH_NORM = dict(zip(("weight", "bias"), ("gamma", "beta"), strict=True))
BATCH_NORM |= {"running_mean": "moving_mean", "running_var": "moving_variance"}


def varint(value: int) -> bytes:
    """A number in 7 bits a byte, the lowest first."""
    parts = []
    while True:
        value, byte = value >> 7, value & 0x7F
        parts.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(parts)


def message_field(number: int, content: int | bytes) -> bytes:
    """A number (wire type 0) or bytes (wire type 2) of a protocol-buffer message."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def checkpoint_value(tag: str, array: np.ndarray, kind: str = "Float32", packed: bool = False) -> bytes:
    """An entry of a checkpoint; `packed`: the dims in one field, as newer protocol buffers write them."""
    shape = array.shape or (0,)
    if packed:
        dims = message_field(1, b"".join(map(varint, shape)))
    else:
        dims = b"".join(message_field(1, side) for side in shape)
    tensor = dims + message_field(2, kind.encode()) + message_field(3, array.tobytes())
    return message_field(1, message_field(1, tag.encode()) + message_field(2, tensor))


def unet_checkpoint(state: Mapping[str, Tensor]) -> bytes:
    """A file of the MindSpore port from the state dict of one of our U-Nets (models/unet.py)."""
    content = b""
    for entry, tensor in state.items():
        layer, _, last = entry.rpartition(".")
        if last == "num_batches_tracked":  # MindSpore counts none
            continue
        theirs = f"{layer}.{BATCH_NORM[last]}" if layer.endswith("after") else entry
        content += checkpoint_value(theirs, tensor.numpy())
    return content


def write_nets(folder: Path, width: int = 2, name: str = "UNet{}_60.ckpt") -> dict[str, Tensor]:
    """Four files of random U-Nets; returns what they hold under our names."""
    folder.mkdir(exist_ok=True)
    ours = {}
    for number, channels in enumerate((3, 3, 6, 9), start=1):
        state = UNet(channels, width=width).state_dict()
        ours |= {f"unet{number}.{entry}": tensor for entry, tensor in state.items()}
        (folder / name.format(number)).write_bytes(unet_checkpoint(state))
    return ours
