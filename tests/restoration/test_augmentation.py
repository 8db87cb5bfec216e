"""Test-time augmentation: what a copy of a picture does not show is not removed."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from evaluation.methods import ScoredMethod, labels
from models import Separation, build_model
from restoration import HighlightRemover
from restoration.defaults import defaults_of
from tests.restoration.fakes import Dimmer
from tests.tolerances import ROUNDED
from utils.errors import UserError
from weights.model_files import save_model

_load = partial(HighlightRemover.from_pretrained, device="cpu")


class Finds(nn.Module):
    """Takes 0.25 away where `where(height, width)` (H, W) says so."""

    spec = Dimmer().spec
    defaults = Dimmer().defaults

    def __init__(self, where):
        super().__init__()
        self.where = where

    def forward(self, image):
        highlight = self.where(*image.shape[-2:]).float().expand(len(image), 1, -1, -1)
        specular = 0.25 * highlight.expand(-1, 3, -1, -1)
        return Separation(image - specular, specular, highlight)


def everywhere(height, width):
    return torch.ones(height, width)


def left_half(height, width):
    return (torch.arange(width) < width / 2).expand(height, width)


def large_only(height, width):
    return torch.full((height, width), float(height >= 64))


def _removed(where, copies, size=(80, 96)):
    image = np.full((*size, 3), 0.5, np.float32)
    restored = HighlightRemover(Finds(where), test_time_augmentation=copies)(image)
    assert np.array_equal(restored.highlight != 0, (image != restored.diffuse).all(axis=2))
    return (image - restored.diffuse).max()


@pytest.mark.parametrize(
    ("where", "removed"),
    [(everywhere, (0.25, 0.25, 0.25)), (left_half, (0.25, 0, 0)), (large_only, (0.25, 0.25, 0))],
)
def test_what_one_copy_does_not_show_stays(where, removed):
    assert tuple(_removed(where, copies) for copies in (1, 2, 4)) == pytest.approx(removed)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (33, 2)])
def test_any_size(size):
    assert _removed(everywhere, 4, size) == pytest.approx(0.25)


def test_the_geometric_mean_of_the_picture_and_its_mirror_image_is_removed():
    torch.manual_seed(0)
    network = build_model("aha-lite")
    image = np.random.default_rng(0).random((64, 96, 3)).astype(np.float32)
    one, two, four = (HighlightRemover(network, test_time_augmentation=copies)(image) for copies in (1, 2, 4))
    turned = HighlightRemover(network, test_time_augmentation=1)(image[:, ::-1].copy())
    mirrored = (image - turned.diffuse[:, ::-1]).clip(0)
    expected = np.sqrt((image - one.diffuse).clip(0) * mirrored)
    # The root of a product of layers that keep 1e-6 and may be zero, where its slope is infinite.
    map_of_both = np.sqrt(one.highlight * turned.highlight[:, ::-1])
    np.testing.assert_allclose(image - two.diffuse, expected, atol=1e-3)
    np.testing.assert_allclose(two.highlight, map_of_both, atol=1e-3)  # for the same reason
    for augmented in (two, four):
        assert (augmented.diffuse <= image).all()
        assert not np.array_equal(augmented.diffuse, one.diffuse)
    assert not np.array_equal(two.diffuse, four.diffuse)


def test_tiles_of_a_picture_see_the_same():
    image = np.full((200, 260, 3), 0.5, np.float32)
    restored = HighlightRemover(Finds(everywhere), test_time_augmentation=4, tile=96, tile_overlap=32)(image)
    np.testing.assert_allclose(restored.diffuse, 0.25, atol=ROUNDED)


def test_the_network_says_how_many_copies_are_usual():
    torch.manual_seed(0)
    network = build_model("aha-lite")
    assert defaults_of(network).tta_copies == 2
    assert defaults_of(build_model("aha-figure", trunk="small")).tta_copies == 1
    image = np.random.default_rng(0).random((64, 96, 3)).astype(np.float32)
    usual, one, two = (HighlightRemover(network, test_time_augmentation=n)(image) for n in (None, 1, 2))
    assert np.array_equal(usual.diffuse, two.diffuse)
    assert not np.array_equal(usual.diffuse, one.diffuse)


def test_the_released_protocol_is_augmented_only_where_that_is_asked_for():
    torch.manual_seed(0)
    network = build_model("aha-lite")
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    plain, one, four = (
        HighlightRemover(network, protocol="released", **options)(picture).diffuse
        for options in ({}, {"test_time_augmentation": 1}, {"test_time_augmentation": 4})
    )
    assert np.array_equal(plain, one)
    assert not np.array_equal(plain, four)


def test_refusals(tmp_path):
    with pytest.raises(UserError, match="takes 1, 2, 4 copies, not 3"):
        HighlightRemover(build_model("aha-lite"), test_time_augmentation=3)
    with pytest.raises(UserError, match="needs a highlight map, which shen2013"):
        _load("shen2013", test_time_augmentation=2)
    with pytest.raises(UserError, match="needs a highlight map, which tshrnet lacks"):
        HighlightRemover(build_model("tshrnet", width=2), test_time_augmentation=2)


def test_augmentation_in_the_name_of_a_method(tmp_path):
    torch.manual_seed(0)
    path, odd = tmp_path / "w.safetensors", tmp_path / "w@2"
    save_model(build_model("aha-lite"), path)
    odd.write_bytes(b"no weights")
    image = np.random.default_rng(0).random((32, 32, 3)).astype(np.float32)
    named, asked = _load(f"{path}@4")(image), _load(str(path), test_time_augmentation=4)(image)
    assert np.array_equal(named.diffuse, asked.diffuse)
    assert ScoredMethod.parse(f"{path}@4").weights == path
    assert ScoredMethod.parse(str(odd)).weights == odd
    assert labels([ScoredMethod.parse(text) for text in (str(path), f"{path}@4")]) == {
        str(path): "w.safetensors",
        f"{path}@4": "w.safetensors@4",
    }
    with pytest.raises(UserError, match="not 3"):
        _load(f"{path}@3")
