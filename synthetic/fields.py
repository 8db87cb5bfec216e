"""Smooth random fields with exact gradients: cubic B-splines over random grids, as matrix products."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from synthetic.draws import Draws, Plan
from synthetic.subsets import column

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


@dataclass(frozen=True)
class FieldPlan(Plan):
    """Parameters of C fields a scene."""

    grid: np.ndarray
    """(B, C, GRID, GRID) control points."""
    phase: np.ndarray
    """(B, C, 2) shift along x and y, in cells."""
    frequency: np.ndarray
    """(B, C) cells across the picture."""


def draw_fields(draws: Draws, name: str, frequency: np.ndarray) -> FieldPlan:
    """C fields a scene; `frequency` (B, C): control points across the picture, at most 12."""
    channels = frequency.shape[1]
    return FieldPlan(
        grid=draws.uniform(name + ".grid", channels, GRID, GRID, low=-3.6, high=3.6),
        phase=draws.uniform(name + ".phase", channels, 2),
        frequency=np.minimum(frequency, GRID - 4),
    )


class Fields:
    """C random fields a scene on a square of side `size`: mean 0, deviation near 1."""

    def __init__(self, plan: FieldPlan, size: int, device: torch.device) -> None:
        self._grid = column(plan.grid, device)
        self._frequency = column(plan.frequency, device)[..., None, None]
        pixel = (torch.arange(size, device=device, dtype=torch.float32) + 0.5) / size
        place = pixel * self._frequency + 1 + column(plan.phase, device).unsqueeze(-1)
        knots = torch.arange(GRID, device=device, dtype=torch.float32)
        self._offset = place.unsqueeze(-1) - knots  # (B, C, 2, size, GRID)

    def value(self) -> Tensor:
        """(B, C, size, size)."""
        weights = _basis(self._offset)
        return weights[:, :, 1] @ self._grid @ weights[:, :, 0].transpose(-1, -2)

    def slopes(self) -> tuple[Tensor, Tensor]:
        """d/dx and d/dy, each (B, C, size, size), for x to the right and y upwards in [-1, 1]."""
        weights, slopes = _basis(self._offset), _basis_slope(self._offset)
        scale = self._frequency / 2
        along_x = weights[:, :, 1] @ self._grid @ slopes[:, :, 0].transpose(-1, -2) * scale
        along_y = slopes[:, :, 1] @ self._grid @ weights[:, :, 0].transpose(-1, -2) * -scale
        return along_x, along_y
