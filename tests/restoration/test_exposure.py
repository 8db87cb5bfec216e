"""Dark pictures: brightened for the network, restored in their own numbers."""

import numpy as np
import pytest
import torch
from torch import nn

from models import ModelSpec, Separation
from restoration import HighlightRemover
from restoration.defaults import InferenceDefaults
from restoration.working_scale import LARGEST, exposure_gain
from tests.tolerances import ONE_LEVEL, ROUNDED

WHITE = {np.uint8: 255, np.uint16: 65535, np.float32: 1}


class AboveHalf(nn.Module):
    """White light above 0.5: S = max(0, smallest channel - 0.5); remembers the brightest value it saw."""

    def __init__(self, brightest=0.8, working_size=0):
        super().__init__()
        self.seen = []
        self.spec = ModelSpec("half", {}, multiple=1)
        self.defaults = InferenceDefaults(working_size=working_size, target_brightness=brightest)

    def forward(self, image):
        self.seen.append(float(image.max()))
        above = (image.amin(dim=1, keepdim=True) - 0.5).clamp_min(0)
        return Separation(image - above, above.expand_as(image), (above > 0).to(image.dtype))


def dark(dtype=np.float32, brightest=0.2):
    """Grey ramp from 0 to `brightest`, 40 x 60."""
    ramp = np.linspace(0, brightest, 60) * WHITE[dtype]
    ramp = ramp if dtype == np.float32 else np.round(ramp)
    return np.broadcast_to(ramp[None, :, None], (40, 60, 3)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    ("brightest", "expected"), [(0.2, 4.0), (0.4, 2.0), (0.8, 1.0), (1.0, 1.0), (0.05, LARGEST), (0, LARGEST)]
)
def test_the_gain_brings_the_brightest_parts_to_the_value(dtype, brightest, expected):
    # The ramp has 60 steps.
    assert exposure_gain(dark(dtype, brightest), 0.8) == pytest.approx(expected, rel=0.03)


def test_a_few_hot_pixels_and_the_size_do_not_count():
    image = np.repeat(np.repeat(dark(), 30, axis=0), 30, axis=1)
    image[:10, :10] = 1
    assert exposure_gain(image, 0.8) == pytest.approx(4.0, rel=0.02)  # the ramp has 60 steps
    assert exposure_gain(image[..., 0], 0.8) == exposure_gain(image, 0.8)


@pytest.mark.parametrize("working_size", [0, 32])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_dark_picture_is_separated_as_a_bright_one(dtype, working_size):
    network = AboveHalf(working_size=working_size)
    image = dark(dtype)
    restored = HighlightRemover(network).restore(image)
    assert max(network.seen) == pytest.approx(0.8, abs=0.02)  # the ramp has 60 steps
    assert restored.diffuse.dtype == dtype
    expected = np.minimum(image, 0.5 / exposure_gain(image, 0.8) * WHITE[dtype])
    if working_size is None:
        np.testing.assert_allclose(
            restored.diffuse, expected, atol=ONE_LEVEL if dtype != np.float32 else ROUNDED
        )
    else:
        # A kink, resampled.
        assert np.abs(restored.diffuse - expected.astype(np.float64)).mean() < 0.003 * WHITE[dtype]
    # What the network left as it was keeps its numbers.
    untouched = restored.highlight == 0
    assert 0.5 < untouched.mean() < 0.8
    np.testing.assert_array_equal(restored.diffuse[untouched], image[untouched])


def test_the_exposure_can_be_given_and_the_released_protocol_has_none():
    for options, seen in (({"exposure": 1}, 0.2), ({"exposure": 2.5}, 0.5), ({"protocol": "released"}, 0.2)):
        network = AboveHalf()
        HighlightRemover(network, **options).restore(dark(np.uint8))
        assert max(network.seen) == pytest.approx(seen, abs=0.01)  # 8 bits, twice


def test_bright_pictures_and_other_networks_see_the_picture_itself():
    for network, brightest in ((AboveHalf(), 0.9), (AboveHalf(brightest=0.0), 0.2)):
        HighlightRemover(network).restore(dark(brightest=brightest))
        assert max(network.seen) == pytest.approx(brightest)


def test_pictures_together_are_exposed_each_by_itself():
    images = [dark(np.uint8), dark(np.uint8, 0.3), dark(np.uint8, 0.9), dark(np.uint8, 0.95)]
    remover = HighlightRemover(AboveHalf())
    remover.separator.batch_size = 4
    for together, image in zip(remover.restore_all(images), images, strict=True):
        np.testing.assert_array_equal(together.diffuse, remover.restore(image).diffuse)


def test_gain_is_finite_where_nothing_is_lit():
    black = np.zeros((8, 8, 3), np.float32)
    np.testing.assert_array_equal(HighlightRemover(AboveHalf()).restore(black).diffuse, black)
    assert torch.isfinite(torch.tensor(exposure_gain(black, 0.8)))
