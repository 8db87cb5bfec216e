"""PSNR, SSIM and delta E against torchmetrics and scikit-image; regions; pictures too small for a window."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import peak_signal_noise_ratio as torch_psnr
from torchmetrics.functional.image import structural_similarity_index_measure as torch_ssim

from evaluation import metrics
from evaluation.metrics import METRICS, score, ssim7_map, ssim_map
from tests.tolerances import DOUBLE, ROUNDED
from utils.colour import srgb_encode

WHOLE = ("psnr", "psnr_channels", "ssim", "ssim7", "ssim3d", "mse", "rmse", "delta_e", "chroma_error")


def pair(seed: int, shape=(37, 52), noise=0.08, levels=None) -> tuple[np.ndarray, np.ndarray]:
    """A random picture, partly grey and partly clipped, and a noisy copy; `levels` quantises both."""
    rng = np.random.default_rng(seed)
    a = rng.random((*shape, 3))
    a[:5] = a[:5].mean(axis=2, keepdims=True)
    b = np.clip(a + rng.normal(0, noise, a.shape), 0, 1)
    if levels:
        a, b = np.rint(a * levels) / levels, np.rint(b * levels) / levels
    return a, b


def whole(a: np.ndarray) -> dict[str, np.ndarray]:
    return {"whole": np.ones(a.shape[:2], bool)}


def as_tensor(a: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(a).permute(2, 0, 1)[None]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("levels", [None, 255])
def test_equal_to_torchmetrics_and_scikit_image(seed: int, levels: int | None) -> None:
    a, b = pair(seed, levels=levels)
    ours = score(a, b, whole(a), WHOLE)
    per_channel = [peak_signal_noise_ratio(b[..., c], a[..., c], data_range=1) for c in range(3)]
    expected = {
        "psnr": torch_psnr(as_tensor(a), as_tensor(b), data_range=1.0).item(),
        "psnr_channels": np.mean(per_channel),
        "ssim": torch_ssim(as_tensor(a), as_tensor(b), data_range=1.0).item(),
        "ssim7": structural_similarity(a, b, channel_axis=2, data_range=1),
        "mse": np.mean((a - b) ** 2),
        "rmse": np.sqrt(np.mean((a - b) ** 2)),
        "ssim3d": matlab_ssim(a, b),
        "delta_e": deltaE_ciede2000(rgb2lab(a), rgb2lab(b)).mean(),
        "chroma_error": np.linalg.norm((rgb2lab(a) - rgb2lab(b))[..., 1:], axis=2).mean(),
    }
    for name, value in expected.items():
        # torchmetrics rounds its PSNR to float32 on the way.
        tolerance = ROUNDED if name == "psnr" else DOUBLE
        assert ours[f"{name}.whole"] == pytest.approx(value, rel=tolerance), name
    assert ours["psnr.whole"] == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1), rel=DOUBLE)


def matlab_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """MATLAB's ssim of a volume, by scipy: Gaussian of sigma 1.5 and radius 5 in all three directions."""

    def smooth(x: np.ndarray) -> np.ndarray:
        return gaussian_filter(x, 1.5, mode="nearest", radius=5)

    mean_a, mean_b = smooth(a), smooth(b)
    variances = smooth(a * a) - mean_a**2 + smooth(b * b) - mean_b**2
    covariance = smooth(a * b) - mean_a * mean_b
    ratio = (2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)
    return float((ratio / ((mean_a**2 + mean_b**2 + 1e-4) * (variances + 9e-4))).mean())


@pytest.mark.parametrize("rows", [1, 2, 7, 13])
def test_strips_give_what_the_whole_picture_gives(rows: int, monkeypatch) -> None:
    a, b = pair(11)
    highlight = np.zeros(a.shape[:2], bool)
    highlight[3:30, 10:30] = True
    parts = whole(a) | {"highlight": highlight}
    at_once = score(a, b, parts, WHOLE)
    monkeypatch.setattr(metrics, "STRIP_PIXELS", rows * a.shape[1])
    assert score(a, b, parts, WHOLE) == pytest.approx(at_once, rel=DOUBLE)


def test_integers_are_scored_as_their_values() -> None:
    a, b = pair(12, levels=255)
    stored = [np.rint(x * 255).astype(np.uint8) for x in (a, b)]
    assert score(*stored, whole(a), WHOLE) == pytest.approx(score(a, b, whole(a), WHOLE), rel=DOUBLE)


def test_ssim_maps_equal_the_references_pixel_by_pixel() -> None:
    a, b = pair(4)
    reference = torch_ssim(as_tensor(a), as_tensor(b), data_range=1.0, return_full_image=True)[1]
    assert np.allclose(ssim_map(a, b), reference[0].mean(0).numpy(), atol=DOUBLE)
    full = structural_similarity(a, b, channel_axis=2, data_range=1, full=True)[1].mean(2)
    ours = ssim7_map(a, b)
    assert np.allclose(ours[3:-3, 3:-3], full[3:-3, 3:-3], atol=DOUBLE)
    assert np.isnan(ours[:3]).all()
    assert np.isnan(ours[:, -3:]).all()


def test_regions_average_their_own_pixels_and_add_up() -> None:
    a, b = pair(5)
    highlight = np.zeros(a.shape[:2], bool)
    highlight[8:20, 10:30] = True
    parts = whole(a) | {"highlight": highlight, "rest": ~highlight}
    scores = score(a, b, parts, WHOLE)
    squared = (a - b) ** 2
    assert scores["mse.highlight"] == pytest.approx(squared[highlight].mean())
    assert scores["psnr.rest"] == pytest.approx(-10 * math.log10(squared[~highlight].mean()))
    assert scores["ssim.highlight"] == pytest.approx(ssim_map(a, b)[highlight].mean())
    share = highlight.mean()
    for name in ("mse", "ssim", "delta_e", "chroma_error"):
        mixed = share * scores[f"{name}.highlight"] + (1 - share) * scores[f"{name}.rest"]
        assert scores[f"{name}.whole"] == pytest.approx(mixed)
    inside = ssim7_map(a, b)[~highlight]
    assert scores["ssim7.rest"] == pytest.approx(np.nanmean(inside))


def test_an_empty_region_is_not_applicable() -> None:
    a, b = pair(6)
    scores = score(a, b, {"highlight": np.zeros(a.shape[:2], bool)}, WHOLE)
    assert set(scores.values()) == {None}


def test_equal_pictures() -> None:
    a, _ = pair(7)
    scores = score(a, a.copy(), whole(a), WHOLE)
    assert scores["psnr.whole"] == scores["psnr_channels.whole"] == math.inf
    assert scores["ssim.whole"] == pytest.approx(1)
    assert scores["mse.whole"] == scores["rmse.whole"] == scores["delta_e.whole"] == 0


@pytest.mark.parametrize("shape", [(1, 1), (5, 40), (6, 6), (7, 7), (1, 300)])
def test_pictures_smaller_than_a_window(shape: tuple[int, int]) -> None:
    a, b = pair(8, shape)
    scores = score(a, b, whole(a), WHOLE)
    assert (scores["ssim.whole"] is None) == (min(shape) < 6)
    assert (scores["ssim7.whole"] is None) == (min(shape) < 7)
    assert scores["psnr.whole"] == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1))


def test_linear_values_are_encoded_for_colour_differences_only() -> None:
    a, b = pair(9)
    linear = score(a, b, whole(a), ("psnr", "delta_e"), display=srgb_encode)
    shown = score(srgb_encode(a), srgb_encode(b), whole(a), ("psnr", "delta_e"))
    assert linear["delta_e.whole"] == pytest.approx(shown["delta_e.whole"])
    assert linear["psnr.whole"] == pytest.approx(score(a, b, whole(a), ("psnr",))["psnr.whole"])


def test_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        score(np.zeros((8, 8, 3)), np.zeros((8, 9, 3)), {})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 255)] * 6), min_size=1, max_size=40))
def test_delta_e_equals_scikit_image_on_any_8_bit_colours(colours) -> None:
    values = np.array(colours, float).reshape(1, -1, 2, 3) / 255
    a, b = values[:, :, 0], values[:, :, 1]
    expected = deltaE_ciede2000(rgb2lab(a), rgb2lab(b))
    ours = score(a, b, whole(a), ("delta_e",))["delta_e.whole"]
    assert ours == pytest.approx(expected.mean(), rel=ROUNDED, abs=DOUBLE)


def test_every_metric_is_described() -> None:
    a, b = pair(10)
    assert {key.partition(".")[0] for key in score(a, b, whole(a), WHOLE)} | {
        "lpips",
        "greyer",
        "residual",
    } == set(METRICS)


def test_one_exact_channel_does_not_make_a_picture_exact() -> None:
    a, b = (np.full((9, 9, 3), value) for value in (0.5, 0.6))
    b[..., 0] = 0.5
    found = score(b, a, whole(a), ("psnr_channels",))["psnr_channels.whole"]
    assert found == pytest.approx((100 + 20 + 20) / 3)
