"""Published figures of the laboratory pictures (skipped where those are not at hand)."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from classical import METHODS
from tests.classical.two_colours import psnr

FOLDER = Path(os.environ.get("SPECULAR_SHARED", "../shared")) / "data" / "laboratory"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"{FOLDER} is not there")


def read(name: str) -> np.ndarray:
    return cv2.imread(str(FOLDER / f"{name}.bmp"))[..., ::-1].astype(np.float32) / 255


@pytest.mark.parametrize(
    ("method", "picture", "published", "tolerance"),
    [
        ("shen2013", "cups", 39.3, 1.0),
        ("shen2013", "fruit", 38.9, 1.0),
        ("yang2010", "cups", 38.0, 1.5),
        ("yang2010", "fruit", 37.6, 1.5),
        ("shen2009", "cups", 37.6, 1.5),
        ("shen2009", "fruit", 36.9, 1.5),
        ("shen2008", "fruit", 37.6, 1.5),
        ("tan2005", "fruit", 29.6, 2.0),
        ("akashi2016", "fruit", 30.8, 3.0),
    ],
)
def test_reaches_the_published_figure(method, picture, published, tolerance):
    image, truth = read(picture), read(f"{picture}_gt")
    diffuse = np.rint(255 * METHODS[method](image)) / 255
    assert psnr(image, truth) < 32.3
    assert psnr(diffuse, truth) > published - tolerance
