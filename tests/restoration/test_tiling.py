"""Tiles cover the picture, add up to one, and show no seams."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restoration.tiling import Tile, blend, check_sizes, spans
from tests.tolerances import ROUNDED
from utils.errors import UserError


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 900), st.integers(1, 9), st.floats(0, 0.75), st.sampled_from([1, 8, 32]))
def test_weights_add_up_to_one(length, tiles, share, multiple):
    tile = tiles * multiple
    overlap = min(int(tile * share), tile - multiple)
    total = np.zeros(length)
    for span in spans(length, tile, overlap, multiple):
        assert span.start % multiple == 0
        assert span.stop - span.start <= tile
        assert span.start <= span.first < span.last <= span.stop
        total[span.first : span.last] += span.weight
    assert np.allclose(total, 1, atol=ROUNDED)


@settings(max_examples=100, deadline=None)
@given(st.integers(600, 3000), st.integers(8, 16), st.integers(0, 5))
def test_cuts_keep_their_distance(length, tiles, overlaps):
    tile, overlap = tiles * 32, overlaps * 32
    for span in spans(length, tile, overlap, 32):
        assert span.start == 0 or span.first - span.start >= 3 / 8 * overlap - 1
        assert span.stop == length or span.stop - span.last >= 3 / 8 * overlap - 1


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (97, 130), (256, 256)])
def test_blending_equal_values_gives_them_back(size):
    image = np.random.default_rng(0).random((*size, 4)).astype(np.float32)
    rows, columns = (spans(length, 64, 24, 8) for length in size)
    whole, bottom = np.empty_like(image), 0

    def run(tiles):
        return (tile.cut(image) for tile in tiles)

    for top, stop, strip in blend(run, rows, columns, 4):
        assert top == bottom
        whole[top:stop], bottom = strip, stop
    assert bottom == size[0]
    assert np.abs(whole - image).max() < ROUNDED


def test_disagreeing_tiles_meet_in_a_ramp():
    """Neighbours that differ by 1 everywhere: the step is spread over a quarter of the overlap."""
    rows, columns = spans(64, 64, 0, 8), spans(500, 128, 64, 8)

    def run(tiles):
        for tile in tiles:
            value = np.float32(columns.index(tile.columns) % 2)
            yield np.full((64, tile.columns.stop - tile.columns.start, 1), value)

    ((_, _, strip),) = blend(run, rows, columns, 1)
    assert np.abs(np.diff(strip[..., 0], axis=1)).max() < 1 / 15
    assert strip.max() == 1
    assert strip.min() == 0


def test_impossible_sizes_are_refused():
    for tile, overlap in ((16, 0), (256, 250), (256, -1), (256, 200)):
        with pytest.raises(UserError, match="tile"):
            check_sizes(tile, overlap, 32)
    check_sizes(256, 192, 32)


def test_a_tile_cuts_its_rectangle():
    image = np.arange(200 * 100).reshape(200, 100)
    rows, columns = spans(200, 64, 8, 8), spans(100, 64, 8, 8)
    tile = Tile(rows[1], columns[-1])
    assert tile.cut(image).shape == (rows[1].stop - rows[1].start, 100 - columns[-1].start)
