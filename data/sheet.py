"""Contact sheets: rows of samples, columns of layers."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from data.records import PICTURES, PLANES, PictureSamples, Record

CELL = 160  # pixels
GAIN = 4  # of the difference, which is faint


def contact_sheet(records: Sequence[Record], sixteen_bit: str = "refuse") -> np.ndarray:
    """(H, W, 3) float32 in [0, 1]: a row a record, input, diffuse, 4 (input - diffuse), its other layers."""
    samples = [PictureSamples([record], sixteen_bit)[0] for record in records]
    others = [key for key in (*PICTURES[2:], *PLANES) if any(key in sample for sample in samples)]
    rows = []
    for sample in samples:
        difference = (GAIN * (sample["input"] - sample["diffuse"])).clamp(0, 1)
        cells = [sample["input"], sample["diffuse"], difference]
        cells += [sample.get(key, torch.zeros(1, 1, 1)) for key in others]
        rows.append(torch.cat([_cell(cell) for cell in cells], dim=2))
    return torch.cat(rows, dim=1).permute(1, 2, 0).numpy()


def _cell(layer: torch.Tensor) -> torch.Tensor:
    """A layer (1 or 3, H, W) fitted into a cell (3, CELL, CELL), its shape kept."""
    scale = CELL / max(layer.shape[-2:])
    size = [max(1, round(side * scale)) for side in layer.shape[-2:]]
    fitted = F.interpolate(layer[None].expand(1, 3, -1, -1), size=size, mode="bilinear", antialias=True)[0]
    return F.pad(fitted.clamp(0, 1), (0, CELL - size[1], 0, CELL - size[0]))
