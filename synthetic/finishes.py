"""Draws what each surface of a scene is made of: finish, relief, albedo tile and its recolouring."""

from __future__ import annotations

import numpy as np

from synthetic import geometry, procedural
from synthetic.banks import Banks
from synthetic.draws import Draws
from synthetic.geometry import SLOTS
from synthetic.options import SceneOptions
from synthetic.variants import CLIPPED, PAINTED, SPARKLING

MATTE, SATIN, GLOSSY, POLISHED, METAL = range(5)
PAINTS = procedural.numbers_of(procedural.ALBEDOS, "print", "pattern", "paint", "scribble")
SPARKLES = procedural.numbers_of(procedural.RELIEFS, "dents", "orange peel", "leather", "drops")


def plan(
    draws: Draws, kinds: np.ndarray, variants: np.ndarray, banks: Banks, options: SceneOptions
) -> dict[str, np.ndarray]:
    """Parameters of the surfaces: name -> float32 or int64 (B, SLOTS)."""
    return _finish(draws, kinds, variants, options) | _colours(draws, kinds, variants, banks, options)


def pale_scenes(draws: Draws, kinds: np.ndarray, options: SceneOptions) -> np.ndarray:
    """bool (B,): scenes of near-white things."""
    studio = kinds == geometry.STUDIO
    return draws.chance("pale", share=np.where(studio, options.pale_studio_share, options.pale_share))


def _finish(
    draws: Draws, kinds: np.ndarray, variants: np.ndarray, options: SceneOptions
) -> dict[str, np.ndarray]:
    n = SLOTS
    clipped, painted, sparkling = ((variants == v)[:, None] for v in (CLIPPED, PAINTED, SPARKLING))
    background = np.arange(n)[None] < 2
    objects = draws.choice("finish", n, weights=(0.14, 0.22, 0.34, 0.18, 0.12))
    grounds = draws.choice("finish.bg", n, weights=(0.5, 0.25, 0.15, 0.05, 0.05))
    close = draws.choice("finish.close", n, weights=(0.04, 0.3, 0.4, 0.14, 0.12))
    filling = np.isin(kinds, (geometry.CLOSE_UP, geometry.PHOTO))[:, None]
    finish = np.where(background, np.where(filling, close, grounds), objects)
    shiny = draws.choice("finish.shiny", n, weights=(0.0, 0.2, 0.55, 0.25))
    dull_ground = background & ~filling & draws.chance("finish.dull", n, share=0.7)
    finish = np.where((clipped | sparkling) & ~dull_ground, shiny, finish)
    finish = np.where(painted | background & (kinds == geometry.STUDIO)[:, None], MATTE, finish)

    def by_finish(name: str, *ranges: tuple[float, float]) -> np.ndarray:
        low, high = np.log(np.array(ranges, np.float32).T + 1e-6)
        return np.exp(low[finish] + (high - low)[finish] * draws.uniform(name, n))

    # Columns: matte, satin, glossy, polished, metal.
    alpha = by_finish("alpha", (0.4, 0.8), (0.25, 0.55), (0.1, 0.3), (0.03, 0.12), (0.08, 0.35))
    gloss = by_finish("gloss", (0.002, 0.03), (0.1, 0.6), (0.3, 1.0), (0.4, 1.2), (0.6, 1.5))
    mirror = by_finish("mirror", (0.0, 0.01), (0.02, 0.3), (0.1, 0.7), (0.3, 1.0), (0.4, 1.2))
    relief = by_finish("relief", (0.02, 0.3), (0.02, 0.3), (0.01, 0.2), (0.002, 0.06), (0.005, 0.1))
    relief = relief * np.where(draws.chance("relief.none", n, share=0.25), 0.05, 1.0)
    relief = np.where(background & (kinds == geometry.CLOSE_UP)[:, None], relief * 1.6, relief)
    # Large highlights need smooth and not too sharp surfaces; small ones a fine and strong relief.
    smooth = clipped & draws.chance("relief.smooth", n, share=0.75)
    alpha = np.where(
        clipped & (finish != MATTE), draws.log_uniform("alpha.clipped", n, low=0.1, high=0.36), alpha
    )
    alpha = np.where(
        sparkling & (finish != MATTE), draws.log_uniform("alpha.sparkling", n, low=0.05, high=0.18), alpha
    )
    mirror = np.where(clipped, 0.3 * mirror, mirror)
    relief = np.where(smooth, 0.15 * relief, relief)
    relief = np.where(sparkling, draws.log_uniform("relief.sparkling", n, low=0.12, high=0.7), relief)
    stretched = ((finish == METAL) & draws.chance("brushed", n, share=0.6)) | draws.chance(
        "stretched", n, share=0.08
    )
    grain = draws.uniform("grain", n, high=2 * np.pi)
    coated = draws.chance("coated", n, share=0.3) & (finish != MATTE)
    printed = draws.chance("printed", n, share=0.5)
    lamp = draws.chance("lamp", share=options.lamp_share)[:, None] & (np.arange(n)[None] == 3)
    return {
        "alpha": alpha,
        "gloss": np.where(lamp, 0, gloss),
        "mirror": np.where(lamp, 0, mirror),
        "relief": relief,
        "stretch": np.where(stretched, draws.log_uniform("stretch", n, low=1.5, high=6), 1.0),
        "grain_x": np.cos(grain),
        "grain_y": np.sin(grain),
        "coat": np.where(coated & ~lamp, draws.uniform("coat", n, low=0.2, high=1.0), 0.0),
        "edge": draws.uniform("edge", n, low=0.5, high=8.0),
        "bump": np.where(printed, draws.log_uniform("bump", n, low=0.1, high=3.0), 0.0),
        "wear": draws.uniform("wear", n, low=0.0, high=0.8) ** 2,
        "glow": lamp,
    }


def _choose(draws: Draws, name: str, ours: int, total: int, share: float) -> np.ndarray:
    """Tile of each surface: with probability `share` one of the user's, where there are any, or ours."""
    own = draws.integers(name + ".own", SLOTS, high=ours)
    if total == ours:
        return own
    users = ours + draws.integers(name + ".users", SLOTS, high=total - ours)
    return np.where(draws.chance(name + ".source", SLOTS, share=share), users, own)


def _colours(
    draws: Draws, kinds: np.ndarray, variants: np.ndarray, banks: Banks, options: SceneOptions
) -> dict[str, np.ndarray]:
    """Tiles, and the affine maps `offset + matrix @ tile` (display values) that recolour them."""
    n = SLOTS
    tile = _choose(draws, "albedo", banks.procedural_albedos, banks.albedo_count, options.texture_share)
    clipped, painted, sparkling = ((variants == v)[:, None] for v in (CLIPPED, PAINTED, SPARKLING))
    # Of the painted scenes' objects a quarter is plain and vivid, the others wear paint, print or stripes.
    painted = painted & draws.chance("paint.worn", n, share=0.75)
    tile = np.where(painted, _of_group(draws, "paint.tile", PAINTS, banks.procedural_albedos), tile)
    relief_tile = _choose(draws, "relief.tile", banks.procedural_reliefs, banks.relief_count, 0.4)
    sparkles = _of_group(draws, "sparkle.tile", SPARKLES, banks.procedural_reliefs)
    relief_tile = np.where(sparkling, sparkles, relief_tile)
    linked = np.where(sparkling, 0, banks.albedo_relief[tile])
    mean = banks.albedo_mean[tile]
    pale = pale_scenes(draws, kinds, options)[:, None] & draws.chance("white", n, share=0.75)
    pale = pale & ~clipped
    vivid = clipped & draws.chance("vivid", n, share=0.8) | (variants == PAINTED)[:, None]
    base = _palette(draws, pale, vivid)
    keep = draws.chance("keep", n, share=np.where(clipped, 0.25, 0.4)) & ~pale | painted
    base = np.where(keep[..., None], mean, base)
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
    matrix = contrast[..., None, None] * (grey + chroma[..., None, None] * (permuted - grey))
    tint = draws.uniform("slot.tint", n, 1, low=0.65, high=1.1) * draws.uniform(
        "slot.hue", n, 3, low=0.9, high=1.1
    )
    # Paint in negative: white strokes, dots and lettering on dark ground.
    negative = painted & draws.chance("paint.negative", n, share=0.3)
    base = np.where(negative[..., None], 1 - mean, base)
    matrix = np.where(negative[..., None, None], -matrix, matrix)
    base, matrix = _paper_ground(draws, variants, base, matrix)
    tint = np.where(painted[..., None], 1 - 0.3 * (1 - tint), tint)
    matrix = matrix * tint[..., None]
    offset = base * tint - (matrix @ mean[..., None])[..., 0]
    table = {
        "tile": tile,
        "tile_scale": draws.log_uniform("tile.scale", n, low=0.2, high=0.9) * np.where(sparkling, 0.8, 1.0),
        "relief_tile": np.where(linked > 0, linked, relief_tile),
    }
    table |= {f"offset{row}": offset[..., row] for row in range(3)}
    return table | {
        f"matrix{row}{column}": matrix[..., row, column] for row in range(3) for column in range(3)
    }


def _of_group(draws: Draws, name: str, group: np.ndarray, count: int) -> np.ndarray:
    """A tile of the group for each surface; `count` is the number of tiles that there are."""
    return np.minimum(group[draws.integers(name, SLOTS, high=len(group))], count - 1)


def _paper_ground(
    draws: Draws, variants: np.ndarray, base: np.ndarray, matrix: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Half of the painted scenes stand before white paper."""
    paper = (variants == PAINTED) & draws.chance("paper", share=0.5)
    ground = paper[:, None] & (np.arange(SLOTS)[None] < 2)
    white = draws.uniform("paper.white", SLOTS, 1, low=0.82, high=0.97)
    return np.where(ground[..., None], white, base), np.where(ground[..., None, None], 0.15 * matrix, matrix)


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
    wheel = np.stack([np.abs(hue - 3) - 1, 2 - np.abs(hue - 2), 2 - np.abs(hue - 4)], -1).clip(0, 1)
    return value[..., None] * (1 - saturation[..., None] * (1 - wheel))
