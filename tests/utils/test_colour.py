"""Pixel values: scales, rounding, the sRGB curve, grey as RGB."""

import numpy as np
import pytest

from tests.tolerances import ROUNDED, SUMMED
from utils.colour import grey_to_rgb, quantise, srgb_decode, srgb_encode, to_unit
from utils.sheets import FONT_SIZE, GAP, LINE, labelled_sheet, shrink


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_unit_scaling_and_rounding_are_inverse(dtype):
    white = 1 if dtype is np.float32 else np.iinfo(dtype).max
    pixels = np.array([0, white // 2, white], dtype)
    unit = to_unit(pixels)
    assert (unit.dtype, unit[-1]) == (np.float32, 1)
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
    assert (colour.shape, colour.dtype) == ((2, 3, 3), np.uint16)
    assert (colour == grey[..., None]).all()
    assert grey_to_rgb(colour) is colour


# ---- sheets with labels


RED = np.zeros((20, 200, 3), np.uint8) + np.array([255, 0, 0], np.uint8)


def test_panels_stand_under_their_headings():
    sheet = labelled_sheet(
        ["one", "two"], [("", [RED, None]), ("a row", [np.ones((10, 30), np.float32), RED])]
    )
    assert sheet.shape == (LINE + 20 + GAP + LINE + 20 + GAP, 200 + 200 + 3 * GAP, 3)
    assert np.array_equal(sheet[LINE : LINE + 20, GAP : GAP + 200], RED)
    assert (sheet[LINE : LINE + 20, 2 * GAP + 200 :] == 255).all()
    below = LINE + 20 + GAP + LINE
    assert np.array_equal(sheet[below : below + 20, 2 * GAP + 200 : 2 * GAP + 400], RED)
    for top, left in ((0, GAP), (0, 2 * GAP + 200), (below - LINE, GAP)):
        text = sheet[top : top + LINE, left : left + 4 * FONT_SIZE]
        assert text.min() < 100
        assert text.max() == 255


def test_long_headings_and_names_are_not_cut():
    narrow = np.zeros((4, 4), np.uint16)
    wide = labelled_sheet(["m" * 40], [("", [narrow])]).shape[1]
    assert wide > 40 * FONT_SIZE / 2
    named = labelled_sheet(["m"], [("n" * 60 + "\udcff", [narrow])])
    assert (named[:, -GAP:] == 255).all()
    assert named.shape[1] > 60 * FONT_SIZE / 3


def test_only_large_layers_shrink():
    assert shrink(RED, 200) is RED
    assert shrink(RED, 100).shape == (10, 100, 3)
