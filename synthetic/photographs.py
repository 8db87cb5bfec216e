"""Scenes whose diffuse layer is a photograph: crops, relief after the picture, highlights on one object."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from synthetic import shapes
from synthetic.banks import Banks
from synthetic.draws import Draws, Plan
from synthetic.kinds import PHOTO, SceneKinds
from synthetic.recolouring import hue_wheel
from synthetic.subsets import column
from synthetic.surfaces import difference

Vector = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class PhotoPlan(Plan):
    """Photographs of a batch of scenes."""

    used: np.ndarray
    """bool (B,): whose diffuse layer is a photograph; the others ignore the rest."""
    which: np.ndarray
    """int64 (B,)."""
    zoom: np.ndarray
    """(B,): share of the photograph's side that is seen."""
    flip: np.ndarray
    """(B,): -1 where mirrored, else 1."""
    shift: np.ndarray
    """(B, 2)."""
    gain: np.ndarray
    """(B,)."""
    tint: np.ndarray
    """(B, 3): colour by which it is multiplied."""
    bump: np.ndarray
    """(B,): strength of the fine relief."""
    bulge: np.ndarray
    """(B,): strength of the coarse relief."""
    seed: np.ndarray
    """(B, 2) in [0, 1): row and column of a pixel of the object that gets highlights."""
    reach: np.ndarray
    """(B,): how far the object's colours lie from that pixel's."""
    confined: np.ndarray
    """bool (B,): highlights on that object only."""


def draw_photos(draws: Draws, kinds: SceneKinds, banks: Banks) -> PhotoPlan:
    """Photographs, crops and how they shine."""
    zoom = draws.uniform("photo.zoom", low=0.65, high=1.0)
    return PhotoPlan(
        used=kinds.setting == PHOTO,
        which=draws.integers("photo", high=1 if banks.photos is None else len(banks.photos)),
        zoom=zoom,
        flip=np.where(draws.chance("photo.flip", share=0.5), -1.0, 1.0),
        shift=draws.uniform("photo.shift", 2, low=-1, high=1) * (1 - zoom)[:, None],
        gain=draws.uniform("photo.gain", low=0.45, high=1.05),
        tint=_tints(draws, kinds),
        bump=draws.log_uniform("photo.bump", low=0.03, high=2.0),
        bulge=draws.log_uniform("photo.round", low=0.5, high=10.0),
        seed=draws.uniform("photo.seed", 2),
        reach=draws.uniform("photo.reach", low=0.08, high=0.5),
        confined=draws.chance("photo.confined", share=0.65),
    )


def _tints(draws: Draws, kinds: SceneKinds) -> np.ndarray:
    """Colours (B, 3) by which photographs are multiplied: vivid ones for most that get clipped highlights,
    since the paper and cardboard of the photographs at hand are pale.
    """
    wheel = hue_wheel(draws.uniform("photo.hue", high=6.0))
    vivid = 1 - draws.uniform("photo.saturation", 1, low=0.3, high=0.95) * (1 - wheel)
    tinted = kinds.clipped & draws.chance("photo.tinted", share=0.7)
    return np.where(tinted[:, None], vivid, 1.0)


def crops(plan: PhotoPlan, banks: Banks, size: int, device: torch.device) -> Tensor | None:
    """Crops (B, 3, size, size) in display values, zeros for scenes of other kinds; None without any."""
    chosen = np.flatnonzero(plan.used)
    if not len(chosen):
        return None
    which = torch.from_numpy(plan.which[chosen]).to(device)
    pictures = banks.photos.index_select(0, which).float()
    theta = np.zeros((len(chosen), 2, 3), np.float32)
    theta[:, 0, 0] = (plan.zoom * plan.flip)[chosen]
    theta[:, 1, 1] = plan.zoom[chosen]
    theta[:, :, 2] = plan.shift[chosen]
    shape = [len(chosen), 3, size, size]
    grid = F.affine_grid(torch.from_numpy(theta).to(device), shape, align_corners=False)
    sampled = F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    gain = column(plan.gain[chosen] / 255, device).view(-1, 1, 1, 1)
    sampled = sampled * gain
    if (plan.tint[chosen] != 1).any():
        sampled = sampled * column(plan.tint[chosen], device)[..., None, None]
    sampled = sampled.clamp_(0, 1)
    if len(chosen) == len(plan.used):
        return sampled
    empty = torch.zeros(len(plan.used), 3, size, size, device=device)
    return empty.index_copy_(0, torch.from_numpy(chosen).to(device), sampled)


def emboss(plan: PhotoPlan, photo: Tensor, where: Tensor, normal: Vector) -> Vector:
    """Normals pushed by the picture's gradients, fine and coarse.

    Print and edges stand out a little, and what is lit brightest bulges towards the light: a crude shape from
    shading, which puts highlights where the objects of the photograph would have theirs.
    """
    size = photo.shape[-2:]
    brightness = photo.mean(1)
    coarse = F.adaptive_avg_pool2d(brightness.unsqueeze(1), (max(2, size[0] // 8), max(2, size[1] // 8)))
    coarse = F.interpolate(coarse, size=size, mode="bilinear", align_corners=False)[:, 0]
    bump = column(plan.bump, photo.device).view(-1, 1, 1) * where
    bulge = column(plan.bulge, photo.device).view(-1, 1, 1) * where
    slope_x = bump * difference(brightness, 2) + bulge * difference(coarse, 2)
    slope_y = bump * difference(brightness, 1) + bulge * difference(coarse, 1)
    nx, ny, nz = normal
    return shapes.unit(nx - slope_x, ny + slope_y, nz)


def highlight_gain(plan: PhotoPlan, photo: Tensor, where: Tensor) -> Tensor:
    """Gain (B, H, W) of highlights on a photograph: on what is lit, and often on a single object.

    Crevices and shadows reflect no lamp. An object is the pixels of similar colour to a randomly drawn one.
    """
    batch, _, height, width = photo.shape
    at = plan.seed
    index = (at[:, 0] * height).astype(np.int64) * width + (at[:, 1] * width).astype(np.int64)
    place = torch.from_numpy(index).to(photo.device).view(batch, 1, 1).expand(-1, 3, 1)
    colour = photo.flatten(2).gather(2, place).unsqueeze(-1)
    distance = (photo - colour).square().sum(1).sqrt()
    reach = column(plan.reach, photo.device).view(-1, 1, 1)
    confined = column(plan.confined, photo.device).view(-1, 1, 1) * where
    gain = ((reach - distance) * 12 + 0.5).clamp_(0.0, 1.0)
    brightness = photo.mean(1)
    lit = (brightness / brightness.mean((1, 2), keepdim=True).clamp_min(0.02)).clamp_max_(1.5)
    return torch.lerp(torch.ones_like(gain), gain, confined) * torch.lerp(torch.ones_like(lit), lit, where)
