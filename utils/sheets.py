"""Sheets of pictures: rows of panels under headings, each row with its name above it."""

import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from utils.colour import grey_to_rgb, quantise, to_unit

GAP, LINE = 8, 26  # pixels: between panels, and of a line of text
FONT_SIZE = 15


def labelled_sheet(
    columns: Sequence[str], rows: Iterable[tuple[str, Sequence[np.ndarray | None]]]
) -> np.ndarray:
    """(H', W', 3) uint8 on white: the headings `columns` in one line, below it each row (name, panels).

    A panel is (H, W) or (H, W, 3), uint8, uint16 or floats in [0, 1], in sRGB; None leaves its place empty.
    Panels may differ in size; a row whose name is empty has no line for it.
    """
    pictures = [(_printable(name), [_image(panel) for panel in panels]) for name, panels in rows]
    font = ImageFont.load_default(FONT_SIZE)
    widths = [math.ceil(font.getlength(title)) for title in columns]
    for _, images in pictures:
        widths = [max(width, image.width) for width, image in zip(widths, images, strict=True)]
    lefts = [GAP + sum(widths[:index]) + index * GAP for index in range(len(widths))]
    names = [math.ceil(font.getlength(name)) + 2 * GAP for name, _ in pictures]
    height = LINE + sum(LINE * bool(name) + _height(images) + GAP for name, images in pictures)
    sheet = Image.new("RGB", (max(lefts[-1] + widths[-1] + GAP, *names), height), "white")
    draw = ImageDraw.Draw(sheet)
    for left, title in zip(lefts, columns, strict=True):
        draw.text((left, GAP // 2), title, fill="black", font=font)
    top = LINE
    for name, images in pictures:
        if name:
            draw.text((GAP, top + GAP // 2), name, fill="black", font=font)
            top += LINE
        for left, image in zip(lefts, images, strict=True):
            sheet.paste(image, (left, top))
        top += _height(images) + GAP
    return np.asarray(sheet)


def shrink(layer: np.ndarray, longest: int) -> np.ndarray:
    """(H, W) or (H, W, 3) of any picture type, made smaller where a side is longer than `longest` pixels."""
    height, width = layer.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return layer
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(layer, size, interpolation=cv2.INTER_AREA)


def _image(panel: np.ndarray | None) -> Image.Image:
    if panel is None:
        return Image.new("RGB", (1, 1), "white")
    return Image.fromarray(np.ascontiguousarray(quantise(grey_to_rgb(to_unit(panel)), np.uint8)))


def _height(images: Sequence[Image.Image]) -> int:
    return max(image.height for image in images)


def _printable(name: str) -> str:
    # Names of files need not be text.
    return name.encode("utf-8", "replace").decode("utf-8")
