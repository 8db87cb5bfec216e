"""The sample pictures: glossy things on a table, rendered by ray marching with numpy alone.

python -m samples.render OUTPUT_FOLDER [NAME ...]

Each scene is a list of things: a signed distance (metres) to its surface and a material. Light is
I = D + S as the networks assume it: D = albedo x (key light with soft shadow + sky), S = Fresnel x what two
softboxes show in the mirrored direction, blurred by the roughness. The sum is clipped and sRGB-encoded.
The pictures are ours, free to use under the project's licence.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from samples.materials import (
    Material,
    cloth,
    fruit_skin,
    glaze,
    leaf_blade,
    plaster,
    printed_label,
    soil,
    steel,
    wood,
)
from utils.image_files import write_rgb

Array = np.ndarray
SIZE = (300, 400)
SAMPLES = 2  # squared: rays a pixel


@dataclass(frozen=True)
class Thing:
    """distance: points (N, 3) -> (N,) metres; material: points, normals -> Material."""

    distance: Callable[[Array], Array]
    material: Callable[[Array, Array], Material]


@dataclass(frozen=True)
class Scene:
    """Things, and a camera at `eye` that looks at `target`; y is up."""

    things: list[Thing]
    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    zoom: float = 2.2
    key: tuple[float, float, float] = (-0.55, 0.75, 0.35)
    """direction to the key light"""


def smooth_min(a: Array, b: Array, k: float) -> Array:
    """Union of two distances with a fillet of about k metres."""
    h = np.clip(0.5 + 0.5 * (b - a) / k, 0, 1)
    return b + (a - b) * h - k * h * (1 - h)


def length(p: Array) -> Array:
    return np.sqrt((p * p).sum(axis=-1))


def ellipsoid(centre, radii) -> Callable[[Array], Array]:
    centre, radii = np.float32(centre), np.float32(radii)

    def distance(p):
        q = (p - centre) / radii
        return (length(q) - 1) * radii.min()

    return distance


def table(p: Array) -> Array:
    return p[:, 1]


def wall(p: Array) -> Array:
    return p[:, 2] + 2.6


def apple(centre, radius) -> Callable[[Array], Array]:
    """A sphere with a dimple on top and a narrower foot."""
    centre = np.float32(centre)

    def distance(p):
        q = (p - centre) / radius
        around = np.hypot(q[:, 0], q[:, 2])
        dimple = 0.28 * np.exp(-((around / 0.28) ** 2)) * (q[:, 1] > 0)
        foot = 1 + 0.12 * np.minimum(q[:, 1], 0)
        return 0.6 * radius * (np.sqrt((around / foot) ** 2 + (q[:, 1] * 1.08 + dimple) ** 2) - 1)

    return distance


def stalk(base, height, radius) -> Callable[[Array], Array]:
    base = np.float32(base)

    def distance(p):
        q = p - base
        bend = 0.25 * np.clip(q[:, 1], 0, None) ** 2 / height
        along = np.clip(q[:, 1], 0, height)
        return length(np.stack([q[:, 0] - bend, q[:, 1] - along, q[:, 2]], axis=1)) - radius

    return distance


def lathe(centre, profile: Callable[[Array, Array], Array]) -> Callable[[Array], Array]:
    """A body of revolution around the vertical through `centre`; profile: (radius, height) -> distance."""
    centre = np.float32(centre)

    def distance(p):
        q = p - centre
        return profile(np.hypot(q[:, 0], q[:, 2]), q[:, 1])

    return distance


def rounded_box_2d(x, y, half_x, half_y, corner) -> Array:
    dx, dy = np.abs(x) - half_x + corner, np.abs(y) - half_y + corner
    outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
    return outside + np.minimum(np.maximum(dx, dy), 0) - corner


def mug(centre, radius, height, wall) -> Callable[[Array], Array]:
    """An open cylinder with a handle."""
    cx, cy, cz = centre

    def shell(r, y):
        # Bellied: its shoulder faces the window.
        r = r + radius * 0.55 * (y / height - 0.3) ** 2
        outer = rounded_box_2d(r, y - height / 2, radius, height / 2, 0.06)
        inner = rounded_box_2d(r, y - height / 2 - wall * 2, radius - wall, height / 2, 0.06)
        return -smooth_min(-outer, inner, 0.03)

    body = lathe(centre, shell)

    def distance(p):
        q = p - np.float32((cx + radius * 1.05, cy + height * 0.52, cz))
        ring = np.hypot(np.hypot(q[:, 0], q[:, 1] * 0.85) - height * 0.3, q[:, 2]) - wall * 0.9
        outside = np.hypot(p[:, 0] - cx, p[:, 2] - cz) - radius + wall * 0.6
        handle = np.maximum(ring, -outside)
        return 0.8 * smooth_min(body(p), handle, 0.05)

    return distance


def plate(centre, radius) -> Callable[[Array], Array]:
    """A shallow dish with a raised rim."""

    def profile(r, y):
        floor = 0.05 + 0.16 * np.clip((r - 0.55 * radius) / (0.45 * radius), 0, 1) ** 1.5
        return 0.7 * np.maximum(np.abs(y - floor) - 0.025, r - radius)

    return lathe(centre, profile)


def can(centre, radius, height) -> Callable[[Array], Array]:
    """A tin can: a cylinder with rims and ribs above and below the label."""

    def profile(r, y):
        edge = np.abs(y - height / 2) / (height / 2)
        rib = 0.008 * np.cos(y * 90) * (edge > 0.8)
        rim = 0.02 * np.exp(-(((edge - 0.97) / 0.025) ** 2))
        body = rounded_box_2d(r, y - height / 2, radius + rib + rim, height / 2, 0.02)
        lid = np.maximum(r - radius * 0.9, height - 0.05 - y)
        return 0.7 * np.maximum(body, -lid)

    return lathe(centre, profile)


def leaf(centre, half_length, half_width) -> Callable[[Array], Array]:
    """A thin bent blade along x with a sunken midrib and arched lobes between its veins."""
    centre = np.float32(centre)

    def distance(p):
        q = p - centre
        along = np.clip(q[:, 0] / half_length, -1, 1)
        # Broad near the stalk, pointed at the tip.
        edge = half_width * np.sqrt(np.clip(1 - along**2, 0, 1)) * (1 - 0.45 * along)
        side = np.abs(q[:, 2])
        vein = np.cos(22 * (along - 0.8 * side / half_width))
        height = 0.12 * half_length * (1 - along**2) + 0.3 * side - 0.3 * side**2 / half_width
        height = height + 0.012 * vein * np.clip(side * 6, 0, 1)
        thick = np.abs(q[:, 1] - height) - 0.012
        return 0.5 * np.maximum(thick, np.maximum(side - edge, np.abs(q[:, 0]) - half_length))

    return distance


def scenes() -> dict[str, Scene]:
    """The pictures by name."""
    floor, back = Thing(table, wood), Thing(wall, plaster)
    fruit = Scene(
        [
            floor,
            back,
            Thing(apple((-0.75, 0.62, 0.1), 0.66), fruit_skin((0.62, 0.05, 0.05), (0.75, 0.5, 0.12), seed=1)),
            Thing(
                stalk((-0.75, 1.05, 0.1), 0.35, 0.025),
                fruit_skin((0.2, 0.11, 0.04), (0.2, 0.11, 0.04), seed=2),
            ),
            Thing(
                ellipsoid((0.65, 0.55, -0.25), (0.56, 0.55, 0.56)),
                fruit_skin((0.85, 0.3, 0.02), (0.9, 0.38, 0.03), pores=0.05, seed=3),
            ),
            Thing(
                ellipsoid((0.2, 0.34, 0.85), (0.5, 0.34, 0.35)),
                fruit_skin((0.88, 0.68, 0.06), (0.9, 0.75, 0.12), pores=0.03, seed=4),
            ),
            Thing(
                ellipsoid((-0.5, 0.27, 1.1), (0.3, 0.27, 0.28)),
                fruit_skin((0.13, 0.03, 0.12), (0.25, 0.06, 0.2), seed=5),
            ),
        ],
        eye=(0.2, 1.9, 4.6),
        target=(0, 0.42, 0.3),
        zoom=3.1,
    )
    breakfast = Scene(
        [
            Thing(table, cloth),
            back,
            Thing(plate((0.55, 0, 0.55), 0.95), glaze((0.82, 0.8, 0.74), rings=True)),
            Thing(mug((-0.75, 0, -0.1), 0.5, 1.05, 0.05), glaze((0.03, 0.16, 0.42))),
            Thing(
                ellipsoid((0.55, 0.33, 0.6), (0.24, 0.32, 0.24)),
                fruit_skin((0.72, 0.4, 0.24), (0.76, 0.46, 0.3), seed=6),
            ),
        ],
        eye=(0.3, 1.9, 4.6),
        target=(0.1, 0.42, 0.25),
        zoom=3.2,
        key=(0.7, 0.42, 0.65),
    )
    tins = Scene(
        [
            floor,
            back,
            Thing(
                can((-0.45, 0, 0.2), 0.5, 1.35),
                printed_label((0.6, 0.03, 0.03), (0.9, 0.82, 0.6), 0.675, (-0.45, 0.2)),
            ),
            Thing(
                can((0.75, 0, -0.35), 0.45, 0.95),
                printed_label((0.02, 0.25, 0.16), (0.85, 0.85, 0.8), 0.475, (0.75, -0.35)),
            ),
            Thing(ellipsoid((0.55, 0.2, 0.75), (0.2, 0.2, 0.2)), steel),
        ],
        eye=(0.1, 0.95, 4.6),
        target=(0.08, 0.6, 0.1),
        zoom=3.2,
        key=(-0.6, 0.28, 0.72),
    )
    garden = Scene(
        [
            Thing(table, soil),
            Thing(leaf((-0.1, 0.1, 0.15), 1.25, 0.62), leaf_blade((-0.1, 0.15), 1.25, 0.62)),
            Thing(
                ellipsoid((0.95, 0.16, 0.95), (0.17, 0.16, 0.17)),
                fruit_skin((0.55, 0.02, 0.04), (0.6, 0.05, 0.05), seed=7),
            ),
            Thing(
                ellipsoid((0.62, 0.14, 1.15), (0.15, 0.14, 0.15)),
                fruit_skin((0.6, 0.03, 0.04), (0.62, 0.06, 0.05), seed=8),
            ),
        ],
        eye=(0.3, 2.6, 3.4),
        target=(0.08, 0.2, 0.3),
        zoom=2.7,
        key=(-0.4, 0.75, -0.5),
    )
    return {"fruit.jpg": fruit, "breakfast.png": breakfast, "tins.jpg": tins, "garden.jpg": garden}


def render(scene: Scene, size: tuple[int, int] = SIZE, samples: int = SAMPLES) -> Array:
    """(H, W, 3) float32 in [0, 1], sRGB-encoded."""
    height, width = size[0] * samples, size[1] * samples
    points, rays, hit = _march(scene, height, width)
    colour = np.zeros((height * width, 3), np.float32)
    colour[~hit] = 0.35
    colour[hit] = _shade(scene, points[hit], rays[hit])
    linear = np.clip(colour.reshape(height, width, 3), 0, 1)
    linear = linear.reshape(size[0], samples, size[1], samples, 3).mean(axis=(1, 3))
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _march(scene: Scene, height: int, width: int) -> tuple[Array, Array, Array]:
    eye, target = np.float32(scene.eye), np.float32(scene.target)
    forward = _unit(target - eye)
    right = _unit(np.cross(forward, np.float32((0, 1, 0))))
    up = np.cross(right, forward)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = (x + 0.5 - width / 2) / height * 2, (height / 2 - y - 0.5) / height * 2
    rays = _unit((x[..., None] * right + y[..., None] * up + scene.zoom * forward).reshape(-1, 3))
    travelled = np.zeros(len(rays), np.float32)
    active = np.arange(len(rays))
    for _ in range(120):
        step = _nearest(scene, eye + rays[active] * travelled[active, None])[0]
        travelled[active] += step
        active = active[(step > 5e-4) & (travelled[active] < 30)]
        if not len(active):
            break
    return eye + rays * travelled[:, None], rays, travelled < 30


def _nearest(scene: Scene, points: Array) -> tuple[Array, Array]:
    """Distance to the nearest surface, and whose it is."""
    distances = np.stack([thing.distance(points) for thing in scene.things])
    return distances.min(axis=0), distances.argmin(axis=0)


def _shade(scene: Scene, points: Array, rays: Array) -> Array:
    normals = _normals(scene, points)
    _, owner = _nearest(scene, points)
    colour = np.zeros_like(points)
    key = _unit(np.float32(scene.key))
    lit = _visibility(scene, points + normals * 0.01, key)
    open_sky = _openness(scene, points, normals)
    for index, thing in enumerate(scene.things):
        own = owner == index
        if not own.any():
            continue
        material = thing.material(points[own], normals[own])
        normal, ray = material.normal, rays[own]
        facing = np.clip((normal * key).sum(axis=1), 0, None) * lit[own]
        sky = (0.5 + 0.5 * normal[:, 1]) * open_sky[own]
        diffuse = material.albedo * (
            1.05 * facing[:, None] * (1, 0.96, 0.9) + 0.32 * sky[:, None] * (0.9, 0.96, 1.05)
        )
        mirrored = ray - 2 * (ray * normal).sum(axis=1, keepdims=True) * normal
        grazing = 1 - np.clip(-(ray * normal).sum(axis=1), 0, 1)
        fresnel = material.reflectance + (1 - material.reflectance) * grazing**5
        # A mirrored ray that meets another thing sees no softbox there.
        clear = _visibility(scene, points[own] + normals[own] * 0.02, mirrored, steps=14)
        light = softboxes(mirrored, key, material.roughness) * clear + 0.12 * open_sky[own]
        colour[own] = diffuse + (fresnel * light)[:, None] * material.tint
    return colour


def softboxes(directions: Array, key: Array, roughness: Array) -> Array:
    """Brightness that a glossy surface sees: a large window at the key light, a strip opposite."""
    brightness = np.zeros(len(directions), np.float32)
    for centre, half_width, half_height, power in (
        (key, 0.24, 0.34, 18.0),
        (key * (-1.1, 0.8, 0.9), 0.09, 0.5, 6.0),
    ):
        forward = _unit(np.float32(centre))
        right = _unit(np.cross(forward, np.float32((0, 1, 0))))
        up = np.cross(right, forward)
        ahead = np.clip(directions @ forward, 1e-3, None)
        x, y = directions @ right / ahead, directions @ up / ahead
        blur = 0.02 + roughness
        inside = _step((half_width - np.abs(x)) / blur) * _step((half_height - np.abs(y)) / blur)
        # The same light spread over a larger patch is dimmer.
        spread = half_width * half_height / ((half_width + blur / 3) * (half_height + blur / 3))
        bars = 1 - 0.85 * (np.minimum(np.abs(x), np.abs(y)) < 0.014) * (roughness < 0.06)
        brightness += power * inside * spread * bars * (directions @ forward > 0)
    return brightness


def _normals(scene: Scene, points: Array) -> Array:
    slopes = []
    for axis in np.eye(3, dtype=np.float32) * 2e-3:
        slopes.append(_nearest(scene, points + axis)[0] - _nearest(scene, points - axis)[0])
    return _unit(np.stack(slopes, axis=1))


def _visibility(scene: Scene, points: Array, direction: Array, steps: int = 28) -> Array:
    """1 where the way to the light is free, softly down to 0 where it is not."""
    seen = np.ones(len(points), np.float32)
    travelled = np.full(len(points), 0.02, np.float32)
    for _ in range(steps):
        step = _nearest(scene, points + direction * travelled[:, None])[0]
        seen = np.minimum(seen, np.clip(9 * step / travelled, 0, 1))
        travelled += np.clip(step, 0.02, 0.4)
    return seen * seen * (3 - 2 * seen)


def _openness(scene: Scene, points: Array, normals: Array) -> Array:
    """How much of the sky a point sees, from the distances along its normal."""
    hidden = np.zeros(len(points), np.float32)
    for i in range(1, 6):
        reach = 0.06 * i
        hidden += (reach - np.clip(_nearest(scene, points + normals * reach)[0], 0, reach)) / 1.7**i / reach
    return np.clip(1 - 1.15 * hidden / 1.3, 0.12, 1)


def _unit(v: Array) -> Array:
    return v / np.sqrt((v * v).sum(axis=-1, keepdims=True))


def _step(t: Array) -> Array:
    t = np.clip(t * 0.5 + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def main(folder: str, *names: str) -> None:
    """Writes the pictures (all, or those named) into `folder`."""
    for name, scene in scenes().items():
        if not names or name in names:
            write_rgb(Path(folder) / name, render(scene))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m samples.render OUTPUT_FOLDER [NAME ...]")
    main(*sys.argv[1:])
