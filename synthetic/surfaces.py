"""Per-pixel material of the visible surfaces: albedo, bumped normal, roughness, gloss."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from synthetic import shapes, tiles
from synthetic.banks import RELIEF_STEP, Banks
from synthetic.finishes import FinishPlan
from synthetic.geometry import SLOTS, Geometry
from synthetic.procedural import SIDE
from synthetic.recolouring import ColourPlan


@dataclass
class Surface:
    """Fields are (B, H, W) unless noted."""

    albedo: Tensor
    """(B, 3, H, W), linear."""
    normal: tuple[Tensor, Tensor, Tensor]
    alpha: Tensor
    """GGX roughness."""
    stretch: Tensor
    """Anisotropy: ratio of the roughness along and across the grain, 1 where there is none."""
    grain: tuple[Tensor, Tensor]
    """Direction of the grain in the picture, unit vector."""
    gloss: Tensor
    """Strength of the specular lobe; 0: matte."""
    coat: Tensor
    """Strength of a sharper clear-coat lobe beside it."""
    edge: Tensor
    """Fresnel gain at grazing angles."""
    mirror: Tensor
    """Strength of environment reflections."""
    glow: Tensor
    """1 on lamps, whose diffuse layer ignores shading."""


def build(finish: FinishPlan, colour: ColourPlan, geo: Geometry, banks: Banks) -> Surface:
    """Materials of the visible surfaces."""
    slot = geo.slot
    rows = torch.arange(len(slot), device=slot.device).view(-1, 1, 1) * SLOTS
    index = (slot + rows).flatten()

    def of(values: np.ndarray) -> Tensor:
        values = values if values.dtype == np.int64 else values.astype(np.float32)
        return torch.from_numpy(values).to(slot.device).flatten().index_select(0, index).view_as(slot)

    s, t = geo.texture
    scale = of(colour.tile_scale)
    layers = ((banks.albedo, of(colour.tile)), (banks.relief, of(colour.relief_tile)))
    texels, relief = tiles.sample(layers, SIDE, s * scale, t * scale)
    recoloured = []
    for row in range(3):
        mixed = sum(of(colour.matrix[..., row, column]) * texels[column] for column in range(3))
        recoloured.append(mixed * (1 / 255) + of(colour.offset[..., row]))
    albedo = torch.stack(recoloured, 1).clamp(0.004, 1.0)
    if colour.rim_width.any():
        width = of(colour.rim_width)
        worn = ((geo.rim - 1 + width) / width.clamp_min(1e-3)).clamp(0, 1) * (width > 0)
        # Glaze is thin, and so lighter, at edges.
        rim = torch.stack([of(colour.rim[..., row]) for row in range(3)], 1)
        albedo = torch.lerp(albedo, rim, worn.sqrt().unsqueeze(1))
    slope_x, slope_y, rough = ((channel - 128) * RELIEF_STEP for channel in relief)
    brightness, strength, bump = albedo.mean(1), of(finish.relief), of(finish.bump)
    slope_x = slope_x * strength + bump * difference(brightness, 2)
    slope_y = slope_y * strength - bump * difference(brightness, 1)
    nx, ny, nz = geo.normal
    rough = rough * of(finish.wear)
    worn, glow = (1 + rough).clamp(0.1, 2.0), of(finish.glow)
    return Surface(
        albedo=torch.lerp(albedo.square(), torch.ones_like(albedo), glow.unsqueeze(1)),
        normal=shapes.unit(nx - slope_x * nz, ny - slope_y * nz, nz),
        alpha=(of(finish.alpha) * (1 + 0.4 * rough)).clamp(0.02, 0.9),
        stretch=of(finish.stretch),
        grain=(of(finish.grain_x), of(finish.grain_y)),
        gloss=of(finish.gloss) * worn,
        coat=of(finish.coat),
        edge=of(finish.edge),
        mirror=of(finish.mirror) * worn,
        glow=glow,
    )


def difference(values: Tensor, axis: int) -> Tensor:
    """Central difference of (B, H, W) along a picture axis, at most 0.25, zero at the border."""
    size = values.shape[axis]
    inner = values.narrow(axis, 2, size - 2) - values.narrow(axis, 0, size - 2)
    pad = (1, 1, 0, 0) if axis == 2 else (0, 0, 1, 1)
    return F.pad(inner, pad).clamp(-0.25, 0.25)
