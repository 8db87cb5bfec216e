"""Tiles cover the picture, add up to one, and show no seams."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restoration import HighlightRemover, tiling
from restoration.tiling import (
    Tile,
    TileSize,
    blend,
    check_sizes,
    check_tile_memory,
    is_out_of_memory,
    smaller_tiles,
    spans,
)
from tests.restoration.fakes import Dimmer
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
    assert (strip.max(), strip.min()) == (1, 0)


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


# ---- memory that does not suffice: smaller tiles, or a sentence


def _limited(most):
    """A network that runs out of memory on pictures of more than `most` pixels, as a GPU does."""
    network = Dimmer(tile=128)
    forward = network.forward

    def limited(image):
        if image.shape[-1] * image.shape[-2] > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(image)

    network.forward = limited
    return network


@pytest.mark.parametrize(("most", "side"), [(64 * 64, 64), (32 * 32, 32)])
def test_tiles_are_halved_until_they_fit_and_that_is_said(most, side, monkeypatch):
    monkeypatch.setattr(tiling, "free_memory", lambda: 2**40)  # what this machine has is another matter
    image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    restored = HighlightRemover(_limited(most))(image)
    assert restored.notes == (f"memory was full: cut into tiles of {side} pixels",)
    whole = HighlightRemover(Dimmer(), tile=0)(image)
    assert restored.diffuse.shape == whole.diffuse.shape
    assert np.mean(restored.diffuse != whole.diffuse) < 0.1  # only around the cuts
    assert HighlightRemover(Dimmer())(image).notes == ()


def test_what_never_fits_is_raised():
    with pytest.raises(torch.OutOfMemoryError):
        HighlightRemover(_limited(10))(np.zeros((200, 300, 3), np.uint8))
    with pytest.raises(MemoryError):
        HighlightRemover(_raises(MemoryError()))(np.zeros((20, 30, 3), np.uint8))


def _raises(error):
    def function(_):
        raise error

    return function


def test_other_errors_are_not_taken_for_full_memory():
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    assert not is_out_of_memory(RuntimeError("shapes differ"))


def test_tiles_too_large_for_the_machine_are_refused_with_what_fits(monkeypatch):
    defaults = Dimmer(tile=64).defaults
    monkeypatch.setattr(tiling, "free_memory", lambda: 2**33)  # four times what its own tiles take
    check_tile_memory(TileSize(128, 32, 8), defaults, (1000, 1000), workers=2)
    with pytest.raises(UserError, match="choose at most 128"):
        check_tile_memory(TileSize(256, 32, 8), defaults, (1000, 1000), workers=2)
    check_tile_memory(TileSize(256, 32, 8), defaults, (100, 100), workers=2)  # a small picture needs less
    with pytest.raises(UserError, match=r"tiles of 1000 pixels need about .* GB"):
        HighlightRemover(Dimmer(tile=64), tile=0, workers=2)(np.zeros((1000, 1000, 3), np.uint8))


def test_tiles_are_cut_in_half_down_to_a_few_strides():
    defaults = Dimmer(tile=64).defaults
    assert smaller_tiles(TileSize(64, 16, 8), defaults, (300, 300)) == TileSize(32, 8, 8)
    assert smaller_tiles(TileSize(32, 8, 8), defaults, (300, 300)) is None
