"""Published figures of the laboratory pictures (skipped where those are not at hand)."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from classical import METHODS
from evaluation.metrics import score
from tests.classical.two_colours import psnr

FOLDER = Path(os.environ.get("SPECULAR_SHARED", "../shared")) / "data" / "laboratory"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"{FOLDER} is not there")


def read(name: str) -> np.ndarray:
    return cv2.imread(str(FOLDER / f"{name}.bmp"))[..., ::-1].astype(np.float32) / 255


# The same to 0.001 dB with AVX-512, AVX2 and SSE4.1; nearest to its bound is shen2013 on cups, by 0.024 dB.
@pytest.mark.parametrize(
    ("method", "picture", "published", "tolerance"),
    [
        ("shen2013", "cups", 39.3, 0.3),
        ("shen2013", "fruit", 38.9, 0.3),
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
    image, ground_truth = read(picture), read(f"{picture}_gt")
    diffuse = np.rint(255 * METHODS[method](image)) / 255
    assert psnr(image, ground_truth) < 32.3
    assert psnr(diffuse, ground_truth) > published - tolerance


@pytest.mark.parametrize(("picture", "published"), [("cups", 0.966), ("fruit", 0.960)])
def test_the_published_ssim_is_that_of_matlab(picture, published):
    ground_truth = read(f"{picture}_gt").astype(np.float64)
    diffuse = np.rint(255 * METHODS["shen2013"](read(picture))) / 255
    whole = {"whole": np.ones(ground_truth.shape[:2], bool)}
    scores = score(diffuse, ground_truth, whole, ("ssim", "ssim3d"))
    # Three decimals, of another implementation.
    assert scores["ssim3d.whole"] == pytest.approx(published, abs=0.0015)
    assert abs(scores["ssim.whole"] - published) > 0.0035  # what the 2-D window gives


def test_yoon_follows_the_neighbourhood_of_the_published_figures():
    image, ground_truth = read("fruit"), read("fruit_gt")
    by_reading = {
        name: psnr(METHODS["yoon2006"](image, neighbours=name), ground_truth) for name in ("columns", "both")
    }
    assert psnr(METHODS["yoon2006"](image), ground_truth) == by_reading["columns"] > by_reading["both"]
