"""Synthetic scenes: keys and ranges, dichromatic sums, determinism, hard negatives, GPU."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from synthetic import SceneOptions, SyntheticScenes, render_batch
from synthetic.compose import UNSEEN
from synthetic.generator import KEYS
from tests.tolerances import ROUNDED

SIZE = 48
ORDINARY = {"clipped_share": 0.0, "painted_share": 0.0, "sparkling_share": 0.0}


@pytest.fixture(scope="module")
def batch() -> dict:
    return render_batch(range(12), size=SIZE, seed=5)


def test_keys_shapes_and_ranges(batch: dict) -> None:
    for key in KEYS:
        values = batch[key]
        channels = 1 if key.endswith("mask") else 3
        assert values.shape == (12, channels, SIZE, SIZE), key
        assert values.dtype == torch.float32
        assert values.min() >= 0, key
        assert values.max() <= 1, key
        assert torch.allclose(values * 255, (values * 255).round(), atol=ROUNDED * 255), key
    assert len(set(batch["name"])) == 12


def test_display_composition_is_the_sum_with_one_grey_layer(batch: dict) -> None:
    assert torch.equal(batch["specular"][:, 0], batch["specular"][:, 1])
    assert torch.equal(batch["specular"][:, 0], batch["specular"][:, 2])
    total = (batch["diffuse"] + batch["specular"]).clamp_max(1)
    assert (batch["input"] - total).abs().max() < ROUNDED


def test_a_network_can_learn_on_scenes_of_its_own_process(batch: dict) -> None:
    weight = torch.ones(1, requires_grad=True)
    for layer in (batch["input"], SyntheticScenes(1, size=SIZE)[0]["input"]):
        (weight * layer).square().mean().backward()  # keeps the layer for the gradient
    assert weight.grad > 0


def test_linear_composition_has_coloured_highlights_and_never_less_light() -> None:
    linear = render_batch(range(12), size=SIZE, options=SceneOptions(composition="linear"))
    assert (linear["input"] >= linear["diffuse"] - ROUNDED).all()
    assert (linear["specular"][:, 0] - linear["specular"][:, 2]).abs().max() > 2 / 255


def test_diffuse_is_albedo_times_shading_where_nothing_blurs_or_adds_noise() -> None:
    plain = SceneOptions(blur=(0.0, 0.0), noise=(0.0, 0.0), jpeg_share=0.0)
    scenes = render_batch(range(8), size=SIZE, options=plain)
    product = scenes["albedo"] * scenes["shading"]
    # Three layers, each rounded to 8 bits: 0.5 of the diffuse one, 0.5 of each factor, and room for one more.
    assert (product - scenes["diffuse"]).abs().max() < 2.5 / 255


def test_no_highlight_where_none_is_wanted() -> None:
    scenes = render_batch(range(6), size=SIZE, options=SceneOptions(clean_share=1.0))
    assert torch.equal(scenes["input"], scenes["diffuse"])
    assert scenes["specular"].abs().max() == 0
    assert scenes["mask"].sum() == 0
    assert (scenes["tone_corrected"] - scenes["diffuse"]).abs().max() < 1.5 / 255  # one level


def test_veils_that_nobody_sees_are_left_out() -> None:
    options = SceneOptions(clean_share=0.0, matte_studio_share=0.0, peak=(0.0, 0.15), composition="mixed")
    scenes = render_batch(range(24), size=SIZE, options=options)
    strongest = scenes["specular"].amax((1, 2, 3))
    assert ((strongest == 0) | (strongest > UNSEEN)).all()
    unseen = strongest == 0
    assert unseen.any()
    assert not unseen.all()
    assert torch.equal(scenes["input"][unseen], scenes["diffuse"][unseen])


def test_studio_scenes_can_all_be_of_pale_and_matte_things() -> None:
    share = {"studio_share": 1.0, "close_up_share": 0.0, "matte_studio_share": 1.0} | ORDINARY
    pale = render_batch(range(24), size=SIZE, options=SceneOptions(pale_studio_share=1.0, **share))
    coloured = render_batch(range(24), size=SIZE, options=SceneOptions(pale_studio_share=0.0, **share))
    assert not pale["specular"].any()

    def saturation(scenes: dict) -> float:
        albedo = scenes["albedo"]
        return ((albedo.amax(1) - albedo.amin(1)) * scenes["object_mask"][:, 0]).mean().item()

    assert saturation(pale) < 0.8 * saturation(coloured)


def test_untouched_share_follows_the_options() -> None:
    options = SceneOptions(clean_share=0.0, untouched=(0.5, 0.5))
    share = (render_batch(range(8), size=SIZE, options=options)["specular"][:, 0] == 0).float().mean((1, 2))
    assert (share > 0.42).all()
    assert share.median() < 0.6


@pytest.mark.parametrize("composition", ["display", "mixed"])
def test_a_scene_does_not_depend_on_its_batch(composition: str) -> None:
    scenes = SyntheticScenes(50, size=SIZE, seed=3, options=SceneOptions(composition=composition))
    together = scenes.render([7, 30, 12])
    alone = scenes[12]
    for key in KEYS:
        assert torch.equal(alone[key], together[key][2]), key


def test_workers_and_order_do_not_matter() -> None:
    scenes = SyntheticScenes(6, size=32, seed=1)
    in_process = [scenes[i]["input"] for i in range(6)]
    loader = DataLoader(scenes, batch_size=4, num_workers=2)
    loaded = torch.cat([batch["input"] for batch in loader])
    assert torch.equal(torch.stack(in_process), loaded)


def test_seeds_and_indices_differ_and_ends_are_checked() -> None:
    one, other = SyntheticScenes(4, size=32, seed=0), SyntheticScenes(4, size=32, seed=1)
    assert not torch.equal(one[0]["input"], other[0]["input"])
    assert not torch.equal(one[0]["input"], one[1]["input"])
    assert torch.equal(one[-1]["input"], one[3]["input"])
    with pytest.raises(IndexError):
        one[4]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_repeats_itself_and_agrees_with_the_cpu() -> None:
    first, second = (render_batch(range(8), size=SIZE, device="cuda") for _ in range(2))
    host = render_batch(range(8), size=SIZE)
    for key in KEYS:
        assert torch.equal(first[key], second[key]), key
    assert np.median((first["input"].cpu() - host["input"]).abs().numpy()) < 1.5 / 255
