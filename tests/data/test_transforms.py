"""Augmentation: all layers alike, values by their formulas, nothing left to chance but the generator."""

import numpy as np
import pytest
import torch

from data.transforms import Augmentation, resized, scale_highlight, scale_light
from tests.tolerances import ROUNDED
from utils.errors import UserError


def _sample(height=12, width=16):
    generator = torch.Generator().manual_seed(0)
    diffuse = 0.5 * torch.rand(3, height, width, generator=generator)
    specular = 0.4 * torch.rand(1, height, width, generator=generator).expand(3, -1, -1).clone()
    mask = (specular[:1] > 0.2).float()
    return {"input": diffuse + specular, "diffuse": diffuse, "specular": specular, "mask": mask, "name": "x"}


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(size=0),
        Augmentation(size=0, rotate=True),
        Augmentation(size=0, crop=8),
        Augmentation(size=0, crop=8, rotate=True, highlight_scaling=0.5),
    ],
)
def test_layers_stay_together(augmentation):
    for seed in range(8):
        out = augmentation(_sample(), np.random.default_rng(seed))
        assert torch.allclose(out["input"], (out["diffuse"] + out["specular"]).clamp(0, 1), atol=ROUNDED)
        assert out["name"] == "x"
        again = augmentation(_sample(), np.random.default_rng(seed))
        assert all(torch.equal(out[key], again[key]) for key in out.keys() - {"name"})


def test_flips_and_turns_reach_all_eight_poses():
    poses = set()
    for seed in range(200):
        out = Augmentation(size=0, rotate=True)(_sample(4, 4), np.random.default_rng(seed))
        poses.add(tuple(out["input"].flatten().tolist()))
    assert len(poses) == 8


def test_highlights_are_scaled_by_the_formula():
    sample = _sample()
    out = scale_highlight(sample, 1.5)
    assert torch.allclose(out["input"], (sample["diffuse"] + 1.5 * sample["specular"]).clamp(0, 1))
    assert torch.equal(out["diffuse"], sample["diffuse"])
    bare = {key: sample[key] for key in ("input", "diffuse", "name")}
    assert torch.allclose(scale_highlight(bare, 1.5)["input"], out["input"], atol=ROUNDED)
    assert torch.allclose(scale_highlight(sample, 0.0)["input"], sample["diffuse"])


def test_light_scales_pictures_and_not_masks():
    out = scale_light(_sample(), (2.0, 1.0, 0.5))
    sample = _sample()
    assert torch.allclose(out["input"][0], (2 * sample["input"][0]).clamp(0, 1))
    assert torch.allclose(out["diffuse"][2], 0.5 * sample["diffuse"][2])
    assert torch.equal(out["mask"], sample["mask"])


def test_resizing():
    out = resized(_sample(), 8, 8)
    assert out["input"].shape == (3, 8, 8)
    assert set(out["mask"].unique().tolist()) <= {0.0, 1.0}
    constant = {"input": torch.full((3, 5, 9), 0.25), "diffuse": torch.full((3, 5, 9), 0.25), "name": "x"}
    assert torch.allclose(resized(constant, 7, 7)["input"], torch.tensor(0.25))
    square = resized(constant, 7, 7)
    assert resized(square, 7, 7) is square


def test_jitters_stay_in_range_and_move_both_pictures():
    augmentation = Augmentation(size=0, flips=False, exposure_jitter=1.0, temperature_jitter=0.2)
    sample = _sample()
    out = augmentation(sample, np.random.default_rng(1))
    assert out["input"].max() <= 1
    inside = out["input"] < 1
    ratio = out["input"] / sample["input"]
    # Quotients by values down to 1e-2.
    assert torch.allclose(ratio[inside], (out["diffuse"] / sample["diffuse"])[inside], atol=1e-4)


def test_a_changed_diffuse_gamma_keeps_a_white_highlight():
    generator = torch.Generator().manual_seed(0)
    diffuse = 0.1 + 0.5 * torch.rand(3, 8, 8, generator=generator)
    light = 0.3 * torch.rand(1, 8, 8, generator=generator)
    sample = {"input": diffuse + light, "diffuse": diffuse, "specular": light.expand(3, 8, 8), "name": "x"}
    augmentation = Augmentation(size=0, flips=False, diffuse_gamma_jitter=1.0)
    gammas = []
    for seed in range(20):
        out = augmentation(sample, np.random.default_rng(seed))
        gammas.append(float(out["diffuse"][0, 0, 0].log() / diffuse[0, 0, 0].log()))
        torch.testing.assert_close(out["diffuse"], diffuse ** gammas[-1])
        torch.testing.assert_close(out["specular"], (out["diffuse"] + light).clamp_max(1) - out["diffuse"])
        torch.testing.assert_close(out["input"], out["diffuse"] + out["specular"])
    assert 0.5 <= min(gammas) < 0.65
    assert 1.5 < max(gammas) <= 2


def test_a_crop_larger_than_the_picture_is_refused():
    with pytest.raises(UserError, match=r"x is 16x12, smaller than the crop of 14 pixels"):
        Augmentation(size=0, crop=14)(_sample(), np.random.default_rng(0))


def test_scale_jitter_shows_things_at_many_sizes_and_keeps_the_layers_together():
    y, x = np.mgrid[:64, :64].astype(np.float32) / 63
    ramp = torch.from_numpy(np.stack([x, y, x]))
    sample = {"input": ramp, "diffuse": 0.5 * ramp, "mask": (ramp[:1] > 0.5).float(), "name": "ramp"}
    change = Augmentation(size=0, crop=32, flips=False, scale_jitter=(0.25, 2.0))
    slopes = []
    for seed in range(40):
        changed = change(sample, np.random.default_rng(seed))
        assert changed["input"].shape == (3, 32, 32)
        torch.testing.assert_close(changed["diffuse"], 0.5 * changed["input"])
        assert set(changed["mask"].unique().tolist()) <= {0.0, 1.0}
        slopes.append(float(changed["input"][0, 16, 24] - changed["input"][0, 16, 8]) / 16 * 63)
    # A reduction by two shows the whole picture: the crop cannot show more.
    assert 1.9 < max(slopes) < 2.1
    assert 0.45 < min(slopes) < 0.6


def test_the_short_side_is_resized_with_the_ratio_kept():
    sample = _sample()
    height, width = sample["input"].shape[-2:]
    wide = {
        key: torch.cat([value, value[..., : width // 2]], dim=-1) if torch.is_tensor(value) else value
        for key, value in sample.items()
    }
    out = Augmentation(size=2 * height, resize="short_side", flips=False)(wide, np.random.default_rng(0))
    assert out["input"].shape[-2:] == (2 * height, 2 * (width + width // 2))
    assert out["mask"].shape[-2:] == out["input"].shape[-2:]


@pytest.mark.parametrize("kind", [{"noise": 20.0}, {"jpeg_quality": (10.0, 10.0)}])
def test_noise_and_jpeg_disturb_input_and_diffuse_picture_alike(kind):
    sample = _sample(16, 24)
    sample["specular"][:, :8] = 0
    sample["input"] = sample["diffuse"] + sample["specular"]
    changed = 0
    for seed in range(8):
        out = Augmentation(size=0, flips=False, **kind)(sample, np.random.default_rng(seed))
        changed += not torch.equal(out["input"], sample["input"])
        assert torch.equal(out["input"][:, :8], out["diffuse"][:, :8])  # still untouched, bit for bit
        apart = out["input"] - out["diffuse"]
        visible = out["diffuse"] > 0
        assert torch.allclose(apart[visible], sample["specular"][visible], atol=ROUNDED)
    assert changed >= 2
