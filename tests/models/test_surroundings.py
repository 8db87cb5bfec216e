"""Saturated pixels get the colour of what is around them, and nothing else changes."""

import pytest
import torch
import torch.nn.functional as F

from models.build import build_model
from models.surroundings import HEADROOM, fill, largest_around, luminance, with_surrounding_colours

ORANGE = torch.tensor([0.55, 0.3, 0.1]).view(1, 3, 1, 1)


def test_fill_keeps_what_has_weight_and_takes_the_mean_of_what_is_around() -> None:
    values = torch.rand(2, 3, 16, 16)
    weight = torch.ones(2, 1, 16, 16)
    assert torch.equal(fill(values, weight), values)
    plain = ORANGE.expand(1, 3, 21, 34).clone()
    plain[..., 5:16, 9:22] = torch.rand(1, 3, 11, 13)
    hole = torch.ones(1, 1, 21, 34)
    hole[..., 5:16, 9:22] = 0
    assert torch.allclose(fill(plain, hole), ORANGE.expand_as(plain), atol=1e-3)


def test_fill_prefers_what_is_near() -> None:
    values = torch.zeros(1, 1, 32, 64)
    values[..., 32:] = 1.0
    weight = torch.ones(1, 1, 32, 64)
    weight[..., 12:20, 4:12] = 0
    weight[..., 12:20, 52:60] = 0
    filled = fill(values, weight)
    assert filled[0, 0, 16, 8] < 0.1
    assert filled[0, 0, 16, 56] > 0.9


@pytest.mark.parametrize("reach", [1, 2, 4, 7])
def test_the_largest_value_around_is_that_of_a_pooling(reach: int) -> None:
    x = torch.rand(2, 1, 19, 30)
    assert torch.equal(largest_around(x, reach), F.max_pool2d(x, 2 * reach + 1, stride=1, padding=reach))


def test_a_clipped_highlight_gets_its_surroundings_colour_and_keeps_its_brightness() -> None:
    image = ORANGE.expand(1, 3, 40, 40).clone()
    image[..., 14:26, 14:26] = 1.0
    highlight = torch.zeros(1, 1, 40, 40)
    highlight[..., 14:26, 14:26] = 1.0
    content = torch.where(highlight > 0, torch.full((1, 3, 1, 1), 0.4), image)
    result = with_surrounding_colours(image, content, highlight, content)
    inside = result[..., 14:26, 14:26]
    assert torch.allclose(luminance(inside), torch.full((1, 1, 12, 12), 0.4), atol=1e-5)
    assert torch.allclose(
        inside / luminance(inside), (ORANGE / luminance(ORANGE)).expand_as(inside), atol=1e-3
    )
    assert torch.allclose(result[..., :14, :], content[..., :14, :], atol=1e-4)


def test_the_more_vivid_of_two_colours_wins() -> None:
    vivid = torch.tensor([0.5, 0.3, 0.05]).view(1, 3, 1, 1)
    image = torch.full((1, 3, 24, 24), 0.5)
    image[..., 8:16, 8:16] = 1.0
    highlight = (image[:, :1] == 1).float()
    content = torch.where(highlight > 0, vivid, image)
    result = with_surrounding_colours(image, content, highlight, content)
    assert torch.allclose(result, content, atol=1e-3)


def test_pixels_far_from_saturation_keep_their_colour() -> None:
    image = torch.rand(1, 3, 24, 24) * (254 / 255 - HEADROOM)
    content, highlight = image * 0.5, torch.ones(1, 1, 24, 24)
    assert torch.equal(with_surrounding_colours(image, content, highlight, content), content)


def test_the_surroundings_take_over_without_a_line() -> None:
    """An edge of the clipped region is no edge of the removed layer: the colour changes in small steps."""
    image = ORANGE.expand(1, 3, 64, 64).clone()
    image[..., 24:40, 24:40] = 1.0
    grey = torch.full_like(image, 0.4)  # what the network says inside its map
    highlight = torch.zeros(1, 1, 64, 64)
    highlight[..., 4:60, 4:60] = 1.0
    result = with_surrounding_colours(image, torch.lerp(image, grey, highlight), highlight, grey)
    chroma = result - luminance(result)
    assert chroma[..., 24:40, 24:40].abs().amin() > 0.04  # the surroundings' in all of the clipped region
    steps = chroma.diff(dim=-1).abs().amax(), chroma.diff(dim=-2).abs().amax()
    assert max(steps) < 0.25 * chroma.abs().amax()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (300, 3), (37, 53)])
def test_a_picture_that_is_clipped_all_over_keeps_the_network_s_colours(size: tuple[int, int]) -> None:
    white = torch.ones(1, 3, *size)
    content = ORANGE.expand_as(white)
    result = with_surrounding_colours(white, content, torch.ones(1, 1, *size), content)
    assert torch.allclose(result, content, atol=1e-4)


def test_aha_lite_takes_light_only_and_leaves_alone_what_its_map_leaves_out() -> None:
    model = build_model("aha-lite").eval()
    image = (torch.rand(2, 3, 70, 50) * 1.3).clamp(0, 1)
    with torch.no_grad():
        layers = model(image)
    assert (layers.specular >= 0).all()
    left_out = (layers.highlight == 0).expand_as(image)
    assert torch.equal(layers.diffuse[left_out], image[left_out])
