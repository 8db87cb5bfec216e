"""Tiles whose map can change no pixel are skipped: the pixels are the same."""

import numpy as np
import pytest
import torch

from models import build_model
from restoration import HighlightRemover
from restoration.composition import subtract_specular
from tests.restoration.fakes import needs_bf16
from tests.tolerances import ONE_LEVEL

SMALL = {"widths": (3, 6, 6), "trunk": "small", "trunk_channels": (4, 6, 8)}


class Brightness(torch.nn.Module):
    """A map that follows the picture: below 0 where it is dark, as maps without bounds are."""

    def logits(self, image):
        return 0.5 * (image.mean(dim=1, keepdim=True) - 0.5)

    def bound(self, logits):
        return logits


def network():
    torch.manual_seed(0)
    model = build_model("aha-figure", **SMALL).eval()
    model.HFE = Brightness()
    return model


def ramp(dtype, channels=3):
    """60 x 500: dark in the left half, then slowly brighter, so that faint maps occur beside strong ones."""
    line = np.concatenate([np.full(250, 0.3), np.linspace(0.48, 0.52, 100), np.linspace(0.52, 1, 150)])
    grain = 0.01 * np.random.default_rng(0).random((60, 500, channels))
    picture = np.clip(line[None, :, None] + grain, 0, 1)
    picture = picture if channels == 3 else picture[..., 0]
    if np.dtype(dtype).kind == "f":
        return picture.astype(dtype)
    return np.rint(picture * np.iinfo(dtype).max).astype(dtype)


def counted(remover):
    """The crops that the rest of the network sees from now on."""
    seen = []
    remover.separator.network.coarse.register_forward_hook(lambda *_: seen.append(1))
    return seen


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strength": 1.5},
        {"test_time_augmentation": 2},
        {"test_time_augmentation": 4},
        pytest.param({"precision": "bf16"}, marks=needs_bf16),
    ],
)
def test_pixels_and_map_are_the_same_with_skipping_on_and_off(dtype, options):
    image = ramp(dtype)
    removers = [HighlightRemover(network(), tile=64, skip_tiles=skip, **options) for skip in (True, False)]
    seen = [counted(remover) for remover in removers]
    skipped, whole = (remover.restore(image) for remover in removers)
    assert 0 < len(seen[0]) < 0.7 * len(seen[1])
    assert np.array_equal(skipped.diffuse, whole.diffuse)
    assert np.array_equal(skipped.highlight, whole.highlight)
    assert not np.array_equal(skipped.diffuse, image)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("strength", [1.0, 1.5])
def test_no_map_below_the_threshold_can_change_a_pixel(dtype, strength):
    remover = HighlightRemover(network(), strength=strength)
    image = ramp(dtype)
    faintest = np.float32(remover._faintest(image, strength))
    # The most that a network can take away is A |I - N|, with I and N in [0, 1].
    for specular in (faintest, -faintest):
        layer = np.full((*image.shape[:2], 3), specular, np.float32) * np.float32(strength)
        changed = subtract_specular(image, layer, np.ones(image.shape[:2], np.float32))
        assert np.array_equal(changed, image)


def test_a_picture_without_highlights_costs_its_map_only():
    remover = HighlightRemover(network(), tile=64)
    seen = counted(remover)
    image = ramp(np.uint8)[:, :250]
    restored = remover.restore(image)
    assert np.array_equal(restored.diffuse, image)
    assert not restored.highlight.any()
    assert not seen


def test_of_a_batch_only_the_lit_crops_go_on():
    remover = HighlightRemover(network(), precision="fp32", tile=64)
    remover.separator.batch_size = 4  # as on an accelerator
    sizes = []
    remover.separator.network.coarse.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    image = ramp(np.uint8)
    restored = remover.restore(image)
    assert sizes
    assert min(sizes) < 4
    whole = HighlightRemover(network(), precision="fp32", tile=64, skip_tiles=False).restore(image)
    assert np.abs(restored.diffuse.astype(int) - whole.diffuse).max() <= ONE_LEVEL
    assert np.array_equal(restored.highlight, whole.highlight)
