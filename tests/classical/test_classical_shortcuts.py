"""The fast ways through a method against the slow ones that its source describes."""

import numpy as np
import pytest

from classical.bilateral_grid import JointBilateral
from classical.guo2018 import _separate, colour_dictionary
from classical.shared import distinct_colours, extrema, is_grey, total
from classical.shen2013 import shen2013
from classical.yamamoto2019 import _best_in_window, yamamoto2019
from classical.yoon2006 import yoon2006
from tests.classical.two_colours import two_colours
from tests.tolerances import ROUNDED, SUMMED


def test_extrema_and_total_are_those_of_numpy():
    image = np.random.default_rng(0).random((7, 5, 3), dtype=np.float32)
    i_max, i_min = extrema(image)
    np.testing.assert_array_equal(i_max, image.max(axis=2))
    np.testing.assert_array_equal(i_min, image.min(axis=2))
    np.testing.assert_allclose(total(image), image.sum(axis=2), rtol=ROUNDED)


def test_grey_is_relative_to_brightness():
    i_max = np.array([0.0, 0.5, 0.5, 0.01])
    assert is_grey(i_max, i_max - [0, 0.014, 0.016, 0.004]).tolist() == [True, True, False, False]


def test_distinct_colours_are_the_picture():
    image = np.random.default_rng(0).integers(0, 4, (9, 8, 3)).astype(np.float32) / 255
    colours, counts, index = distinct_colours(image, 1000)
    assert (counts.sum(), np.unique(colours, axis=1).shape) == (72, colours.shape)
    np.testing.assert_allclose(colours.T[index], image, atol=ROUNDED)


def test_distinct_colours_keep_to_the_limit():
    image = np.random.default_rng(0).random((40, 40, 3), dtype=np.float32)
    colours, counts, index = distinct_colours(image, 300)
    assert colours.shape[1] <= 300
    assert np.abs(colours.T[index] - image).max() < 1 / 3
    np.testing.assert_allclose((colours * counts).sum(axis=1), image.sum(axis=(0, 1)), rtol=SUMMED)


def test_grid_is_close_to_the_joint_bilateral_filter():
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:40, :50]
    guide = (0.4 + 0.4 * (columns > 24) + 0.002 * rows).astype(np.float32)
    data = (0.5 + 0.3 * np.sin(rows / 9) + 0.2 * (columns > 24)).astype(np.float32)
    data += random.normal(0, 0.05, data.shape).astype(np.float32)
    space, reach = 6.0, 0.1

    smooth = JointBilateral(guide, space, reach, np.ones(guide.shape, bool))(data)

    points = np.stack([rows / space, columns / space, guide / reach], axis=-1).reshape(-1, 3)
    squares = ((points[:, None] - points) ** 2).sum(axis=2)
    weights = np.exp(-0.5 * squares)
    exact = (weights @ data.ravel() / weights.sum(axis=1)).reshape(data.shape)
    assert np.abs(smooth - exact).mean() < 0.02
    assert np.abs(smooth - data).mean() > 0.03


def test_invalid_pixels_do_not_vote():
    data = np.zeros((20, 20), np.float32)
    data[:, 10:] = 1
    valid = np.zeros(data.shape, bool)
    valid[:, 10:] = True
    np.testing.assert_allclose(JointBilateral(np.full_like(data, 0.5), 30, 0.1, valid)(data), 1, atol=ROUNDED)


@pytest.mark.parametrize("neighbours", ["rows", "columns", "both"])
def test_yoon_ends_where_its_sweeps_end(neighbours):
    image = two_colours(14, 0.2)[0]
    image += np.random.default_rng(0).uniform(0, 0.02, image.shape[:2]).astype(np.float32)[..., None]
    expected = _yoon_sweeps(image.astype(np.float64), neighbours)
    # Its sweeps stop at 1e-9, ours at 8-bit chroma.
    np.testing.assert_allclose(yoon2006(image, neighbours=neighbours), expected, atol=1e-4)


def _yoon_sweeps(image: np.ndarray, neighbours: str) -> np.ndarray:
    low, high = image.min(axis=2), image.max(axis=2)
    free = image - low[..., None]
    sums, free_sums = image.sum(axis=2), free.sum(axis=2)
    chroma = free[..., :2] / np.maximum(free_sums, 1e-9)[..., None]
    grey = is_grey(high, low)
    height, width = low.shape
    steps = [step for step, name in (((0, 1), "rows"), ((1, 0), "columns")) if neighbours in (name, "both")]
    changed = True
    while changed:
        changed = False
        for y in range(height):
            for x in range(width):
                for down, right in steps:
                    a, b = (y, x), (y + down, x + right)
                    if b[0] >= height or b[1] >= width or grey[a] or grey[b] or low[a] < 12 / 255:
                        continue
                    if (np.abs(chroma[a] - chroma[b]) > 0.05).any():
                        continue
                    ratio = free_sums[a] / free_sums[b]
                    if sums[a] - ratio * sums[b] > 1e-9:
                        sums[a], changed = ratio * sums[b], True
                    elif sums[b] - sums[a] / ratio > 1e-9:
                        sums[b], changed = sums[a] / ratio, True
    return image - ((image.sum(axis=2) - sums) / 3)[..., None]


def test_yamamoto_finds_the_best_pixel_of_each_window():
    random = np.random.default_rng(0)
    # Few levels: many ties, which go to the nearer pixel.
    image = random.integers(0, 6, (50, 70, 3)).astype(np.float32) / 5
    error = random.integers(0, 3, (50, 70)).astype(np.float32) / 2
    wanted = random.random((50, 70)) < 0.05
    for radius in (1, 4, 30):
        found = _best_in_window(image, error, wanted, radius, 0.3)
        for (row, column), flat in zip(np.argwhere(wanted), found, strict=True):
            y, x = divmod(flat, 70)
            assert max(abs(y - row), abs(x - column)) <= radius
            rows, columns = (slice(max(at - radius, 0), at + radius + 1) for at in (row, column))
            part = rows, columns
            colour = ((image[part] - image[row, column]) ** 2).sum(axis=2)
            cost = 0.3 * colour + 0.7 * error[part] ** 2
            own = 0.3 * ((image[y, x] - image[row, column]) ** 2).sum() + 0.7 * error[y, x] ** 2
            assert own <= cost.min() + ROUNDED


def test_yamamoto_takes_any_base_method():
    image = two_colours(40)[0]
    np.testing.assert_array_equal(yamamoto2019(image, base=lambda picture: picture), image)
    assert np.abs(yamamoto2019(image) - shen2013(image)).max() > 0


def test_slrr_on_distinct_colours_is_slrr_on_pixels():
    random = np.random.default_rng(0)
    values = random.uniform(0.1, 0.9, (3, 30))
    counts = random.integers(1, 6, 30)
    dictionary = colour_dictionary(values, counts, 5, np.random.default_rng(0))
    schedule = {"iterations": 60, "tolerance": 1e-6, "penalty": 0.1, "growth": 1.1}
    once = _separate(values, counts, dictionary, **schedule)
    pixels = np.repeat(values, counts, axis=1)
    each = _separate(pixels, np.ones(counts.sum()), dictionary, **schedule)
    np.testing.assert_allclose(np.repeat(once, counts), each, atol=2e-3)  # both stop at 60 steps


def test_dictionary_has_no_more_colours_than_there_are():
    values = np.array([[0.8, 0.4, 0.0, 0.0], [0.2, 0.1, 0.5, 0.0], [0.1, 0.05, 0.5, 0.0]])
    dictionary = colour_dictionary(values, np.ones(4), 50, np.random.default_rng(0))
    assert dictionary.shape[1] == 2
    lengths = sorted(np.linalg.norm(dictionary, axis=0))
    np.testing.assert_allclose(
        lengths, sorted([np.hypot(np.hypot(0.4, 0.1), 0.05), np.sqrt(0.5)]), rtol=ROUNDED
    )
