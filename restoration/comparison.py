"""Comparison sheets: input, highlight map, specular layer and result side by side."""

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from restoration.composition import Restored
from utils.colour import grey_to_rgb, quantise, to_unit

PANEL = 1024  # longest side of a panel; larger pictures are shown smaller
GAP, LABEL = 8, 28


def comparison_sheet(pixels: np.ndarray, restored: Restored, specular: np.ndarray) -> np.ndarray:
    """(H', W', 3) uint8: four labelled panels, of a picture, its result and the layer between them.

    pixels, restored.diffuse and specular have one shape, (H, W) or (H, W, 3), and one type.
    """
    layers = {
        "input": pixels,
        "highlight map": restored.highlight,
        "specular (removed)": specular,
        "result": restored.diffuse,
    }
    # Made small before anything is turned into floats: the copies of a large picture would be larger.
    return side_by_side(
        {title: quantise(grey_to_rgb(to_unit(shrink(layer))), np.uint8) for title, layer in layers.items()}
    )


def shrink(layer: np.ndarray, longest: int = PANEL) -> np.ndarray:
    """(H, W) or (H, W, 3) of any picture type, made smaller where a side is longer than `longest` pixels."""
    height, width = layer.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return layer
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(layer, size, interpolation=cv2.INTER_AREA)


def side_by_side(panels: dict[str, np.ndarray]) -> np.ndarray:
    """(H', W', 3) uint8 sheet of labelled (H, W, 3) uint8 panels of one size."""
    images = {title: Image.fromarray(np.ascontiguousarray(panel)) for title, panel in panels.items()}
    width, height = next(iter(images.values())).size
    # A label needs room even above a narrow picture.
    column = max(width, 160)
    sheet = Image.new("RGB", (len(images) * (column + GAP) + GAP, height + LABEL + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for index, (title, image) in enumerate(images.items()):
        left = GAP + index * (column + GAP)
        draw.text((left, 5), title, fill="black", font=font)
        sheet.paste(image, (left, LABEL))
    return np.asarray(sheet)
