"""Draws the parameters of the objects' forms, as `shapes` lists them."""

from collections.abc import Callable

import numpy as np

from synthetic import shapes
from synthetic.draws import Draws
from synthetic.scene_options import SceneOptions

# Of each ball of a figurine: direction from the one that it is joined to, in degrees, distance and radius.
BALLS = (
    *((0, 0.0, 0.2), (10, 0.55, 0.23), (55, 0.35, 0.16), (20, 0.22, 0.17)),
    *((165, 0.35, 0.1), (140, 0.35, 0.04), (-105, 0.4, 0.13), (-80, 0.35, 0.08)),
    *((-100, 0.45, 0.11), (-75, 0.35, 0.07)),
)


def form_parameters(draws: Draws, n: int, options: SceneOptions) -> dict[int, np.ndarray]:
    """Parameters (B, n, shapes.PARAMETERS) that n objects of each scene would have, for each form."""
    u, often, wide = _drawers(draws, n)
    organic = often("organic", 0.6)
    solid = _pad(
        np.where(often("a2", 0.6), 2.0, wide("a", 1.7, 8.0)),
        np.where(organic, wide("b2", 1.8, 2.5), wide("b", 2.0, 24.0)),
        np.where(often("c2", 0.7), 2.0, wide("c", 1.7, 6.0)),
        u("depth", 0.35, 1.1),
        np.where(often("tapered", 0.35), u("taper", -0.4, 0.4), 0.0),
        np.where(often("bent", 0.2), u("bend", -0.9, 0.9), 0.0),
        wide("aspect", 0.6, 2.0),
        u("lobes", 3.0, 9.0),
        np.where(often("ribbed", 0.15), u("ribs", 0.1, 0.5), 0.0),
    )
    yaw, pitch = u("yaw", -0.75, 0.75), u("pitch", 0.1, 0.9)
    box = _pad(
        *(u("hx", 0.4, 1.0), u("hy", 0.3, 1.0), u("hz", 0.2, 0.8)),
        *(np.sin(yaw), np.cos(yaw), np.sin(pitch), np.cos(pitch)),
        wide("sharp", 5.0, 50.0),
    )
    tilt = u("tilt", 0.0, 1.2)
    dish = _pad(
        np.sin(tilt),
        np.cos(tilt),
        u("dip", -0.2, 0.9),
        wide("profile", 1.5, 5.0),
        u("ring", 0.4, 0.85),
        np.where(often("ringed", 0.5), u("ring_height", -0.9, 0.9), 0.0),
        np.where(often("holed", 0.12), u("hole", 0.2, 0.75), 0.0),
    )
    return {
        shapes.SOLID: solid,
        shapes.ROUND: _round_bodies(draws, n, options),
        shapes.BOX: box,
        shapes.DISH: dish,
        shapes.LIMBS: _limbs(draws, n),
    }


def _round_bodies(draws: Draws, n: int, options: SceneOptions) -> np.ndarray:
    """Cups, cans and bottles; those with ridges are seen from lower down."""
    u, often, wide = _drawers(draws, n)
    ridged = often("ridged", options.ridged_share)
    elevation = np.where(ridged, u("ridged.elevation", 0.08, 0.4), u("elevation", 0.12, 1.0))
    return _pad(
        np.where(often("straight", 0.4), 0.0, u("k", -0.18, 0.22)),
        np.where(ridged, wide("ridged.half", 0.5, 2.0), wide("half", 0.25, 2.0)),
        np.sin(elevation),
        np.cos(elevation),
        often("open", 0.55),
        u("edge", 0.0, 1.5),
        np.where(ridged, np.floor(wide("ridges", 3.0, 16.0)), 0.0),
        u("ridge", 0.2, 2.5),
        u("gap", 0.0, 0.95),
    )


def _drawers(
    draws: Draws, n: int
) -> tuple[Callable[..., np.ndarray], Callable[..., np.ndarray], Callable[..., np.ndarray]]:
    """uniform(name, low, high), chance(name, share), log_uniform(name, low, high) for n objects a scene."""

    def uniform(name: str, low: float, high: float) -> np.ndarray:
        return draws.uniform("form." + name, n, low=low, high=high)

    def chance(name: str, share: float) -> np.ndarray:
        return draws.chance("form." + name, n, share=share)

    def log_uniform(name: str, low: float, high: float) -> np.ndarray:
        return draws.log_uniform("form." + name, n, low=low, high=high)

    return uniform, chance, log_uniform


def _limbs(draws: Draws, n: int) -> np.ndarray:
    """Creatures with a back, a head, a tail and two legs, bent and stout at random; some thin as hoses."""
    stout = draws.log_uniform("limbs.stout", n, low=0.45, high=1.4)
    hose = draws.chance("limbs.hose", n, share=0.2)
    turn = draws.normal("limbs.turn", n, shapes.NODES) * 0.45
    reach = draws.log_uniform("limbs.reach", n, shapes.NODES, low=0.7, high=1.5)
    swell = draws.log_uniform("limbs.swell", n, shapes.NODES, low=0.7, high=1.4)
    depth = draws.normal("limbs.depth", n, shapes.NODES) * 0.18
    balls = np.zeros((draws.count, n, shapes.NODES, 4), np.float32)
    for number, (parent, (degrees, distance, radius)) in enumerate(
        zip(shapes.LIMB_PARENTS, BALLS, strict=True)
    ):
        direction = np.deg2rad(degrees) + turn[..., number]
        step = distance * reach[..., number]
        offsets = step * np.cos(direction), step * np.sin(direction), depth[..., number]
        for axis, offset in enumerate(offsets):
            balls[..., number, axis] = balls[..., parent, axis] + offset
        balls[..., number, 3] = stout * np.where(hose, 0.09, radius * swell[..., number])
    # About the middle of the back, and as large as the other forms.
    balls[..., 0] -= 0.3
    balls *= 1.4
    return balls.reshape(draws.count, n, -1)


def _pad(*columns: np.ndarray) -> np.ndarray:
    """Columns (B, n) as rows (B, n, shapes.PARAMETERS), zeros after them."""
    rows = np.stack(np.broadcast_arrays(*columns), -1).astype(np.float32)
    return np.pad(rows, ((0, 0), (0, 0), (0, shapes.PARAMETERS - rows.shape[-1])))
