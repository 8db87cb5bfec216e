"""Otsu masks: agreement with scikit-image, two passes, layers without a highlight, batches."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from skimage.filters import threshold_otsu

from data.regions import otsu_mask, otsu_masks, otsu_masks_of_bytes


def blobs(seed: int, size: int = 48) -> np.ndarray:
    """A grey layer (H, W, 3): one bright and one faint Gaussian on zero."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    layer = np.zeros((size, size))
    for height in (0.9, 0.35):
        cy, cx = rng.uniform(10, size - 10, 2)
        layer += height * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * rng.uniform(3, 6) ** 2))
    return np.repeat(layer.clip(0, 1)[..., None], 3, 2).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("passes", [1, 2])
def test_agrees_with_scikit_image(seed: int, passes: int) -> None:
    layer = blobs(seed)
    level = rgb2lab(layer)[..., 0]
    expected = level > threshold_otsu(level)
    if passes == 2:
        expected = level > threshold_otsu(level[expected])
    # Thresholds of 256 bins: a bin's pixels may fall on either side.
    assert np.mean(otsu_mask(layer, passes) != expected) < 0.01


def test_second_pass_is_inside_the_first() -> None:
    one, two = otsu_mask(blobs(7), 1), otsu_mask(blobs(7), 2)
    assert two.any()
    assert (one & ~two).any()
    assert not (two & ~one).any()


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_a_constant_layer_has_no_highlight(value: float) -> None:
    assert not otsu_mask(np.full((9, 7, 3), value, np.float32)).any()


def test_a_two_valued_layer_keeps_its_upper_value_in_both_passes() -> None:
    layer = np.zeros((10, 10), np.float32)
    layer[2:5, 3:6] = 0.7
    for passes in (1, 2):
        assert np.array_equal(otsu_mask(layer, passes), layer > 0)


def test_grey_and_three_equal_channels_agree_and_batches_are_independent() -> None:
    layers = np.stack([blobs(seed) for seed in range(3)])
    batch = otsu_masks(torch.from_numpy(layers).permute(0, 3, 1, 2))[:, 0].numpy()
    for layer, mask in zip(layers, batch, strict=True):
        assert np.array_equal(otsu_mask(layer), mask)
        assert np.mean(otsu_mask(layer[..., 0]) != mask) < 0.002


def test_refuses_no_pass() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        otsu_mask(blobs(0), 0)


@pytest.mark.parametrize("passes", [1, 2])
def test_the_way_by_bytes_gives_the_same_masks(passes: int) -> None:
    layers = torch.from_numpy(np.stack([blobs(seed)[..., 0] for seed in range(4)])).unsqueeze(1)
    layers = (layers * 255).round() / 255
    layers[3] = 0
    assert torch.equal(otsu_masks_of_bytes(layers, passes), otsu_masks(layers, passes))
