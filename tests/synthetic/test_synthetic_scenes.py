"""Synthetic scenes: keys and ranges, dichromatic sums, determinism, hard negatives, GPU."""

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from synthetic import SceneOptions, SyntheticScenes, geometry, render_batch, shapes
from synthetic.compose import UNSEEN
from synthetic.draws import Draws
from synthetic.generator import KEYS
from synthetic.kinds import CLIPPED, ORDINARY, PAINTED, SPARKLING, draw_kinds
from tests.tolerances import ROUNDED

SIZE = 48
SHARES = ("clipped_share", "painted_share", "sparkling_share")


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
    assert scenes["specular"].abs().max() == scenes["mask"].sum() == 0
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
    share = {"studio_share": 1.0, "close_up_share": 0.0, "matte_studio_share": 1.0}
    share |= dict.fromkeys(SHARES, 0.0)
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


# ---- clipped, painted and sparkling scenes are what their names say, and leave the ordinary ones as they are


def scenes_of(share: str | None, count: int = 16, **more: object) -> dict:
    shares = {name: float(name == share) for name in SHARES}
    options = SceneOptions(clean_share=0.0, jpeg_share=0.0, **shares, **more)
    return render_batch(range(count), size=2 * SIZE, seed=9, options=options)


def largest_blob(mask: torch.Tensor) -> float:
    """Share of the picture that the largest connected part of a bool (H, W) mask covers."""
    _, _, parts, _ = cv2.connectedComponentsWithStats(mask.numpy().astype(np.uint8))
    return float(parts[1:, cv2.CC_STAT_AREA].max(initial=0)) / mask.numel()


@pytest.mark.parametrize("composition", ["display", "linear"])
def test_clipped_highlights_burn_every_channel_over_blobs_on_vivid_ground(composition: str) -> None:
    clipped = scenes_of("clipped_share", composition=composition)
    burnt = (clipped["input"].amin(1) >= 1) & (clipped["diffuse"].amin(1) < 1)
    blobs = [largest_blob(mask) for mask in burnt]
    # A disc of 10 of 256 pixels across covers 0.12 % of the picture.
    assert np.median(blobs) > 0.0012
    assert max(blobs) < 0.3
    under = clipped["diffuse"].permute(0, 2, 3, 1)[burnt]
    spread = under.amax(1) - under.amin(1)
    assert spread.median() > 0.15
    ordinary = scenes_of(None, composition=composition)
    lost = ((ordinary["input"].amin(1) >= 1) & (ordinary["diffuse"].amin(1) < 1)).float().mean((1, 2))
    assert burnt.float().mean() > 3 * lost.mean()


def test_clipped_highlights_have_soft_shoulders() -> None:
    clipped = scenes_of("clipped_share")
    specular = clipped["specular"][:, 0]
    burnt = (specular >= 0.95).sum((1, 2))
    shoulder = ((specular > 0.1) & (specular < 0.95)).sum((1, 2))
    assert ((shoulder > burnt) | (burnt == 0)).float().mean() > 0.7


def test_painted_scenes_are_bright_and_have_no_highlight_or_a_faint_one() -> None:
    painted = scenes_of("painted_share", count=32)
    strongest = painted["specular"].amax((1, 2, 3))
    assert 0.5 < (strongest == 0).float().mean() < 0.95
    assert strongest.max() < 0.6
    brightest = painted["input"].mean(1).flatten(1).quantile(0.98, 1)
    assert brightest.median() > 0.6


def test_sparkling_scenes_have_many_small_highlights() -> None:
    def blobs(scenes: dict) -> float:
        masks = (scenes["specular"][:, 0] > 0.25).numpy().astype(np.uint8)
        return float(np.median([cv2.connectedComponents(mask)[0] - 1 for mask in masks]))

    sparkling, ordinary = scenes_of("sparkling_share"), scenes_of(None)
    assert blobs(sparkling) >= 8
    assert blobs(sparkling) > 2 * blobs(ordinary)


def test_variants_follow_their_shares_and_leave_the_ordinary_scenes_alone() -> None:
    options = SceneOptions()
    variants = draw_kinds(Draws(3, range(20000)), options, have_photos=False).variant
    shares = np.bincount(variants, minlength=4) / len(variants)
    wanted = [getattr(options, share) for share in SHARES]
    # Of 20,000 draws a share strays by 0.0035 at most (one standard deviation); the draws are numpy's.
    assert np.allclose(shares[[CLIPPED, PAINTED, SPARKLING]], wanted, atol=0.02)
    ordinary = np.flatnonzero(variants[:12] == ORDINARY)
    plain = SceneOptions(**dict.fromkeys(SHARES, 0.0))
    one, other = (render_batch(ordinary, size=48, seed=3, options=chosen) for chosen in (options, plain))
    assert torch.equal(one["input"], other["input"])
    assert torch.equal(one["diffuse"], other["diffuse"])


@pytest.mark.parametrize("wrong", [{"clipped_extent": (0.0, 0.1)}, {"painted_share": 0.9}])
def test_wrong_shares_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SceneOptions(**wrong)


def test_figurines_come_by_their_share_alone() -> None:
    plain = objects_of(SceneOptions())
    some = objects_of(SceneOptions(figurine_share=0.3))
    found = some.form == shapes.LIMBS
    assert not (plain.form == shapes.LIMBS).any()
    assert 0.2 < found.mean() < 0.4
    assert (some.form == plain.form)[~found].all()
    assert (some.parameters == plain.parameters)[~found].all()


def test_film_gleams_over_more_of_the_picture_and_leaves_the_diffuse_layer() -> None:
    plain, film = scenes_of("clipped_share"), scenes_of("clipped_share", film_share=1.0)
    assert torch.equal(plain["diffuse"], film["diffuse"])
    lit = [(scenes["specular"].amax(1) > 0.25).float().mean((1, 2)) for scenes in (plain, film)]
    assert lit[1].median() > 1.5 * lit[0].median()
    assert lit[1].max() < 0.6


def test_painted_scenes_have_no_film() -> None:
    options = SceneOptions(film_share=1.0, painted_share=0.5)
    kinds = draw_kinds(Draws(3, range(500)), options, have_photos=False)
    assert (kinds.film == (kinds.variant != PAINTED)).all()
    assert 0.3 < kinds.film.mean() < 0.7


def test_rims_change_colours_at_edges_alone() -> None:
    plain, rimmed = scenes_of(None), scenes_of(None, rim_share=1.0)
    assert torch.equal(plain["object_mask"], rimmed["object_mask"])
    changed = (plain["albedo"] - rimmed["albedo"]).abs().amax(1) > 0.1
    objects = plain["object_mask"][:, 0] > 0
    assert 0.02 < changed[objects].float().mean() < 0.5


def test_ridged_bodies_have_light_crests_and_dark_gaps() -> None:
    axis = (torch.arange(201) - 100) / 100
    u, v = axis.view(1, 1, -1).expand(1, 201, 201), -axis.view(1, -1, 1).expand(1, 201, 201)
    parameters = torch.zeros(1, shapes.PARAMETERS, 1, 1)
    elevation = torch.tensor(0.2)
    columns = (0.0, 0.8, elevation.sin(), elevation.cos(), 0.0, 0.0, 8.0, 1.0, 0.9)
    for number, value in enumerate(columns):
        parameters[:, number] = value
    hit = shapes.round_body(u, v, parameters)
    middle = hit.inside[0, :, 100] & (v[0, :, 100].abs() < 0.7)
    rim, shade = hit.rim[0, middle, 100], hit.shade[0, middle, 100]
    crests = ((rim[1:-1] > rim[:-2]) & (rim[1:-1] >= rim[2:])).sum()
    assert 6 <= crests <= 8
    assert shade.min() < 0.3
    assert (shade[rim > 0.2] == 1).all()


def test_overexposed_scenes_clip_without_a_highlight() -> None:
    def clipped_diffuse(share: float) -> torch.Tensor:
        scenes = scenes_of(None, overexposed_share=share, pale_share=1.0, studio_share=0.0)
        return (scenes["diffuse"].amin(1) >= 1).float().mean((1, 2))

    assert clipped_diffuse(1.0).mean() > 5 * clipped_diffuse(0.0).mean()
    assert clipped_diffuse(1.0).mean() > 0.05


def objects_of(options: SceneOptions) -> geometry.ObjectPlan:
    draws = Draws(5, range(64))
    return geometry.draw_objects(draws, draw_kinds(draws, options, have_photos=False), options)
