"""Memory that does not suffice: smaller tiles, or a sentence."""

import numpy as np
import pytest
import torch

from restoration import HighlightRemover, tiling
from restoration.tiling import TileSize, check_tile_memory, is_out_of_memory, smaller_tiles
from tests.restoration.fakes import Dimmer
from utils.errors import UserError


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
