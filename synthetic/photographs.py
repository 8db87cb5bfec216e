"""Scenes whose diffuse layer is a photograph: crops, relief that follows the picture, highlights on one
object.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from synthetic import geometry, shapes
from synthetic.banks import Banks
from synthetic.draws import Draws
from synthetic.materials import difference
from synthetic.subsets import column
from synthetic.variants import CLIPPED

Vector = tuple[Tensor, Tensor, Tensor]


def plan(draws: Draws, kinds: np.ndarray, variants: np.ndarray, banks: Banks) -> dict[str, np.ndarray]:
    """Parameters of the photographs, (B,) or (B, 2)."""
    zoom = draws.uniform("photo.zoom", low=0.65, high=1.0)
    return {
        "photo": kinds == geometry.PHOTO,
        "photo.which": draws.integers("photo", high=1 if banks.photos is None else len(banks.photos)),
        "photo.zoom": zoom,
        "photo.flip": np.where(draws.chance("photo.flip", share=0.5), -1.0, 1.0),
        "photo.shift": draws.uniform("photo.shift", 2, low=-1, high=1) * (1 - zoom)[:, None],
        "photo.gain": draws.uniform("photo.gain", low=0.45, high=1.05),
        "photo.tint": _tints(draws, variants),
        "photo.bump": draws.log_uniform("photo.bump", low=0.03, high=2.0),
        "photo.round": draws.log_uniform("photo.round", low=0.5, high=10.0),
        "photo.seed": draws.uniform("photo.seed", 2),
        "photo.reach": draws.uniform("photo.reach", low=0.08, high=0.5),
        "photo.confined": draws.chance("photo.confined", share=0.65),
    }


def _tints(draws: Draws, variants: np.ndarray) -> np.ndarray:
    """Colours (B, 3) by which photographs are multiplied: vivid ones for most that get clipped highlights,
    since the paper and cardboard of the photographs at hand are pale.
    """
    hue = draws.uniform("photo.hue", 1, high=6.0)
    wheel = np.concatenate([np.abs(hue - 3) - 1, 2 - np.abs(hue - 2), 2 - np.abs(hue - 4)], -1).clip(0, 1)
    vivid = 1 - draws.uniform("photo.saturation", 1, low=0.3, high=0.95) * (1 - wheel)
    tinted = (variants == CLIPPED) & draws.chance("photo.tinted", share=0.7)
    return np.where(tinted[:, None], vivid, 1.0)


def crops(plan: dict[str, np.ndarray], banks: Banks, size: int, device: torch.device) -> Tensor | None:
    """Crops (B, 3, size, size) in display values, zeros for scenes of other kinds; None without any."""
    chosen = np.flatnonzero(plan["photo"])
    if not len(chosen):
        return None
    which = torch.from_numpy(plan["photo.which"][chosen]).to(device)
    pictures = banks.photos.index_select(0, which).float()
    theta = np.zeros((len(chosen), 2, 3), np.float32)
    theta[:, 0, 0] = (plan["photo.zoom"] * plan["photo.flip"])[chosen]
    theta[:, 1, 1] = plan["photo.zoom"][chosen]
    theta[:, :, 2] = plan["photo.shift"][chosen]
    shape = [len(chosen), 3, size, size]
    grid = F.affine_grid(torch.from_numpy(theta).to(device), shape, align_corners=False)
    sampled = F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    gain = column(plan["photo.gain"][chosen] / 255, device).view(-1, 1, 1, 1)
    sampled = sampled * gain
    if (plan["photo.tint"][chosen] != 1).any():
        sampled = sampled * column(plan["photo.tint"][chosen], device)[..., None, None]
    sampled = sampled.clamp_(0, 1)
    if len(chosen) == len(plan["photo"]):
        return sampled
    empty = torch.zeros(len(plan["photo"]), 3, size, size, device=device)
    return empty.index_copy_(0, torch.from_numpy(chosen).to(device), sampled)


def emboss(plan: dict[str, np.ndarray], photo: Tensor, where: Tensor, normal: Vector) -> Vector:
    """Normals pushed by the picture's gradients, fine and coarse.

    Print and edges stand out a little, and what is lit brightest bulges towards the light: a crude shape from
    shading, which puts highlights where the objects of the photograph would have theirs.
    """
    size = photo.shape[-2:]
    brightness = photo.mean(1)
    coarse = F.adaptive_avg_pool2d(brightness.unsqueeze(1), (max(2, size[0] // 8), max(2, size[1] // 8)))
    coarse = F.interpolate(coarse, size=size, mode="bilinear", align_corners=False)[:, 0]
    bump = column(plan["photo.bump"], photo.device).view(-1, 1, 1) * where
    bulge = column(plan["photo.round"], photo.device).view(-1, 1, 1) * where
    slope_x = bump * difference(brightness, 2) + bulge * difference(coarse, 2)
    slope_y = bump * difference(brightness, 1) + bulge * difference(coarse, 1)
    nx, ny, nz = normal
    return shapes.unit(nx - slope_x, ny + slope_y, nz)


def highlight_gain(plan: dict[str, np.ndarray], photo: Tensor, where: Tensor) -> Tensor:
    """Gain (B, H, W) of highlights on a photograph: on what is lit, and often on a single object.

    Crevices and shadows reflect no lamp. An object is told by its colour: pixels of about the colour of a
    drawn one.
    """
    batch, _, height, width = photo.shape
    at = plan["photo.seed"]
    index = (at[:, 0] * height).astype(np.int64) * width + (at[:, 1] * width).astype(np.int64)
    place = torch.from_numpy(index).to(photo.device).view(batch, 1, 1).expand(-1, 3, 1)
    colour = photo.flatten(2).gather(2, place).unsqueeze(-1)
    distance = (photo - colour).square().sum(1).sqrt()
    reach = column(plan["photo.reach"], photo.device).view(-1, 1, 1)
    confined = column(plan["photo.confined"], photo.device).view(-1, 1, 1) * where
    gain = ((reach - distance) * 12 + 0.5).clamp_(0.0, 1.0)
    brightness = photo.mean(1)
    lit = (brightness / brightness.mean((1, 2), keepdim=True).clamp_min(0.02)).clamp_max_(1.5)
    return torch.lerp(torch.ones_like(gain), gain, confined) * torch.lerp(torch.ones_like(lit), lit, where)
