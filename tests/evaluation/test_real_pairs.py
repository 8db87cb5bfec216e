"""Scores of real pairs, where the shared development data is at hand."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from evaluation.datasets import find_pairs
from evaluation.metrics import score
from tests.tolerances import ROUNDED
from utils.colour import to_unit

DATA = Path(os.environ.get("SPECULAR_SHARED", Path(__file__).parents[3] / "shared")) / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no shared data")


def unprocessed(folder: str, **options) -> dict[str, float]:
    """PSNR of the inputs by pair."""
    psnr = {}
    for pair in find_pairs(DATA / folder, **options).pairs:
        sample = pair.load()
        whole = {"whole": np.ones(sample.image.shape[:2], bool)}
        psnr[pair.name] = score(sample.image, sample.ground_truth, whole, ("psnr",))["psnr.whole"]
    return psnr


@pytest.mark.parametrize(
    ("folder", "options", "expected"),
    [
        ("shiq", {}, {"90001": 34.09, "90003": 22.27, "90005": 35.26}),
        ("laboratory", {}, {"cups": 32.26, "fruit": 31.69}),
        ("sshr", {}, {"007004/0024": 30.79}),
        ("sshr", {"compared_layer": "tone_corrected"}, {"007004/0024": 32.41}),
    ],
)
def test_unprocessed_input(folder: str, options: dict, expected: dict[str, float]) -> None:
    # Figures of two decimals, and JPEG.
    assert unprocessed(folder, **options) == pytest.approx(expected, abs=0.006)


def test_mit_intrinsic_in_linear_values() -> None:
    psnr = unprocessed("mit_intrinsic", transfer="linear")
    assert len(psnr) >= 10
    assert 35 < min(psnr.values()) < max(psnr.values()) < 55


def test_real_pairs_equal_the_reference_libraries() -> None:
    for pair in find_pairs(DATA / "shiq").pairs:
        sample = pair.load()
        a, d = to_unit(sample.image, np.float64), to_unit(sample.ground_truth, np.float64)
        whole = {"whole": np.ones(a.shape[:2], bool)}
        ours = score(a, d, whole, ("psnr", "ssim", "ssim7", "delta_e"))
        batch = (torch.from_numpy(x).permute(2, 0, 1)[None] for x in (a, d))
        expected = {
            "psnr.whole": peak_signal_noise_ratio(sample.ground_truth, sample.image),
            "ssim.whole": structural_similarity_index_measure(*batch, data_range=1.0).item(),
            "ssim7.whole": structural_similarity(sample.image, sample.ground_truth, channel_axis=2),
            "delta_e.whole": deltaE_ciede2000(rgb2lab(a), rgb2lab(d)).mean(),
        }
        assert ours == pytest.approx(expected, rel=ROUNDED)
