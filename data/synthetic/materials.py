"""What surfaces are made of: albedo tiles recoloured per scene, relief, roughness, gloss, clear coat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from data.synthetic import geometry
from data.synthetic.banks import Banks
from data.synthetic.draws import Draws
from data.synthetic.geometry import SLOTS, Geometry
from data.synthetic.options import SceneOptions

TILES = 4
"""Albedo tiles of a scene (surface k wears tile k modulo TILES); each has a relief tile of its own."""

MATTE, SATIN, GLOSSY, POLISHED, METAL = range(5)


@dataclass
class Surface:
    """Per-pixel material; fields are (B, H, W) unless noted."""

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
    """Strength of the specular lobe; 0 is matte."""
    coat: Tensor
    """Strength of a sharper clear-coat lobe beside it."""
    edge: Tensor
    """Fresnel gain at grazing angles."""
    mirror: Tensor
    """Strength of environment reflections."""
    glow: Tensor
    """1 on lamps, whose diffuse layer ignores shading."""


def build(draws: Draws, kinds: np.ndarray, geo: Geometry, banks: Banks, options: SceneOptions) -> Surface:
    """Materials of the visible surfaces."""
    device = geo.x.device
    batch = len(kinds)
    pale = draws.chance("pale", share=options.pale_share)
    table = torch.from_numpy(_slot_table(draws, kinds, options)).to(device)
    columns = table.gather(1, geo.slot.view(batch, -1, 1).expand(-1, -1, table.shape[2]))
    columns = columns.transpose(1, 2).reshape(batch, -1, *geo.slot.shape[1:]).unbind(1)
    (tint_r, tint_g, tint_b, uv_scale, strength, relief_scale, alpha, stretch, grain_x, grain_y,
     gloss, coat, edge, mirror, bump, wear, glow) = columns  # fmt: skip
    tiles = _albedo_tiles(draws, banks, options, pale, device)
    which = geo.slot % TILES
    s, t = geo.texture
    albedo = _sample(tiles, s * uv_scale, t * uv_scale, which)
    albedo = (albedo * torch.stack([tint_r, tint_g, tint_b], 1)).clamp(0.004, 1.0)
    relief = _sample(_relief_tiles(draws, banks, device), s * relief_scale, t * relief_scale, which)
    brightness = albedo.mean(1)
    slope_x = relief[:, 0] * strength + bump * _difference(brightness, 2)
    slope_y = relief[:, 1] * strength - bump * _difference(brightness, 1)
    nx, ny, nz = geo.normal
    normal = geometry.shapes.unit(nx - slope_x * nz, ny - slope_y * nz, nz)
    worn = 1 + wear * relief[:, 2]
    return Surface(
        albedo=albedo.pow(2.2) * (1 - glow).unsqueeze(1) + glow.unsqueeze(1),
        normal=normal,
        alpha=(alpha * (1 + 0.4 * relief[:, 2] * wear)).clamp(0.02, 0.9),
        stretch=stretch,
        grain=(grain_x, grain_y),
        gloss=gloss * worn.clamp(0.1, 2.0),
        coat=coat,
        edge=edge,
        mirror=mirror * worn.clamp(0.1, 2.0),
        glow=glow,
    )


def _difference(values: Tensor, axis: int) -> Tensor:
    """Central difference along a picture axis, zero at the border."""
    size = values.shape[axis]
    inner = values.narrow(axis, 2, size - 2) - values.narrow(axis, 0, size - 2)
    pad = (1, 1, 0, 0) if axis == 2 else (0, 0, 1, 1)
    return F.pad(inner, pad).clamp(-0.25, 0.25)


def _slot_table(draws: Draws, kinds: np.ndarray, options: SceneOptions) -> np.ndarray:
    """float32 (B, SLOTS, columns), one row of parameters per surface."""
    n = SLOTS
    background = np.arange(n)[None] < 2
    objects = draws.choice("finish", n, weights=(0.14, 0.22, 0.34, 0.18, 0.12))
    grounds = draws.choice("finish.bg", n, weights=(0.5, 0.25, 0.15, 0.05, 0.05))
    close = draws.choice("finish.close", n, weights=(0.04, 0.3, 0.4, 0.14, 0.12))
    scene = kinds[:, None]
    finish = np.where(
        background,
        np.where((scene == geometry.CLOSE_UP) | (scene == geometry.PHOTO), close, grounds),
        objects,
    )
    finish = np.where(background & (scene == geometry.STUDIO), MATTE, finish)

    def by_finish(name: str, *ranges: tuple[float, float]) -> np.ndarray:
        low, high = np.log(np.array(ranges, np.float32).T + 1e-6)
        return np.exp(low[finish] + (high - low)[finish] * draws.uniform(name, n))

    alpha = by_finish("alpha", (0.4, 0.8), (0.25, 0.55), (0.1, 0.3), (0.03, 0.12), (0.08, 0.35))
    gloss = by_finish("gloss", (0.002, 0.03), (0.1, 0.6), (0.3, 1.0), (0.4, 1.2), (0.6, 1.5))
    mirror = by_finish("mirror", (0.0, 0.01), (0.02, 0.3), (0.1, 0.7), (0.3, 1.0), (0.4, 1.2))
    relief = by_finish("relief", (0.01, 0.2), (0.01, 0.2), (0.005, 0.12), (0.002, 0.05), (0.005, 0.08))
    relief = relief * np.where(draws.chance("relief.none", n, share=0.25), 0.05, 1.0)
    relief = np.where(background & (kinds == geometry.CLOSE_UP)[:, None], relief * 1.6, relief)
    brushed = (finish == METAL) & draws.chance("brushed", n, share=0.6)
    stretch = np.where(
        brushed | draws.chance("stretched", n, share=0.08),
        draws.log_uniform("stretch", n, low=1.5, high=6),
        1.0,
    )
    grain = draws.uniform("grain", n, high=2 * np.pi)
    coat = np.where(draws.chance("coated", n, share=0.3), draws.uniform("coat", n, low=0.2, high=1.0), 0.0)
    bump = np.where(
        draws.chance("printed", n, share=0.5), draws.log_uniform("bump", n, low=0.1, high=3.0), 0.0
    )
    lamp = draws.chance("lamp", share=options.lamp_share)[:, None] & (np.arange(n)[None] == 3)
    tint = draws.uniform("slot.tint", n, 1, low=0.6, high=1.15) * draws.uniform(
        "slot.hue", n, 3, low=0.85, high=1.1
    )
    matte = lamp | (finish == MATTE)
    columns = [
        tint[..., 0], tint[..., 1], tint[..., 2],
        draws.log_uniform("tile.scale", n, low=0.25, high=0.8),
        relief, draws.log_uniform("relief.scale", n, low=0.3, high=1.2),
        alpha, stretch, np.cos(grain), np.sin(grain),
        np.where(lamp, 0, gloss), np.where(matte, 0, coat), draws.uniform("edge", n, low=0.5, high=8.0),
        np.where(lamp, 0, mirror), bump, draws.uniform("wear", n, low=0.0, high=0.8) ** 2, lamp,
    ]  # fmt: skip
    return np.stack(np.broadcast_arrays(*columns), -1).astype(np.float32)


def _choose(draws: Draws, name: str, ours: int, total: int, share: float) -> np.ndarray:
    """Index per (scene, tile): one of our own, or with probability `share` one of the user's where there are any."""
    own = draws.integers(name + ".own", TILES, high=ours)
    if total == ours:
        return own
    users = ours + draws.integers(name + ".users", TILES, high=total - ours)
    return np.where(draws.chance(name + ".source", TILES, share=share), users, own)


def _albedo_tiles(
    draws: Draws, banks: Banks, options: SceneOptions, pale: np.ndarray, device: torch.device
) -> Tensor:
    """(B, 3, TILES * 256, 256), display values, tiles one below the other."""
    index = _choose(draws, "albedo", banks.procedural_albedos, len(banks.albedo), options.texture_share)
    base, matrix = _recolouring(draws, pale)
    rows = torch.from_numpy(index.reshape(-1)).to(device)
    tiles = banks.albedo.index_select(0, rows).flatten(2)
    mean = banks.albedo_mean.index_select(0, rows).unsqueeze(-1)
    base_t = torch.from_numpy(base.reshape(-1, 3, 1)).to(device)
    keep = torch.from_numpy(draws.chance("keep", TILES, share=0.4).reshape(-1, 1, 1)).to(device)
    matrix_t = torch.from_numpy(matrix.reshape(-1, 3, 3)).to(device)
    offset = torch.where(keep, mean, base_t) - matrix_t @ mean
    recoloured = torch.baddbmm(offset.expand(-1, -1, tiles.shape[2]), matrix_t, tiles.float() * (1 / 255))
    side = banks.albedo.shape[-1]
    return recoloured.view(len(index), TILES, 3, side, side).transpose(1, 2).reshape(len(index), 3, -1, side)


def _recolouring(draws: Draws, pale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Base colours (B, TILES, 3) and matrices (B, TILES, 3, 3) for the deviations from a tile's mean."""
    n = TILES
    hue = draws.uniform("hue", n, high=6.0)
    kind = draws.choice("palette", n, weights=(0.45, 0.2, 0.15, 0.2))
    saturation = np.choose(kind, [draws.uniform("s.vivid", n, low=0.5, high=1.0), draws.uniform("s.pastel", n, low=0.1, high=0.5),
                                  draws.uniform("s.grey", n, low=0.0, high=0.08), draws.uniform("s.earth", n, low=0.2, high=0.6)])  # fmt: skip
    value = np.choose(kind, [draws.uniform("v.vivid", n, low=0.25, high=0.95), draws.uniform("v.pastel", n, low=0.45, high=0.95),
                             draws.uniform("v.grey", n, low=0.03, high=0.95), draws.uniform("v.earth", n, low=0.15, high=0.7)])  # fmt: skip
    hue = np.where(kind == 3, 0.1 + 0.16 * hue, hue)
    white = pale[:, None] & draws.chance("white", n, share=0.75)
    saturation = np.where(white, saturation * 0.1, saturation)
    value = np.where(white, 0.82 + 0.17 * draws.uniform("v.white", n), value)
    wheel = np.stack([np.abs(hue - 3) - 1, 2 - np.abs(hue - 2), 2 - np.abs(hue - 4)], -1).clip(0, 1)
    base = value[..., None] * (1 - saturation[..., None] * (1 - wheel))
    contrast = draws.log_uniform("contrast", n, low=0.15, high=1.3) * np.where(
        draws.chance("uni", n, share=0.2), 0.1, 1.0
    )
    chroma = draws.uniform("chroma", n, low=0.3, high=1.3)
    grey = np.full((3, 3), 1 / 3, np.float32)
    swap = np.eye(3, dtype=np.float32)[np.array([[0, 1, 2], [0, 1, 2], [2, 1, 0], [1, 2, 0]])]
    permuted = swap[draws.integers("swap", n, high=4)]
    matrix = contrast[..., None, None] * (grey + chroma[..., None, None] * (permuted - grey))
    return base.astype(np.float32), matrix.astype(np.float32)


def _relief_tiles(draws: Draws, banks: Banks, device: torch.device) -> Tensor:
    """(B, 3, TILES * 256, 256): slope x, slope y, roughness; the albedo tile's own relief where it has one."""
    total, ours = len(banks.relief), banks.procedural_reliefs
    index = _choose(draws, "relief.tile", ours, total, 0.4)
    rows = torch.from_numpy(index.reshape(-1)).to(device)
    tiles = banks.relief.index_select(0, rows).float()
    side = tiles.shape[-1]
    return tiles.view(len(index), TILES, 3, side, side).transpose(1, 2).reshape(len(index), 3, -1, side)


def _sample(tiles: Tensor, s: Tensor, t: Tensor, which: Tensor) -> Tensor:
    """Bilinear values of the stacked tiles at texture coordinates (1 = one tile), tile number `which`."""
    side = tiles.shape[-1]
    column = torch.frac(s * 0.5 + 64.0) * 2 - 1
    row = torch.frac(64.0 - t * 0.5).clamp(0.5 / side, 1 - 0.5 / side)
    grid = torch.stack([column, (row + which) * (2 / TILES) - 1], -1)
    return F.grid_sample(tiles, grid, padding_mode="border", align_corners=False)
