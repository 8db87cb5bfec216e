"""Separation at a working size, against closed forms and against separation at full size."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from models import ModelSpec, Separation, build_model
from restoration import HighlightRemover
from restoration.defaults import InferenceDefaults, defaults_of
from restoration.working_scale import FAINTEST, LARGEST, STRIP_ROWS, enlarged, exposure_gain, reduced
from tests.tolerances import ONE_LEVEL, ROUNDED
from utils.errors import UserError


class AboveTheFloor(nn.Module):
    """White light on a surface of value 0.2: S = what the smallest channel has above it, A = S > 0."""

    def __init__(self, working_size=64):
        super().__init__()
        self.sizes = []
        self.spec = ModelSpec("floor", {}, multiple=1)
        self.defaults = InferenceDefaults(working_size=working_size)

    def forward(self, image):
        self.sizes.append(tuple(image.shape[-2:]))
        above = (image.amin(dim=1, keepdim=True) - 0.2).clamp_min(0)
        above = torch.where(above > 0.01, above, torch.zeros_like(above))
        return Separation(image - above, above.expand_as(image), (above > 0).to(image.dtype))


def lit(height, width, dtype=np.float32, seed=0):
    """A surface of noise in red and green and 0.2 in blue, with a soft highlight in the middle."""
    rng = np.random.default_rng(seed)
    diffuse = np.full((height, width, 3), 0.2)
    diffuse[..., :2] += 0.3 * rng.random((height, width, 2))
    y, x = np.mgrid[:height, :width]
    distance = np.hypot((y - height / 2) / height, (x - width / 2) / width)
    specular = 0.4 * np.clip(1 - distance / 0.3, 0, 1)[..., None]
    if dtype == np.float32:
        return (diffuse + specular).astype(dtype), diffuse.astype(dtype)
    white = np.iinfo(dtype).max
    return np.rint((diffuse + specular) * white).astype(dtype), np.rint(diffuse * white).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("size", [(300, 200), (2 * STRIP_ROWS + 3, 90)])
def test_a_soft_highlight_goes_and_texture_and_depth_stay(dtype, size):
    image, diffuse = lit(*size, dtype)
    network = AboveTheFloor()
    restored = HighlightRemover(network)(image)
    assert max(network.sizes[0]) == 64
    assert restored.diffuse.dtype == dtype
    white = 1 if dtype == np.float32 else np.iinfo(dtype).max
    before = np.abs(image.astype(float) - diffuse).mean() / white
    after = np.abs(restored.diffuse.astype(float) - diffuse).mean() / white
    assert after < 0.1 * before
    if dtype == np.uint16:  # steps finer than 8 bits survive
        assert len(np.unique(restored.diffuse[..., 0])) > 2000


def test_where_the_map_is_zero_pixels_stay_bit_for_bit():
    image, _ = lit(260, 260, np.uint16)
    restored = HighlightRemover(AboveTheFloor())(image)
    untouched = restored.highlight == 0
    assert untouched.mean() > 0.3
    assert np.array_equal(restored.diffuse[untouched], image[untouched])
    assert ((restored.highlight >= FAINTEST) | untouched).all()
    assert restored.highlight.max() <= 1


def test_nothing_is_added_nor_taken_below_black():
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (150, 400, 3), np.uint8)
    torch.manual_seed(0)
    restored = HighlightRemover(build_model("aha-lite"), working_size=96)(image)
    assert (restored.diffuse <= image).all()


def test_grey_pictures_and_extreme_shapes():
    for shape in ((70, 300), (1, 500), (500, 1), (3, 4000, 3)):
        image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        restored = HighlightRemover(AboveTheFloor())(image)
        assert restored.diffuse.shape == shape
        assert restored.highlight.shape == shape[:2]


def test_strips_are_the_whole_picture_enlarged_at_once():
    rng = np.random.default_rng(2)
    image = rng.random((2 * STRIP_ROWS + 40, 33, 3), np.float32)
    small = reduced(image, 64)
    layers = rng.random((*small.shape[:2], 4), np.float32)
    strips = list(enlarged(image, small, layers))
    ends = [0, STRIP_ROWS, 2 * STRIP_ROWS, 2 * STRIP_ROWS + 40]
    assert [strip[:2] for strip in strips] == list(itertools.pairwise(ends))
    # A constant layer is a constant layer at every size.
    flat = np.full_like(layers, 0.125)
    dim = np.ones_like(image)
    values = np.concatenate([strip[2] for strip in enlarged(dim, reduced(dim, 64), flat)])
    np.testing.assert_allclose(values, 0.125, atol=ROUNDED)


def test_full_size_on_request_and_for_pictures_within_the_working_size():
    image, _ = lit(60, 48)
    network = AboveTheFloor()
    inside, full = HighlightRemover(network)(image), HighlightRemover(network, working_size=0)(image)
    assert np.array_equal(inside.diffuse, full.diffuse)
    large, _ = lit(100, 80)
    network.sizes.clear()
    HighlightRemover(network, working_size=0)(large)
    HighlightRemover(network, working_size=50)(large)
    HighlightRemover(network, working_size=50).restore_all([large, large])
    assert network.sizes == [(100, 80), (50, 40), (50, 40), (50, 40)]
    assert defaults_of(build_model("aha-lite")).working_size == 256
    assert defaults_of(build_model("aha-figure", trunk="small")).working_size == 0


def test_strength():
    image, _ = lit(100, 100)
    removed = [
        image - HighlightRemover(AboveTheFloor(), strength=k)(image).diffuse.astype(float)
        for k in (0.0, 0.5, 1.0, 1.5)
    ]
    assert not removed[0].any()
    np.testing.assert_allclose(removed[1], 0.5 * removed[2], atol=ROUNDED)
    assert (removed[3] >= removed[2] - ROUNDED).all()
    assert (removed[3] <= image + ROUNDED).all()
    with pytest.raises(UserError, match=r"between 0 and 1\.5, not 2"):
        HighlightRemover(AboveTheFloor(), strength=2)
    with pytest.raises(UserError, match="not -1"):
        HighlightRemover(AboveTheFloor(), working_size=-1)


def test_what_the_reduction_loses_is_taken_by_a_second_pass_over_its_tiles_only():
    image = np.full((1024, 1024, 3), 0.2, np.float32)
    image[300:303, 700:703] = 0.9  # 9 pixels of 256 under one of the reduced picture
    network = AboveTheFloor()
    restored = HighlightRemover(network)(image)
    assert max(network.sizes[0]) == 64
    assert len(network.sizes) == 2  # one tile of 64 pixels at a fourth of the size, with its margins
    assert max(network.sizes[1]) <= 64 + 2 * 32
    assert restored.diffuse[301, 701].max() < 0.5
    far = np.ones(image.shape[:2], bool)
    far[270:333, 670:733] = False
    assert np.array_equal(restored.diffuse[far], image[far])
    network.sizes.clear()
    HighlightRemover(network)(np.full((1024, 1024, 3), 0.2, np.float32))
    assert len(network.sizes) == 1


def test_progress_is_told_strip_by_strip():
    told = []
    image, _ = lit(2 * STRIP_ROWS + 10, 100)
    HighlightRemover(AboveTheFloor()).restore(image, lambda *done: told.append(done))
    assert told == [(1, 3), (2, 3), (3, 3)]


# ---- dark pictures: brightened for the network, restored in their own numbers


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
