"""Draws the tiles of each surface and the affine maps that recolour them."""

from dataclasses import dataclass

import numpy as np

from synthetic import procedural
from synthetic.banks import Banks
from synthetic.draws import Draws, Plan
from synthetic.finishes import BACKGROUND
from synthetic.geometry import SLOTS
from synthetic.kinds import SceneKinds
from synthetic.scene_options import SceneOptions

PAINTS = procedural.numbers_of(procedural.ALBEDOS, "print", "pattern", "paint", "scribble")
SPARKLES = procedural.numbers_of(procedural.RELIEFS, "dents", "orange peel", "leather", "drops")


@dataclass(frozen=True)
class ColourPlan(Plan):
    """Colours of the surfaces: `offset + matrix @ tile`, in display values."""

    tile: np.ndarray
    """int64 (B, SLOTS) albedo tile."""
    tile_scale: np.ndarray
    """(B, SLOTS) tiles in a unit of the texture coordinates."""
    relief_tile: np.ndarray
    """int64 (B, SLOTS)."""
    offset: np.ndarray
    """(B, SLOTS, 3)."""
    matrix: np.ndarray
    """(B, SLOTS, 3, 3)."""
    rim: np.ndarray
    """(B, SLOTS, 3): display value of rims and edges."""
    rim_width: np.ndarray
    """(B, SLOTS): how far they reach, 0 for none."""


def draw_colours(draws: Draws, kinds: SceneKinds, banks: Banks, options: SceneOptions) -> ColourPlan:
    """Tiles and colours of the surfaces of a batch of scenes."""
    n = SLOTS
    # Of the painted scenes' objects a quarter is plain and vivid, the others have paint, print or stripes.
    painted = kinds.painted[:, None] & draws.chance("paint.worn", n, share=0.75)
    tile, relief_tile = _tiles(draws, kinds, painted, banks, options)
    mean = banks.albedo_mean[tile]
    base, matrix = _affine(draws, kinds, painted, mean, options)
    # Paint in negative: white strokes, dots and lettering on dark ground.
    negative = painted & draws.chance("paint.negative", n, share=0.3)
    base = np.where(negative[..., None], 1 - mean, base)
    matrix = np.where(negative[..., None, None], -matrix, matrix)
    # Half of the painted scenes stand before white paper.
    paper = (kinds.painted & draws.chance("paper", share=0.5))[:, None] & BACKGROUND
    base = np.where(paper[..., None], draws.uniform("paper.white", n, 1, low=0.82, high=0.97), base)
    matrix = np.where(paper[..., None, None], 0.15 * matrix, matrix)
    tint = draws.uniform("slot.tint", n, 1, low=0.65, high=1.1)
    tint = tint * draws.uniform("slot.hue", n, 3, low=0.9, high=1.1)
    tint = np.where(painted[..., None], 1 - 0.3 * (1 - tint), tint)
    matrix = matrix * tint[..., None]
    scale = draws.log_uniform("tile.scale", n, low=0.2, high=0.9)
    rimmed = draws.chance("rim", n, share=options.rim_share) & ~BACKGROUND
    worn = draws.uniform("rim.warmth", n, 1, low=-0.25, high=0.1) * np.array([0.0, 0.5, 1.0], np.float32)
    return ColourPlan(
        tile=tile,
        tile_scale=scale * np.where(kinds.sparkling[:, None], 0.8, 1.0),
        relief_tile=relief_tile,
        offset=base * tint - (matrix @ mean[..., None])[..., 0],
        matrix=matrix,
        rim=(draws.uniform("rim.level", n, 1, low=0.4, high=1.0) * (1 + worn)).astype(np.float32),
        rim_width=np.where(rimmed, draws.log_uniform("rim.width", n, low=0.03, high=0.5), 0.0),
    )


def pale_scenes(draws: Draws, kinds: SceneKinds, options: SceneOptions) -> np.ndarray:
    """bool (B,): scenes of near-white things."""
    return draws.chance("pale", share=np.where(kinds.studio, options.pale_studio_share, options.pale_share))


def _tiles(
    draws: Draws, kinds: SceneKinds, painted: np.ndarray, banks: Banks, options: SceneOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Albedo and relief tile of each surface, int64 (B, SLOTS)."""
    tile = _choose(draws, "albedo", banks.procedural_albedos, banks.albedo_count, options.texture_share)
    tile = np.where(painted, _of_group(draws, "paint.tile", PAINTS, banks.procedural_albedos), tile)
    relief = _choose(draws, "relief.tile", banks.procedural_reliefs, banks.relief_count, 0.4)
    linked = banks.albedo_relief[tile]
    relief = np.where(linked > 0, linked, relief)
    sparkles = _of_group(draws, "sparkle.tile", SPARKLES, banks.procedural_reliefs)
    return tile, np.where(kinds.sparkling[:, None], sparkles, relief)


def _choose(draws: Draws, name: str, ours: int, total: int, share: float) -> np.ndarray:
    """Tile of each surface: with probability `share` one of the user's, where there are any, or ours."""
    own = draws.integers(name + ".own", SLOTS, high=ours)
    if total == ours:
        return own
    users = ours + draws.integers(name + ".users", SLOTS, high=total - ours)
    return np.where(draws.chance(name + ".source", SLOTS, share=share), users, own)


def _of_group(draws: Draws, name: str, group: np.ndarray, count: int) -> np.ndarray:
    """A tile of the group for each surface; `count` is the number of tiles that there are."""
    return np.minimum(group[draws.integers(name, SLOTS, high=len(group))], count - 1)


def _affine(
    draws: Draws, kinds: SceneKinds, painted: np.ndarray, mean: np.ndarray, options: SceneOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Colour (B, SLOTS, 3) in place of the tile's `mean`, and matrix (B, SLOTS, 3, 3) of what differs."""
    n = SLOTS
    clipped = kinds.clipped[:, None]
    pale = pale_scenes(draws, kinds, options)[:, None] & draws.chance("white", n, share=0.75) & ~clipped
    vivid = clipped & draws.chance("vivid", n, share=0.8) | kinds.painted[:, None]
    keep = draws.chance("keep", n, share=np.where(clipped, 0.25, 0.4)) & ~pale | painted
    base = np.where(keep[..., None], mean, _palette(draws, pale, vivid))
    contrast = draws.log_uniform("contrast", n, low=0.25, high=1.5)
    contrast = contrast * np.where(draws.chance("uni", n, share=0.2), 0.1, 1.0)
    # Half of the white things are painted or printed on.
    contrast = contrast * np.where(pale & draws.chance("white.plain", n, share=0.5), 0.3, 1.0)
    contrast = np.where(keep | clipped, np.maximum(contrast, 0.8), contrast)
    chroma = draws.uniform("chroma", n, low=0.3, high=1.3)
    grey = np.full((3, 3), 1 / 3, np.float32)
    # Swapping channels makes blue wood and green brick: new colours, with the structure of real ones.
    swaps = np.eye(3, dtype=np.float32)[np.array([[0, 1, 2], [0, 1, 2], [2, 1, 0], [1, 2, 0]])]
    permuted = swaps[np.where(keep, 0, draws.integers("swap", n, high=4))]
    return base, contrast[..., None, None] * (grey + chroma[..., None, None] * (permuted - grey))


def _palette(draws: Draws, white: np.ndarray, vivid: np.ndarray) -> np.ndarray:
    """Base colours (B, SLOTS, 3), display values: vivid, pastel, grey, earth; near white where asked."""
    n = SLOTS
    kind = np.where(vivid, 0, draws.choice("palette", n, weights=(0.36, 0.2, 0.16, 0.28)))
    saturation_range = np.array([(0.5, 1.0), (0.1, 0.5), (0.0, 0.08), (0.2, 0.6)], np.float32)[kind]
    value_range = np.array([(0.25, 0.95), (0.45, 0.95), (0.03, 0.95), (0.15, 0.7)], np.float32)[kind]
    draw_s, draw_v = draws.uniform("saturation", n), draws.uniform("value", n)
    saturation = saturation_range[..., 0] + draw_s * (saturation_range[..., 1] - saturation_range[..., 0])
    value = value_range[..., 0] + draw_v * (value_range[..., 1] - value_range[..., 0])
    hue = draws.uniform("hue", n, high=6.0)
    hue = np.where(kind == 3, 0.1 + 0.16 * hue, hue)
    saturation = np.where(white, saturation * 0.1, saturation)
    value = np.where(white, 0.82 + 0.17 * draw_v, value)
    return value[..., None] * (1 - saturation[..., None] * (1 - hue_wheel(hue)))


def hue_wheel(hue: np.ndarray) -> np.ndarray:
    """Fully saturated colours (..., 3) in [0, 1] of hues in [0, 6): red 0, green 2, blue 4."""
    return np.stack([np.abs(hue - 3) - 1, 2 - np.abs(hue - 2), 2 - np.abs(hue - 4)], -1).clip(0, 1)
