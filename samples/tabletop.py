"""Things on a table before a wall, laid out by hand, as a plan of the scene generator (synthetic/)."""

import dataclasses
import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from synthetic import AssetFolders, SceneOptions, shapes
from synthetic.banks import Banks
from synthetic.draws import Plan
from synthetic.folders import find_assets
from synthetic.generator import ScenePlan, plan_scenes
from synthetic.geometry import SLOTS, ObjectPlan
from synthetic.kinds import ORDINARY, TABLE
from synthetic.lights import LIGHTS, LightPlan
from synthetic.procedural import ALBEDOS, RELIEFS, numbers_of
from synthetic.recolouring import ColourPlan

AnyPlan = TypeVar("AnyPlan", bound=Plan)
Point = tuple[float, float]

TILT = 1.13  # of the table, radians: seen from 25 degrees above
UP, FRONT = math.sin(TILT), math.cos(TILT)

# (alpha, gloss, mirror, coat): see synthetic.surfaces.Surface.
MATTE = (0.6, 0.01, 0.0, 0.0)
WAXED = (0.3, 0.12, 0.05, 0.0)
SKIN = (0.16, 0.5, 0.08, 0.1)
POLISH = (0.09, 0.15, 0.1, 0.0)
PLASTIC = (0.14, 0.8, 0.15, 0.0)
GLAZE = (0.07, 0.8, 0.5, 0.6)
LACQUER = (0.05, 0.8, 0.7, 0.8)
METAL = (0.12, 1.3, 1.2, 0.0)


@dataclass
class Material:
    """Colour and finish of a surface."""

    colour: tuple[float, float, float]
    """Display values of its mean."""
    finish: tuple[float, float, float, float]
    tile: str = "plain"
    """NAME of a material's NAME_albedo picture, or a kind of procedural tile; "print 3" for its fourth."""
    contrast: float = 1.0
    scale: float = 1.0
    """Tiles in half the picture's width."""
    relief: str = "flat"
    """Kind of a relief tile."""
    depth: float = 0.0


@dataclass
class Item:
    """An object: its form, place and material."""

    form: int
    parameters: tuple[float, ...]
    at: Point
    size: float
    material: Material
    turn: float = 0.0
    base: float = 0.8
    """How far below its centre it stands on the table, in units of its size."""
    shadow: float = 0.85


@dataclass
class StillLife:
    """Things on a table before a wall."""

    wall: Material
    table: Material
    items: list[Item]
    lamps: list[tuple[tuple[float, float, float], float, tuple[float, float]]]
    """Place, power, half width and height of a window; 0 for a round lamp."""
    horizon: float = 0.3
    exposure: float = 0.5
    clipped: float = 0.004
    """Share of the picture that clips."""
    environment: int = 0


def ball(
    at: Point, size: float, material: Material, *, turn: float = 0.0, taper: float = 0.0, aspect: float = 1.0
) -> Item:
    """A fruit or another round item."""
    parameters = (2, 2, 2, 0.95, taper, 0, aspect, 5, 0)
    return Item(shapes.SOLID, parameters, at, size, material, turn, 0.8 * min(aspect, 1.0))


def pot(
    at: Point,
    size: float,
    material: Material,
    height: float,
    widening: float = 0.0,
    is_open: bool = True,
) -> Item:
    """A cup, pot or tin; half its `height` in units of its radius."""
    return Item(
        shapes.ROUND, (widening, height, FRONT, UP, float(is_open), 0.4), at, size, material, base=UP * height
    )


def plate(at: Point, size: float, material: Material, dip: float = 0.15) -> Item:
    """A plate that lies on the table."""
    return Item(shapes.DISH, (UP, FRONT, dip, 3.0, 0.72, 0.12, 0), at, size, material, base=0.1)


def handle(at: Point, size: float, material: Material) -> Item:
    """A ring that faces the viewer."""
    return Item(shapes.DISH, (0, 1, 0, 3.0, 0.82, 0.5, 0.66), at, size, material, shadow=0.0)


def box(at: Point, size: float, material: Material, extents: tuple[float, float, float], yaw: float) -> Item:
    """A box that stands on the table; half `extents` along its width, height and depth."""
    pitch = math.pi / 2 - TILT
    angles = math.sin(yaw), math.cos(yaw), math.sin(pitch), math.cos(pitch)
    return Item(shapes.BOX, (*extents, *angles, 40), at, size, material, base=UP * extents[1])


def tile_numbers(folders: AssetFolders) -> dict[str, int]:
    """Albedo tiles by name: NAME of the user's NAME_albedo, and "wood 1" ... of the procedural."""
    names = [f"{name} {number}" for name, (_, count) in ALBEDOS.items() for number in range(count)]
    names += [path.stem.removesuffix("_albedo") for path in find_assets(folders).albedos]
    numbers = {name: number for number, name in enumerate(names)}
    return numbers | {name: int(numbers_of(ALBEDOS, name)[0]) for name in ALBEDOS}


def plan_still_life(scene: StillLife, banks: Banks, tiles: dict[str, int]) -> ScenePlan:
    """The generator's plan of a still life: one that it drew, with what the layout says put in its place."""
    options = SceneOptions(composition="linear", noise=(0.0, 0.0), blur=(0.0, 0.0), jpeg_share=0.0)
    drawn = plan_scenes([0], 0, options, banks)
    materials = [scene.wall, scene.table, *(item.material for item in scene.items)]
    materials += [scene.wall] * (SLOTS - len(materials))
    alpha, gloss, mirror, coat = np.array([material.finish for material in materials]).T
    highlights = _with(
        drawn.composition.highlights,
        **{"peak": 0.9, "linear": True, "tint": 1, "extent": 0.2},
        **{"clipped_extent": scene.clipped, "clipped_light": 1.3},
    )
    return dataclasses.replace(
        drawn,
        kinds=_with(drawn.kinds, setting=TABLE, variant=ORDINARY),
        background=_with(drawn.background, plane=(scene.horizon, 0, UP, FRONT, 1, 0, 0, 0), wall=0),
        objects=_objects(drawn.objects, scene.items),
        finishes=_with(
            drawn.finishes,
            **{"alpha": alpha, "gloss": gloss, "mirror": mirror, "coat": coat},
            **{
                "relief": [material.depth for material in materials],
                "bump": 0,
                "wear": 0.1,
                "edge": 4,
                "glow": False,
            },
            stretch=1,
        ),
        colours=_colours(drawn.colours, materials, banks, tiles),
        photos=_with(drawn.photos, used=False),
        light=_light(drawn.light, scene),
        composition=dataclasses.replace(
            _with(drawn.composition, exponent=1 / 2.2, exposure=scene.exposure), highlights=highlights
        ),
    )


def _with(part: AnyPlan, **values: object) -> AnyPlan:
    """A plan of one scene with other values, each broadcast to the shape of what it replaces."""
    arrays = {}
    for name, value in values.items():
        like = getattr(part, name)
        arrays[name] = np.broadcast_to(np.asarray(value, like.dtype), like.shape).copy()
    return dataclasses.replace(part, **arrays)


def _objects(drawn: ObjectPlan, items: list[Item]) -> ObjectPlan:
    frame, shadow, parameters = drawn.frame.copy(), drawn.shadow.copy(), np.zeros_like(drawn.parameters)
    form, texture = drawn.form.copy(), np.zeros_like(drawn.texture)
    for slot, item in enumerate(items):
        form[0, slot] = item.form
        parameters[0, slot, : len(item.parameters)] = item.parameters
        frame[0, slot] = *item.at, math.cos(item.turn), math.sin(item.turn), item.size
        # Away from the window on the left; flat, as the table is seen.
        shadow[0, slot] = item.shadow, 0.3, -item.base - 0.1, 0.75, 1.7, 2.0
        texture[0, slot] = 1, 0.1 * slot, 0.2
    return ObjectPlan(np.array([len(items)]), form, parameters, frame, shadow, texture)


def _colours(drawn: ColourPlan, materials: list[Material], banks: Banks, tiles: dict[str, int]) -> ColourPlan:
    numbers = [tiles[material.tile] for material in materials]
    matrix = np.stack([np.eye(3) * material.contrast for material in materials])
    offset = np.array([material.colour for material in materials])
    offset = offset - (matrix @ banks.albedo_mean[numbers][..., None])[..., 0]
    reliefs = [numbers_of(RELIEFS, material.relief)[0] for material in materials]
    scales = [material.scale for material in materials]
    return _with(drawn, tile=numbers, tile_scale=scales, relief_tile=reliefs, offset=offset, matrix=matrix)


def _light(drawn: LightPlan, scene: StillLife) -> LightPlan:
    count = len(scene.lamps)
    lamps = scene.lamps + [scene.lamps[0]] * (LIGHTS - count)
    place = np.array([lamp[0] for lamp in lamps])
    towards = place / np.linalg.norm(place, axis=1, keepdims=True)
    across = np.cross(towards, np.broadcast_to((0.0, 1.0, 0.0), towards.shape))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    windows = np.array([lamp[2] for lamp in lamps])
    return dataclasses.replace(
        _with(
            drawn,
            **{"ambient": 0.12, "wrap": 0.08, "perspective": 0.2, "ggx": False, "reflecting": True},
            **{"surroundings": 0.15, "turn": 0.35, "dimmest": 1.0, "environment": scene.environment},
        ),
        lamps=_with(
            drawn.lamps,
            **{"active": np.arange(LIGHTS) < count, "panel": windows[:, 0] > 0, "place": place, "tint": 1},
            **{"power": [[lamp[1]] for lamp in lamps], "size": 0.12, "across": across},
            **{"along": np.cross(across, towards), "extent": np.maximum(windows, 0.05), "bars": 1},
            framed=True,
        ),
    )
