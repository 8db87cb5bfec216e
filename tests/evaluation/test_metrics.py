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
from evaluation.metrics import METRICS, detect, highlight_measures, score, ssim7_map, ssim_map
from evaluation.scoring import predicted_mask, threshold
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
    found = {key.partition(".")[0] for key in score(a, b, whole(a), WHOLE)}
    assert found | {"lpips", "greyer", "residual", "contour"} == set(METRICS)


def test_one_exact_channel_does_not_make_a_picture_exact() -> None:
    a, b = (np.full((9, 9, 3), value) for value in (0.5, 0.6))
    b[..., 0] = 0.5
    found = score(b, a, whole(a), ("psnr_channels",))["psnr_channels.whole"]
    assert found == pytest.approx((100 + 20 + 20) / 3)


# ---- grey share of the chroma error and what is left of a highlight, worked out by hand


RED = np.array([0.6, 0.2, 0.2])


def scene() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """A red surface with a square highlight of 0.3, in its middle clipped by 0.2 more: image, ground truth,
    regions."""
    ground_truth = np.broadcast_to(RED, (24, 24, 3)).copy()
    highlight, clipped = (np.zeros((24, 24), bool) for _ in range(2))
    highlight[8:16, 8:16], clipped[10:14, 10:14] = True, True
    image = ground_truth + 0.3 * highlight[..., None] + 0.2 * clipped[..., None]
    return image, ground_truth, {"highlight": highlight, "clipped": clipped}


def test_the_input_has_all_of_the_highlight_left_and_is_grey() -> None:
    image, ground_truth, regions = scene()
    values = highlight_measures(image, image, ground_truth, regions)
    names = ("greyer.highlight", "greyer.clipped", "residual.highlight", "residual.clipped")
    assert values == pytest.approx(dict.fromkeys(names, 100) | {"contour.clipped": 0})


def test_the_ground_truth_has_nothing_left_and_no_error_to_share() -> None:
    image, ground_truth, regions = scene()
    values = highlight_measures(image, ground_truth, ground_truth, regions)
    assert values["residual.highlight"] == values["residual.clipped"] == 0
    assert values["greyer.highlight"] is values["greyer.clipped"] is None


@pytest.mark.parametrize("left", [0.25, -0.5])
def test_what_is_left_is_signed(left: float) -> None:
    image, ground_truth, regions = scene()
    result = ground_truth + left * (image - ground_truth)
    values = highlight_measures(image, result, ground_truth, regions)
    assert values["residual.highlight"] == pytest.approx(100 * left)
    assert values["residual.clipped"] == pytest.approx(100 * left)


def test_what_is_left_weighs_pixels_by_their_highlight() -> None:
    image, ground_truth, regions = scene()
    result = np.where(regions["clipped"][..., None], image, ground_truth)  # 16 pixels of 0.5, 48 gone
    values = highlight_measures(image, result, ground_truth, regions)
    assert values["residual.clipped"] == pytest.approx(100)
    assert values["residual.highlight"] == pytest.approx(100 * 16 * 0.5**2 / (16 * 0.5**2 + 48 * 0.3**2))


def test_only_the_grey_part_of_the_chroma_error_is_the_grey_share() -> None:
    image, ground_truth, regions = scene()
    result = ground_truth.copy()
    grey, vivid = np.array([0.4, 0.3, 0.3]), np.array([0.9, 0.1, 0.1])
    result[8:16, 8:12], result[8:16, 12:16] = grey, vivid
    target = rgb2lab(RED)[1:]
    errors = [np.linalg.norm(rgb2lab(colour)[1:] - target) for colour in (grey, vivid)]
    values = highlight_measures(image, result, ground_truth, regions)
    assert values["greyer.highlight"] == pytest.approx(100 * errors[0] / sum(errors))
    chroma = score(result, ground_truth, regions, ("chroma_error",))
    assert chroma["chroma_error.highlight"] == pytest.approx(sum(errors) / 2)


def test_the_surroundings_are_those_nearby() -> None:
    image, ground_truth, regions = scene()
    ground_truth[:, :4] = 0.5  # grey, but farther away than the red ring
    image[:, :4] = 0.5
    result = np.where(regions["highlight"][..., None], [0.4, 0.3, 0.3], ground_truth)
    assert highlight_measures(image, result, ground_truth, regions)["greyer.highlight"] == pytest.approx(100)


def test_nothing_to_measure() -> None:
    image, ground_truth, regions = scene()
    empty = {name: np.zeros_like(mask) for name, mask in regions.items()}
    assert set(highlight_measures(image, image, ground_truth, empty).values()) == {None}
    everywhere = {"highlight": np.ones((24, 24), bool), "clipped": regions["clipped"]}
    values = highlight_measures(image, image, ground_truth, everywhere)
    assert values["greyer.highlight"] is None
    assert values["residual.highlight"] == pytest.approx(100)


def test_integers_and_linear_values() -> None:
    image, ground_truth, regions = scene()
    stored = [np.rint(x * 65535).astype(np.uint16) for x in (image, 0.8 * image, ground_truth)]
    values = [x / 65535 for x in stored]
    assert highlight_measures(*stored, regions) == pytest.approx(highlight_measures(*values, regions))
    encoded = highlight_measures(*values, regions, ("greyer",), display=srgb_encode)
    wanted = highlight_measures(*map(srgb_encode, values), regions, ("greyer",))
    assert encoded == pytest.approx(wanted, abs=0.5)  # the surroundings' mean before or after the encoding


def test_a_contour_is_what_the_removed_layer_steps_beyond_the_picture() -> None:
    image, ground_truth, regions = scene()
    # The ground truth removes exactly the steps of the picture: 0.2 at the border of what is clipped.
    result = ground_truth - 0.1 * regions["clipped"][..., None]  # 0.1 too much: a line
    for removed, contour in ((ground_truth, 100), (result, 150)):
        found = highlight_measures(image, removed, ground_truth, regions, ("contour",))
        assert found == {"contour.clipped": pytest.approx(contour)}
    nothing = {"highlight": regions["highlight"], "clipped": np.zeros((24, 24), bool)}
    assert highlight_measures(image, result, ground_truth, nothing, ("contour",)) == {"contour.clipped": None}


# ---- accuracy, BER, IoU and F1 of hand-made masks; thresholds of highlight maps


def mask(text: str) -> np.ndarray:
    return np.array([[letter == "#" for letter in line] for line in text.split()])


@pytest.mark.parametrize(
    ("predicted", "ground_truth", "expected"),
    [
        ("#.#. .... ....", "##.. .... ....", (100 * 10 / 12, 100 * (1 - (1 / 2 + 9 / 10) / 2), 100 / 3, 50)),
        ("##. ...", "##. ...", (100, 0, 100, 100)),
        ("..# ###", "##. ...", (0, 100, 0, 0)),
        ("... ...", "#.. ...", (100 * 5 / 6, 50, 0, 0)),
        # Only the available half counts where there is nothing else.
        ("#.. ...", "... ...", (100 * 5 / 6, 100 / 6, 0, 0)),
        ("##. ...", "### ###", (100 * 2 / 6, 100 * 4 / 6, 100 * 2 / 6, 50)),
        ("... ...", "... ...", (100, 0, None, None)),
    ],
)
def test_hand_made_masks(predicted: str, ground_truth: str, expected: tuple) -> None:
    scores = detect(mask(predicted), mask(ground_truth))
    assert scores == pytest.approx(dict(zip(("accuracy", "ber", "iou", "f1"), expected, strict=True)))


def test_half_is_mask_at_least_128() -> None:
    levels = np.array([[0, 127, 128, 255]]) / 255
    assert threshold(levels, "0.5").tolist() == [[False, False, True, True]]
    assert threshold(levels + 10, "0.5").all()
    assert not threshold(-levels, "0.5").any()
    assert threshold(levels, "1").tolist() == [[False, False, False, True]]


def test_otsu_adapts_to_faint_maps() -> None:
    faint = np.zeros((20, 20))
    faint[5:9, 5:9] = 0.2
    assert not threshold(faint, "0.5").any()
    assert np.array_equal(threshold(faint, "otsu"), faint > 0)


def test_the_rule_specular_masks_what_was_taken_away() -> None:
    image = np.full((12, 12, 3), 100, np.uint8)
    diffuse = image.copy()
    image[3:6, 4:9] = 220
    nothing = np.zeros((12, 12), np.float32)
    expected = np.zeros((12, 12), bool)
    expected[3:6, 4:9] = True
    assert np.array_equal(predicted_mask(image, diffuse, nothing, "specular"), expected)
    assert not predicted_mask(diffuse, diffuse, nothing, "specular").any()
    assert not predicted_mask(image, diffuse, nothing, "0.5").any()
