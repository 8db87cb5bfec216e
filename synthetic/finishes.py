"""Draws how each surface of a scene reflects: finish, roughness, strength of its highlights, relief."""

from dataclasses import dataclass

import numpy as np

from synthetic.draws import Draws, Plan
from synthetic.geometry import SLOTS
from synthetic.kinds import CLOSE_UP, PHOTO, SceneKinds
from synthetic.scene_options import SceneOptions

MATTE, SATIN, GLOSSY, POLISHED, METAL = range(5)
BACKGROUND = np.arange(SLOTS)[None] < 2
"""bool (1, SLOTS)."""

# Ranges of each finish, in the order of their numbers.
ALPHA = ((0.4, 0.8), (0.25, 0.55), (0.1, 0.3), (0.03, 0.12), (0.08, 0.35))
GLOSS = ((0.002, 0.03), (0.1, 0.6), (0.3, 1.0), (0.4, 1.2), (0.6, 1.5))
MIRROR = ((0.0, 0.01), (0.02, 0.3), (0.1, 0.7), (0.3, 1.0), (0.4, 1.2))
RELIEF = ((0.02, 0.3), (0.02, 0.3), (0.01, 0.2), (0.002, 0.06), (0.005, 0.1))


@dataclass(frozen=True)
class FinishPlan(Plan):
    """Finishes of the surfaces, each array (B, SLOTS); see `surfaces.Surface` for what they do."""

    alpha: np.ndarray
    gloss: np.ndarray
    mirror: np.ndarray
    relief: np.ndarray
    """Strength of the relief tile."""
    stretch: np.ndarray
    grain_x: np.ndarray
    grain_y: np.ndarray
    coat: np.ndarray
    edge: np.ndarray
    bump: np.ndarray
    """How far print and texture stand out."""
    wear: np.ndarray
    """How far the relief tile's roughness counts."""
    glow: np.ndarray
    """bool: a lamp."""


def draw_finishes(draws: Draws, kinds: SceneKinds, options: SceneOptions) -> FinishPlan:
    """Finishes of the surfaces of a batch of scenes."""
    n = SLOTS
    finish = _classes(draws, kinds)
    alpha, mirror, relief = _roughness(draws, kinds, finish)
    brushed = (finish == METAL) & draws.chance("brushed", n, share=0.6)
    stretched = brushed | draws.chance("stretched", n, share=0.08)
    grain = draws.uniform("grain", n, high=2 * np.pi)
    coated = draws.chance("coated", n, share=0.3) & (finish != MATTE)
    printed = draws.chance("printed", n, share=0.5)
    lamp = draws.chance("lamp", share=options.lamp_share)[:, None] & (np.arange(n)[None] == 3)
    return FinishPlan(
        alpha=alpha,
        gloss=np.where(lamp, 0, _within(draws, "gloss", finish, GLOSS)),
        mirror=np.where(lamp, 0, mirror),
        relief=relief,
        stretch=np.where(stretched, draws.log_uniform("stretch", n, low=1.5, high=6), 1.0),
        grain_x=np.cos(grain),
        grain_y=np.sin(grain),
        coat=np.where(coated & ~lamp, draws.uniform("coat", n, low=0.2, high=1.0), 0.0),
        edge=draws.uniform("edge", n, low=0.5, high=8.0),
        bump=np.where(printed, draws.log_uniform("bump", n, low=0.1, high=3.0), 0.0),
        wear=draws.uniform("wear", n, low=0.0, high=0.8) ** 2,
        glow=lamp,
    )


def _classes(draws: Draws, kinds: SceneKinds) -> np.ndarray:
    """int64 (B, SLOTS): MATTE, SATIN, ..."""
    n = SLOTS
    objects = draws.choice("finish", n, weights=(0.14, 0.22, 0.34, 0.18, 0.12))
    grounds = draws.choice("finish.bg", n, weights=(0.5, 0.25, 0.15, 0.05, 0.05))
    close = draws.choice("finish.close", n, weights=(0.04, 0.3, 0.4, 0.14, 0.12))
    filling = np.isin(kinds.setting, (CLOSE_UP, PHOTO))[:, None]
    finish = np.where(BACKGROUND, np.where(filling, close, grounds), objects)
    shiny = draws.choice("finish.shiny", n, weights=(0.0, 0.2, 0.55, 0.25))
    dull = BACKGROUND & ~filling & draws.chance("finish.dull", n, share=0.7)
    finish = np.where((kinds.clipped | kinds.sparkling)[:, None] & ~dull, shiny, finish)
    return np.where(kinds.painted[:, None] | BACKGROUND & kinds.studio[:, None], MATTE, finish)


def _roughness(
    draws: Draws, kinds: SceneKinds, finish: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """GGX alpha, strength of the mirror image and of the relief, each (B, SLOTS)."""
    n = SLOTS
    alpha = _within(draws, "alpha", finish, ALPHA)
    mirror = _within(draws, "mirror", finish, MIRROR)
    relief = _within(draws, "relief", finish, RELIEF)
    relief = relief * np.where(draws.chance("relief.none", n, share=0.25), 0.05, 1.0)
    relief = np.where(BACKGROUND & (kinds.setting == CLOSE_UP)[:, None], relief * 1.6, relief)
    # Large highlights need smooth surfaces, most of them not too sharp, some as sharp as glazed ceramic;
    # small ones need a fine and strong relief.
    clipped, sparkling = kinds.clipped[:, None], kinds.sparkling[:, None]
    wide = draws.log_uniform("alpha.clipped", n, low=0.1, high=0.36)
    glazed = draws.log_uniform("alpha.glazed", n, low=0.03, high=0.1)
    wide = np.where(draws.chance("glazed", n, share=0.35), glazed, wide)
    sharp = draws.log_uniform("alpha.sparkling", n, low=0.05, high=0.18)
    rough = finish == MATTE
    alpha = np.where(clipped & ~rough, wide, np.where(sparkling & ~rough, sharp, alpha))
    smooth = clipped & draws.chance("relief.smooth", n, share=0.75)
    relief = np.where(smooth, 0.15 * relief, relief)
    relief = np.where(sparkling, draws.log_uniform("relief.sparkling", n, low=0.12, high=0.7), relief)
    return alpha, np.where(clipped, 0.3 * mirror, mirror), relief


def _within(
    draws: Draws, name: str, finish: np.ndarray, ranges: tuple[tuple[float, float], ...]
) -> np.ndarray:
    """float (B, SLOTS), uniform in the logarithm within the range of each surface's finish."""
    low, high = np.log(np.array(ranges, np.float32).T + 1e-6)
    return np.exp(low[finish] + (high - low)[finish] * draws.uniform(name, SLOTS))
