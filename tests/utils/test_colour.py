"""Pixel values: scales, rounding, the sRGB curve, grey as RGB."""

import numpy as np
import pytest

from tests.tolerances import ROUNDED, SUMMED
from utils.colour import grey_to_rgb, quantise, srgb_decode, srgb_encode, to_unit


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_unit_scaling_and_rounding_are_inverse(dtype):
    white = 1 if dtype is np.float32 else np.iinfo(dtype).max
    pixels = np.array([0, white // 2, white], dtype)
    unit = to_unit(pixels)
    assert unit.dtype == np.float32
    assert unit[-1] == 1
    np.testing.assert_array_equal(quantise(unit, dtype), pixels)
    assert to_unit(pixels, np.float64).dtype == np.float64
    assert quantise(np.array([-1.0, 2.0]), dtype).tolist() == [0, white]


def test_other_types_have_no_scale():
    with pytest.raises(KeyError):
        to_unit(np.zeros(3, np.int32))


def test_the_srgb_curve():
    """Values of IEC 61966-2-1: mid-grey 18 % and the end of the linear part."""
    np.testing.assert_allclose(
        srgb_encode(np.array([0.0, 0.0031308, 0.18, 1.0])), [0, 0.04045, 0.4613561, 1], atol=SUMMED
    )
    values = np.linspace(0, 1, 256, dtype=np.float32)
    assert srgb_encode(values).dtype == np.float32
    np.testing.assert_allclose(srgb_encode(srgb_decode(values)), values, atol=ROUNDED)


def test_grey_becomes_rgb_and_rgb_stays():
    grey = np.arange(6, dtype=np.uint16).reshape(2, 3)
    colour = grey_to_rgb(grey)
    assert colour.shape == (2, 3, 3)
    assert colour.dtype == np.uint16
    assert (colour == grey[..., None]).all()
    assert grey_to_rgb(colour) is colour
