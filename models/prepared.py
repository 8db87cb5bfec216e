"""The convolutions of a prepared network: their own number type, and parts side by side on several cores."""

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.parallel import current, in_parts

HEAVY = 2**26
"""Multiplications beyond which a convolution is worth several parts: 0.7 ms of one AVX-512 core in fp32."""
MOST_PARTS = 4
LEAST_ROWS = 8


class PreparedConv2d(nn.Conv2d):
    """A convolution whose input is taken to the type of the weights.

    Where cores are shared (models/parallel.py) a heavy one is computed in blocks of output rows. How many
    depends on the sizes alone, so that the bits are the same on any number of cores.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H / stride, W / stride)."""
        return self.then(x)

    def then(
        self, x: Tensor, after: Callable[[Tensor], Tensor] | None = None, channels: int | None = None
    ) -> Tensor:
        """`after` of the convolution; it must treat every pixel by itself, and gives `channels` channels."""
        x = x.to(self.weight.dtype)
        edges = self._edges(x.shape)
        if len(edges) == 2:
            found = super().forward(x)
            return found if after is None else after(found)
        x = x.contiguous(memory_format=torch.channels_last)  # so that a block of rows is contiguous

        columns = self._positions(x.shape[3], 1)
        result = torch.empty(
            (1, channels or self.out_channels, edges[-1], columns),
            dtype=x.dtype,
            device=x.device,
            memory_format=torch.channels_last,
        )

        def block(rows: tuple[int, int]) -> None:
            found = self._rows(x, *rows)
            result[:, :, slice(*rows)] = found if after is None else after(found)

        in_parts(block, list(pairwise(edges)))
        return result

    def _edges(self, shape: torch.Size) -> list[int]:
        """Where the blocks of output rows begin, and where the last one ends."""
        if current() is None or shape[0] > 1:
            return [0, 1]
        rows, columns = self._positions(shape[2], 0), self._positions(shape[3], 1)
        work = rows * columns * self.weight.numel()
        parts = max(1, min(MOST_PARTS, -(-work // HEAVY), rows // LEAST_ROWS))
        return [rows * part // parts for part in range(parts + 1)]

    def _positions(self, length: int, axis: int) -> int:
        """Output pixels along an axis of `length` input pixels."""
        return (length + 2 * int(self.padding[axis]) - self._reach(axis)) // self.stride[axis] + 1

    def _reach(self, axis: int) -> int:
        return self.dilation[axis] * (self.kernel_size[axis] - 1) + 1

    def _rows(self, x: Tensor, first: int, last: int) -> Tensor:
        """Output rows `first` ... `last` - 1."""
        step, above = self.stride[0], int(self.padding[0])
        top = first * step - above
        bottom = (last - 1) * step - above + self._reach(0)
        height = x.shape[2]
        seen = x[:, :, max(top, 0) : min(bottom, height)]
        rows = [(max(-top, 0), 0), (max(bottom - height, 0), 2)]
        pieces = [seen]
        for count, place in rows:
            if count:
                zeros = seen.new_zeros(1, seen.shape[1], count, seen.shape[3])
                pieces.insert(place, zeros.contiguous(memory_format=torch.channels_last))
        seen = torch.cat(pieces, dim=2) if len(pieces) > 1 else seen
        padding = (0, int(self.padding[1]))
        return F.conv2d(seen, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class PreparedConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution whose input is taken to the type of the weights."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H', W')."""
        return super().forward(x.to(self.weight.dtype))


class SideBySide(nn.Module):
    """Convolutions of one input, each to some of the output channels, that cores share."""

    def __init__(self, parts: list[nn.Module]):
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H', W')."""
        return torch.cat(in_parts(lambda part: part(x), list(self.parts)), dim=1)
