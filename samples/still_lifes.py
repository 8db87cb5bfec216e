"""The sample pictures: still lifes laid out by hand for the scene generator (synthetic/).

python -m samples.still_lifes MATERIAL OUTPUT_FOLDER [NAME ...]

MATERIAL is a folder with the materials that samples/README.md lists. Each picture is rendered at twice
its size and reduced, without noise; the middle 3/4 of its height are kept.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from samples.tabletop import (
    GLAZE,
    LACQUER,
    MATTE,
    METAL,
    PLASTIC,
    POLISH,
    SKIN,
    WAXED,
    Material,
    StillLife,
    ball,
    box,
    handle,
    plan_still_life,
    plate,
    pot,
    tile_numbers,
)
from synthetic import AssetFolders
from synthetic.banks import load_banks
from synthetic.generator import render_plan
from utils import cli
from utils.atomic import write_bytes
from utils.errors import UserError

SIDE = 1280
OVERSAMPLING = 2
QUALITY = 88  # of the JPEG files

RED, ORANGE, YELLOW, GREEN = (0.7, 0.05, 0.05), (0.92, 0.4, 0.03), (0.93, 0.72, 0.06), (0.3, 0.42, 0.08)
TEAL, BLUE, PURPLE, WHITE = (0.05, 0.36, 0.42), (0.04, 0.14, 0.6), (0.35, 0.06, 0.4), (0.88, 0.87, 0.84)
OAK = Material((0.62, 0.42, 0.24), WAXED, "Wood048", 1.0, 1.1, "wood grain", 0.02)
ROSEWOOD = Material((0.4, 0.16, 0.08), POLISH, "rosewood_veneer1", 1.2, 0.6)
PLANKS = Material((0.42, 0.28, 0.16), WAXED, "wood_planks", 1.0, 0.8, "wood grain", 0.04)
MARBLE = Material((0.2, 0.21, 0.22), POLISH, "Marble016", 1.0, 0.7)
PLASTER = Material((0.62, 0.6, 0.56), MATTE, "Plaster003", 0.6, 0.7)
WINDOW = ((-1.9, 3.0, 4.2), 1.0, (0.2, 0.28))
LOW_WINDOW = ((-1.6, -2.6, 3.2), 0.8, (0.13, 0.75))
LAMP = ((3.5, 3.0, 4.0), 0.5, (0.0, 0.0))


def citrus(colour: tuple[float, float, float]) -> Material:
    """Peel of an orange or a lemon."""
    return Material(colour, SKIN, "skin", 0.25, 0.8, "orange peel", 0.06)


APPLES = [
    Material(RED, SKIN, "skin 4", 1.1, 0.5),
    Material((0.72, 0.24, 0.1), SKIN, "skin 7", 0.8, 0.5),
    Material(GREEN, SKIN, "skin 6", 1.1, 0.5),
]
CHESTNUT = Material((0.3, 0.11, 0.04), PLASTIC, "wood 3", 0.6, 0.6)
STILL_LIFES = {
    "kitchen.jpg": StillLife(
        PLASTER,
        OAK,
        [
            handle((-0.02, 0.06), 0.19, Material(RED, GLAZE)),
            pot((-0.36, -0.02), 0.34, Material(RED, GLAZE), 0.95, 0.05),
            plate((0.4, -0.32), 0.5, Material(TEAL, GLAZE, "glaze 2", 0.9, 0.8)),
            ball((0.3, -0.16), 0.2, citrus(ORANGE)),
            ball((0.58, -0.24), 0.16, citrus(YELLOW), turn=1.2, aspect=1.25),
        ],
        [WINDOW, LOW_WINDOW, LAMP],
    ),
    "fruit.jpg": StillLife(
        Material((0.1, 0.1, 0.12), MATTE, "Plaster003", 0.3),
        PLANKS,
        [
            ball((-0.42, -0.02), 0.33, APPLES[0], taper=0.04, aspect=0.9),
            ball((0.22, 0.0), 0.35, APPLES[1], turn=0.2, taper=0.05, aspect=0.92),
            ball((0.62, -0.24), 0.2, CHESTNUT, aspect=0.85),
            ball((-0.1, -0.3), 0.3, APPLES[2], turn=-0.15, taper=0.05, aspect=0.9),
            ball((0.34, -0.44), 0.17, CHESTNUT, turn=0.5, aspect=0.85),
        ],
        [((-1.6, 3.6, 4.0), 1.0, (0.3, 0.3)), LAMP],
        clipped=0.009,
        exposure=0.33,
    ),
    "tins.jpg": StillLife(
        PLASTER,
        OAK,
        [
            box(
                (0.5, 0.0),
                0.36,
                Material((0.85, 0.62, 0.1), PLASTIC, "print 7", 0.9, 0.5),
                (0.7, 1.0, 0.4),
                -0.4,
            ),
            pot(
                (-0.4, 0.0),
                0.34,
                Material((0.72, 0.1, 0.06), PLASTIC, "print 3", 0.8, 0.45),
                1.15,
                0.0,
                False,
            ),
            pot(
                (0.1, -0.2),
                0.22,
                Material((0.05, 0.4, 0.25), PLASTIC, "print 12", 1.0, 0.45),
                0.9,
                0.0,
                False,
            ),
            ball((0.5, -0.46), 0.14, Material(PURPLE, LACQUER)),
        ],
        [((-1.4, 1.8, 3.6), 1.0, (0.1, 0.45)), LOW_WINDOW],
    ),
    "glaze.jpg": StillLife(
        Material((0.55, 0.58, 0.75), WAXED, "Tiles099", 1.0, 0.9),
        ROSEWOOD,
        [
            pot((-0.38, 0.1), 0.34, Material((0.62, 0.4, 0.2), LACQUER, "Onyx003", 1.2, 0.5), 1.0, 0.12),
            pot((0.42, -0.1), 0.36, Material(TEAL, GLAZE, "glaze 5", 1.0, 0.6), 0.55, 0.2),
            ball((0.0, -0.34), 0.22, Material(BLUE, LACQUER)),
            ball((0.66, -0.44), 0.15, Material(YELLOW, PLASTIC)),
        ],
        [WINDOW, LOW_WINDOW, ((2.4, 2.6, 3.0), 0.6, (0.15, 0.15))],
        clipped=0.008,
    ),
    "porcelain.jpg": StillLife(
        Material((0.72, 0.72, 0.7), MATTE, "Plaster003", 0.4),
        MARBLE,
        [
            handle((-0.06, 0.04), 0.17, Material(WHITE, GLAZE)),
            pot((-0.36, -0.04), 0.32, Material(WHITE, GLAZE), 0.8, 0.08),
            plate((0.36, -0.28), 0.52, Material(WHITE, GLAZE, "pattern 4", 0.15, 0.5)),
            ball((0.5, -0.2), 0.17, Material((0.55, 0.55, 0.56), METAL)),
            ball((0.18, -0.2), 0.15, Material((0.8, 0.62, 0.3), METAL)),
        ],
        [WINDOW, LOW_WINDOW, LAMP],
        clipped=0.02,
        exposure=0.62,
    ),
}
"""The pictures by file name; items from back to front."""


@torch.inference_mode()
def render(scene: StillLife, folders: AssetFolders, side: int = SIDE) -> np.ndarray:
    """uint8 (3/4 side, side, 3)."""
    banks = load_banks(folders)
    plan = plan_still_life(scene, banks, tile_numbers(folders))
    picture = render_plan(plan, side * OVERSAMPLING, 1, torch.device("cpu"), banks)["input"][0]
    picture = cv2.resize(picture.permute(1, 2, 0).numpy(), (side, side), interpolation=cv2.INTER_AREA)
    return (picture[side // 8 : side - side // 8] * 255).round().astype(np.uint8)


def main() -> int:
    if len(sys.argv) < 3:
        raise UserError("python -m samples.still_lifes MATERIAL OUTPUT_FOLDER [NAME ...]")
    material, output, wanted = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    for name, scene in STILL_LIFES.items():
        if name in wanted or not wanted:
            picture = render(scene, AssetFolders(materials=[material]))
            _, encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            write_bytes(output / name, encoded.tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
