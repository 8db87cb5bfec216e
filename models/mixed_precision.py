"""What stays in fp32 where a network computes in 16 bits: maps, colours and their composition.

bf16 has 8 bits of mantissa: a highlight map or a colour near 1 would be rounded to 1/256, about a level of
an 8-bit picture. Inference (models/inference.py) and training under autocast keep to the same rule.
"""

import contextlib
from contextlib import AbstractContextManager

import torch
from torch import Tensor

COLOURS = 3
"""Convolutions to no more channels give maps and colours."""


def full_precision(like: Tensor) -> AbstractContextManager:
    """Autocast off on the device of `like`; nothing where it is not on, so that exported graphs lack it."""
    if torch.is_autocast_enabled(like.device.type):
        return torch.autocast(like.device.type, enabled=False)
    return contextlib.nullcontext()
