"""Flicker: the equations of the smoother in closed form: nothing moves, something moves, a cut."""

import numpy as np
import pytest

from restoration.video.temporal_smoothing import FRAMES, TemporalSmoother, stillness
from tests.tolerances import ROUNDED

SIZE = (40, 60)


def _noise(shape, sigma, seed):
    return np.random.default_rng(seed).normal(0, sigma, shape).astype(np.float32)


def _still(count, sigma=0.0, level=0.7):
    """Frames of one scene with noise."""
    return [np.float32(level) + _noise((*SIZE, 3), sigma, number) for number in range(count)]


def test_the_mean_of_the_first_layers_and_then_a_recursive_filter():
    smoother, image = TemporalSmoother(4), np.full((*SIZE, 3), 0.8, np.float32)
    layers = [np.full((*SIZE, 3), value, np.float32) for value in (0.1, 0.3, 0.2, 0.4, 0.6, 0.0)]
    found = [smoother(image, layer)[5, 5, 0] for layer in layers]
    after_four = (0.1 + 0.3 + 0.2 + 0.4) / 4
    fifth = after_four + (0.6 - after_four) / 4
    assert np.allclose(found, [0.1, 0.2, 0.2, after_four, fifth, fifth * 3 / 4], atol=ROUNDED)


@pytest.mark.parametrize("sigma", [0.0, 0.01, 0.03])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_differences_of_independent_layers_shrink_as_stated(sigma, channels):
    smoother = TemporalSmoother(FRAMES)
    layers, smoothed = [], []
    for number in range(60):
        image = np.float32(0.7) + _noise((*SIZE, *channels), sigma, number)
        layers.append(np.float32(0.3) + _noise((*SIZE, *channels), 0.02, 1000 + number))
        smoothed.append(smoother(image, layers[-1]))
    before, after = (np.std(np.diff(np.stack(kind[FRAMES * 2 :]), axis=0)) for kind in (layers, smoothed))
    expected = 1 / (FRAMES * np.sqrt(2 - 1 / FRAMES))
    # Noise of the picture takes a little of the weight.
    assert expected * 0.95 < after / before < expected * (1.05 if sigma == 0 else 1.6)


def test_where_the_picture_moved_the_layer_is_that_of_the_frame():
    smoother = TemporalSmoother(8)
    for image in _still(10, sigma=0.01):
        smoother(image, np.full_like(image, 0.2))
    moved = _still(11, sigma=0.01)[-1]
    moved[10:25, 20:40] -= 0.4
    found = smoother(moved, np.full_like(moved, 0.1))
    # The weights of past frames are exponentials of the noise, not 0 and 7/8; the noise is numpy's.
    assert np.allclose(found[10:25, 20:40], 0.1, atol=1e-3)
    assert np.allclose(found[:5], 0.2 + (0.1 - 0.2) / 8, atol=0.01)  # for the same reason


def test_at_a_cut_nothing_of_the_scene_before_is_left_even_where_it_looked_alike():
    smoother = TemporalSmoother(8)
    before, after = _still(2)
    after[:, 12:] = 0.1  # a fifth stays alike
    smoother(before, np.full_like(before, 0.2))
    assert np.array_equal(smoother(after, np.full_like(after, 0.05)), np.full_like(after, 0.05))
    assert not stillness(after, before).any()


def test_one_frame_means_no_smoothing_and_no_state():
    smoother = TemporalSmoother(1)
    for image in _still(2):
        layer = _noise(image.shape, 0.1, 5)
        assert np.array_equal(smoother(image, layer), layer)
    assert smoother.state() == {}
    with pytest.raises(ValueError, match="at least one"):
        TemporalSmoother(0)


def test_no_more_is_removed_than_there_is():
    smoother, image = TemporalSmoother(8), np.full((*SIZE, 3), 0.5, np.float32)
    smoother(image, np.full_like(image, 0.5))
    darker = image - np.float32(0.004)
    assert np.all(smoother(darker, np.full_like(image, 0.5)) <= darker)


def test_a_smoother_goes_on_from_its_state():
    frames = _still(6, sigma=0.01)
    layers = [_noise(frame.shape, 0.1, 50 + number) for number, frame in enumerate(frames)]
    whole, first, second = TemporalSmoother(4), TemporalSmoother(4), TemporalSmoother(4)
    expected = [whole(*pair) for pair in zip(frames, layers, strict=True)]
    for pair in zip(frames[:3], layers[:3], strict=True):
        first(*pair)
    second.load_state(first.state())
    for number in (3, 4, 5):
        assert np.array_equal(second(frames[number], layers[number]), expected[number])
