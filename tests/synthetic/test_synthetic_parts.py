"""Parts of the scene generator: draws, fields, shapes, tiles, folders, camera, targets, statistics."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from data.tone_correction import tone_correct
from synthetic import (
    AssetFolders,
    SceneOptions,
    SyntheticScenes,
    camera,
    compose,
    folders,
    forms,
    generator,
    highlights,
    procedural,
    shapes,
    tiles,
)
from synthetic.draws import Draws, pixel_noise
from synthetic.fields import Fields, draw_fields
from tests.tolerances import ONE_LEVEL, SUMMED
from utils.errors import UserError


def test_draws_depend_on_seed_scene_and_name_alone() -> None:
    together, alone = Draws(3, [5, 9, 2**40]), Draws(3, [9])
    assert np.array_equal(together.uniform("a", 4)[1], alone.uniform("a", 4)[0])
    assert not np.array_equal(alone.uniform("a", 4), alone.uniform("b", 4))
    assert not np.array_equal(alone.uniform("a", 4), Draws(4, [9]).uniform("a", 4))


def test_draws_have_their_distributions() -> None:
    draws = Draws(0, range(20000))
    uniform = draws.uniform("u", low=2, high=4)
    assert abs(uniform.mean() - 3) < 0.02
    assert abs(uniform.std() - 2 / 12**0.5) < 0.02
    assert abs(draws.normal("n").std() - 1) < 0.03
    shares = np.bincount(draws.choice("c", weights=(1, 2, 1)), minlength=3) / 20000
    assert np.allclose(shares, (0.25, 0.5, 0.25), atol=0.02)  # six standard deviations of 20,000 draws
    assert draws.integers("i", high=7).max() == 6


def test_noise_is_white_and_of_unit_variance() -> None:
    noise = pixel_noise(torch.tensor([3, 2**60 + 5]), 128, 128)
    assert noise.mean().abs() < 0.02
    assert (noise.std() - 1).abs() < 0.02
    neighbours = (noise[..., 1:] * noise[..., :-1]).mean()
    channels = (noise[:, 0] * noise[:, 1]).mean()
    assert neighbours.abs() < 0.02
    assert channels.abs() < 0.02


def test_slopes_of_fields_are_their_derivatives() -> None:
    drawn = draw_fields(Draws(1, [0, 1]), "f", np.full((2, 3), 4.0))
    field = Fields(drawn, 200, torch.device("cpu"))
    value, (along_x, along_y) = field.value(), field.slopes()
    step = 2 / 200
    central_x = (value[..., 2:] - value[..., :-2]) / (2 * step)
    central_y = (value[..., :-2, :] - value[..., 2:, :]) / (2 * step)
    # Central differences err by the third derivative times the step squared: a tenth of these slopes.
    assert (central_x - along_x[..., 1:-1]).abs().max() < 0.1
    assert (central_y - along_y[..., 1:-1, :]).abs().max() < 0.1


SURFACE = 1e-3
"""Roots and quotients of float32 values of which the smallest is about 1e-3: 6e-8 / 1e-3, ten times over."""


def sphere_like(form: int) -> torch.Tensor:
    rows = {
        shapes.SOLID: (2, 2, 2, 1, 0, 0, 1, 3, 0),
        shapes.ROUND: (0.1, 0.8, 0.5, 0.866, 0, 0.5),
        shapes.BOX: (0.6, 0.5, 0.7, 0.48, 0.877, 0.39, 0.92, 20),
        shapes.DISH: (0.5, 0.866, 0.4, 2, 0.6, 0.3, 0),
        shapes.LIMBS: tuple(forms.form_parameters(Draws(3, [0]), 1, SceneOptions())[shapes.LIMBS][0, 0]),
    }
    row = rows[form]
    return torch.tensor([(*row, *([0.0] * (shapes.PARAMETERS - len(row))))])[..., None, None]


@pytest.mark.parametrize("form", list(shapes.FORMS))
def test_normals_are_unit_vectors_and_objects_stay_in_reach(form: int) -> None:
    axis = torch.linspace(-2.5, 2.5, 151)
    u, v = axis.view(1, 1, -1).expand(1, 151, 151), -axis.view(1, -1, 1).expand(1, 151, 151)
    parameters = sphere_like(form)
    hit = shapes.FORMS[form](u, v, parameters)
    length = sum(n * n for n in hit.normal)
    assert hit.inside.any()
    assert torch.allclose(length[hit.inside], torch.ones(()), atol=SURFACE)
    assert hit.normal[2][hit.inside].min() > -0.4
    reach = shapes.reach(form, parameters[..., 0, 0].numpy())[0]
    assert (u * u + v * v)[hit.inside].max().sqrt() <= reach * 1.05


def test_a_sphere_has_a_sphere_s_normals() -> None:
    axis = torch.linspace(-0.7, 0.7, 41)
    u, v = axis.view(1, 1, -1).expand(1, 41, 41), axis.view(1, -1, 1).expand(1, 41, 41)
    nx, ny, nz = shapes.solid(u, v, sphere_like(shapes.SOLID)).normal
    inside = u * u + v * v < 0.9  # away from the rim, where the root magnifies roundings
    for ours, exact in ((nx, u), (ny, v), (nz, (1 - u * u - v * v).sqrt())):
        assert torch.allclose(ours[inside], exact[inside], atol=SURFACE)


def test_a_limb_s_normals_are_its_slopes_and_two_balls_in_one_place_a_sphere() -> None:
    axis = torch.linspace(-1.0, 1.0, 401)
    u, v = axis.view(1, 1, -1).expand(1, 401, 401), -axis.view(1, -1, 1).expand(1, 401, 401)
    balls = torch.zeros(1, shapes.NODES, 4)
    balls[..., 3] = 0.5
    ball = shapes.limbs(u, v, balls.flatten(1)[..., None, None])
    middle = u * u + v * v < 0.2
    assert torch.allclose(ball.normal[0][middle], u[middle] / 0.5, atol=SURFACE)
    assert torch.allclose(ball.height[middle], (0.25 - u * u - v * v)[middle].sqrt(), atol=SURFACE / 10)
    # One tapering limb that comes towards the viewer.
    balls[:, 0] = torch.tensor([-0.6, -0.2, -0.1, 0.3])
    balls[:, 1:] = torch.tensor([0.5, 0.3, 0.3, 0.12])
    limb = shapes.limbs(u, v, balls.flatten(1)[..., None, None])
    step = 2 / 400
    slope = (limb.height[:, 1:-1, 2:] - limb.height[:, 1:-1, :-2]) / (2 * step)
    nx, _, nz = (part[:, 1:-1, 1:-1] for part in limb.normal)
    facing = limb.inside[:, 1:-1, 1:-1] & (nz > 0.5)
    assert facing.sum() > 1000
    assert ((-nx / nz - slope)[facing].abs() < 0.05).float().mean() > 0.98


def test_tiles_are_read_bilinearly_and_wrap() -> None:
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 256, (3, 3, 8, 8), dtype=np.uint8)
    packed = torch.from_numpy(tiles.pack(stack))
    s = torch.tensor([[[2 / 8, 2.5 / 8, 1 + 2 / 8, 7.5 / 8]]])
    t = torch.tensor([[[-3 / 8, -3 / 8, 5 / 8, -3 / 8]]])
    ((red, green, blue),) = tiles.sample(((packed, torch.full((1, 1, 4), 2)),), 8, s, t)
    row = stack[2, :, 3].astype(np.float32)
    expected = np.stack([row[:, 2], (row[:, 2] + row[:, 3]) / 2, row[:, 2], (row[:, 7] + row[:, 0]) / 2])
    assert np.allclose(torch.stack([red, green, blue], -1)[0, 0], expected, atol=SUMMED * 255)
    assert np.allclose(tiles.means(tiles.pack(stack), 8), stack.mean((2, 3)) / 255, atol=SUMMED)


def test_whole_batches_agree_with_single_scenes() -> None:
    """The way of a GPU, which renders a batch at once, on the CPU."""
    data = SyntheticScenes(8, size=40, seed=2, options=SceneOptions(composition="mixed"))
    plan = generator.plan_scenes(range(8), data.seed, data.options, data.banks)
    together = generator.render_plan(plan, 40, data.options.mask_passes, torch.device("cpu"), data.banks)
    alone = data.render(range(8))
    for key in generator.KEYS:
        difference = (together[key] - alone[key]).abs()
        # A last bit may tip a JPEG coefficient, which changes its block by a few levels.
        assert (difference > 1.5 / 255).float().mean() < 0.01, key


def test_highlights_are_held_to_their_extent() -> None:
    raw = torch.full((2, 1, 64, 64), 1e-7)
    raw[:, :, :, :24] = 0.7  # a veil over three eighths
    raw[:, :, 20:28, 8:16] = 1.0
    veiled, free = highlights.confine(raw, torch.tensor([0.05, 1.0]).view(2, 1, 1, 1))
    assert torch.equal(free, raw[1])
    assert veiled[0, 0, 0] / veiled[0, 24, 12] < 0.8 * 0.7
    assert veiled[0, 24, 12] > 0.7
    ramp = torch.linspace(1e-7, 1, 4096).view(1, 1, 64, 64)
    held = highlights.confine(ramp, torch.full((1, 1, 1, 1), 0.1)).flatten()
    assert (held.diff() >= 0).all()
    assert held[2048] < 0.5 * ramp.flatten()[2048]
    assert (held > 0.5).float().mean() < 0.25


def test_jpeg_matches_a_real_one() -> None:
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.random((40, 56, 3)), (0, 0), 2).astype(np.float32)
    picture = (picture - picture.min()) / np.ptp(picture)
    ours = camera.jpeg(torch.from_numpy(picture).permute(2, 0, 1)[None], torch.tensor([80.0]))[0]
    flags = [cv2.IMWRITE_JPEG_QUALITY, 80]
    flags += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, encoded = cv2.imencode(".jpg", (picture[..., ::-1] * 255).round().astype(np.uint8), flags)
    theirs = cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1] / 255
    # The real one computes in integers: a level or two (0.004 to 0.008), as coefficients round.
    assert np.abs(ours.permute(1, 2, 0).numpy() - theirs).mean() < 0.006


def test_tone_correction_is_that_of_the_data_sets() -> None:
    rng = np.random.default_rng(1)
    diffuse = rng.integers(0, 200, (30, 34, 3)).astype(np.uint8)
    mask = rng.random((30, 34)) < 0.3
    tone = np.array([[1.1, 0, 0.1], [0, 0.9, 0], [0, 0.1, 0.8]])
    tinted = np.clip(diffuse @ tone + 6, 0, 255).astype(np.uint8)

    def tensor(image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]

    ours = compose.tone_correct(tensor(diffuse), tensor(tinted), torch.from_numpy(mask).float()[None, None])
    theirs = tone_correct(diffuse, tinted, mask)
    # Two fits of one tone, solved in float32 and in float64: a level may round either way.
    assert np.abs(ours[0].permute(1, 2, 0).numpy() * 255 - theirs).max() <= ONE_LEVEL + 0.01


def test_user_folders_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(procedural, "albedo_tiles", lambda: np.zeros((2, 3, 256, 256), np.uint8))
    rng = np.random.default_rng(0)
    for folder in ("textures", "photos", "materials", "envmaps"):
        (tmp_path / folder).mkdir()
    picture = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    for path in ("textures/a.png", "photos/b.jpg", "materials/m_albedo.png", "materials/m_normal.png"):
        cv2.imwrite(str(tmp_path / path), picture)
    np.savez(tmp_path / "envmaps" / "e.npz", rgb=rng.random((16, 32, 3)).astype(np.float16))
    given = {name: [str(tmp_path / name)] for name in ("textures", "photos", "materials", "envmaps")}
    options = SceneOptions(photo_share=1.0, texture_share=1.0)
    data = SyntheticScenes(4, size=32, folders=AssetFolders(**given), options=options)
    banks = data.banks
    assert banks.albedo_count == banks.procedural_albedos + 2
    assert banks.relief_count == banks.procedural_reliefs + 1
    assert banks.albedo_relief[banks.procedural_albedos] == banks.procedural_reliefs
    assert len(banks.photos) == 1
    assert len(banks.environments) == banks.procedural_environments + 1
    assert data[0]["input"].shape == (3, 32, 32)


def test_banks_of_changed_files_are_rebuilt_and_old_ones_kept_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = tmp_path / "a.png"

    def bank(content: bytes) -> np.ndarray:
        source.write_bytes(content)
        return folders.cached("albedo", [source], lambda: np.array([len(content)]))

    assert bank(b"1") == 1
    folders.cached("albedo", [source], lambda: pytest.fail("built again"))
    first = set(folders.cache_folder().iterdir())
    assert bank(b"22") == 2
    assert first < set(folders.cache_folder().iterdir())
    for path in folders.cache_folder().iterdir():
        os.utime(path, (0, 0))
    assert (bank(b"333"), len(list(folders.cache_folder().iterdir()))) == (3, 1)


def test_patterns_and_single_files_are_taken(tmp_path: Path) -> None:
    for name in ("paper1.png", "paper2.png", "foil1.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((32, 32, 3), np.uint8))
    matte = folders.pictures(folders.resolved(tmp_path / "paper*"))
    assert [path.name for path in matte] == ["paper1.png", "paper2.png"]
    assert folders.pictures(folders.resolved(matte)) == matte  # as a shell spells the pattern out
    with pytest.raises(UserError, match="no_such"):
        folders.resolved(tmp_path / "no_such" / "paper*")
    with pytest.raises(UserError, match="holds no pictures"):
        folders.pictures(folders.resolved(tmp_path / "wood*"))


def test_bad_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no_such"):
        SyntheticScenes(1, folders=AssetFolders(textures=[str(tmp_path / "no_such")]))
    with pytest.raises(UserError, match="holds no pictures"):
        SyntheticScenes(1, folders=AssetFolders(photos=[str(tmp_path)]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"clean_share": 1.5}, {"peak": (0.5, 0.1)}, {"composition": "additive"}, {"mask_passes": 0},
        {"extent": (0.0, 0.1)},
    ],
)  # fmt: skip
def test_wrong_options_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SceneOptions(**wrong)
