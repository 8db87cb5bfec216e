"""Smooth random fields: cubic B-splines over random control grids, with exact gradients, as matrix products."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from data.synthetic.draws import Draws

GRID = 16


def _basis(position: Tensor) -> Tensor:
    distance = position.abs()
    inner = 2 / 3 - distance * distance * (1 - distance / 2)
    outer = (2 - distance).clamp_min(0) ** 3 / 6
    return torch.where(distance < 1, inner, outer)


def _basis_slope(position: Tensor) -> Tensor:
    distance = position.abs()
    inner = distance * (1.5 * distance - 2)
    outer = -((2 - distance).clamp_min(0) ** 2) / 2
    return torch.where(distance < 1, inner, outer) * position.sign()


class Fields:
    """C random fields per scene on a square of side `size`, each with its own frequency.

    `frequency` (B, C) or (B, C, 2): control points across the picture (x, y), at most GRID - 4. Values have mean 0
    and a standard deviation near 1.
    """

    def __init__(
        self, draws: Draws, name: str, frequency: np.ndarray, size: int, device: torch.device
    ) -> None:
        if frequency.ndim == 2:
            frequency = np.repeat(frequency[..., None], 2, -1)
        channels = frequency.shape[1]
        grid = draws.uniform(name + ".grid", channels, GRID, GRID, low=-3.6, high=3.6)
        phase = draws.uniform(name + ".phase", channels, 2)
        self._grid = torch.from_numpy(grid).to(device)
        self._frequency = torch.from_numpy(np.minimum(frequency, GRID - 4).astype(np.float32)).to(device)
        pixel = (torch.arange(size, device=device, dtype=torch.float32) + 0.5) / size
        place = pixel * self._frequency.unsqueeze(-1) + 1 + torch.from_numpy(phase).to(device).unsqueeze(-1)
        knots = torch.arange(GRID, device=device, dtype=torch.float32)
        self._offset = place.unsqueeze(-1) - knots  # (B, C, 2, size, GRID)

    def value(self) -> Tensor:
        """(B, C, size, size)."""
        weights = _basis(self._offset)
        return weights[:, :, 1] @ self._grid @ weights[:, :, 0].transpose(-1, -2)

    def slopes(self) -> tuple[Tensor, Tensor]:
        """d/dx and d/dy, each (B, C, size, size), for x to the right and y upwards in [-1, 1]."""
        weights, slopes = _basis(self._offset), _basis_slope(self._offset)
        scale = self._frequency[..., None, None] / 2
        along_x = weights[:, :, 1] @ self._grid @ slopes[:, :, 0].transpose(-1, -2) * scale[:, :, 0]
        along_y = slopes[:, :, 1] @ self._grid @ weights[:, :, 0].transpose(-1, -2) * -scale[:, :, 1]
        return along_x, along_y
