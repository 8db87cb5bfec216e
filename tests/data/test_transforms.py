"""Augmentation: all layers alike, values by their formulas, nothing left to chance but the generator."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from skimage.filters import threshold_otsu

from data.photographs import Photographs
from data.regions import otsu_mask, otsu_masks, otsu_masks_of_bytes
from data.transforms import Augmentation, resized, scale_highlight, scale_light
from tests.tolerances import ROUNDED
from utils.errors import UserError
from utils.image_files import write_rgb


def _sample(height=12, width=16):
    generator = torch.Generator().manual_seed(0)
    diffuse = 0.5 * torch.rand(3, height, width, generator=generator)
    specular = 0.4 * torch.rand(1, height, width, generator=generator).expand(3, -1, -1).clone()
    mask = (specular[:1] > 0.2).float()
    return {"input": diffuse + specular, "diffuse": diffuse, "specular": specular, "mask": mask, "name": "x"}


@pytest.mark.parametrize(
    "augmentation",
    [{}, {"rotate": True}, {"crop": 8}, {"crop": 8, "rotate": True, "highlight_scaling": 0.5}],
)
def test_layers_stay_together(augmentation):
    augmentation = Augmentation(size=0, **augmentation)
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


# ---- photographs that are to come back as they are


def test_what_comes_in_is_what_is_to_come_out(tmp_path) -> None:
    rng = np.random.default_rng(0)
    write_rgb(tmp_path / "street" / "a.png", rng.random((90, 60, 3), dtype=np.float32))
    write_rgb(tmp_path / "page.png", rng.random((20, 40, 3), dtype=np.float32))
    photos = Photographs([str(tmp_path)], side=30, least=24)
    samples = {sample["name"].rsplit("/", 1)[1]: sample for sample in (photos[i] for i in range(len(photos)))}
    assert {name: tuple(s["input"].shape) for name, s in samples.items()} == {
        "a.png": (3, 45, 30),  # reduced to the short side
        "page.png": (3, 24, 48),  # enlarged to what a crop needs
    }
    for sample in samples.values():
        assert torch.equal(sample["input"], sample["diffuse"])
        assert not sample["specular"].any()
        assert sample["mask"].shape == sample["input"][:1].shape
        assert not sample["mask"].any()


def test_folders_without_pictures_are_named(tmp_path) -> None:
    with pytest.raises(UserError, match="holds no pictures"):
        Photographs([str(tmp_path)])
    with pytest.raises(UserError, match="no such folder"):
        Photographs([str(tmp_path / "none")])


# ---- otsu masks: agreement with scikit-image, two passes, layers without a highlight, batches


def blobs(seed: int, size: int = 48) -> np.ndarray:
    """A grey layer (H, W, 3): one bright and one faint Gaussian on zero."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    layer = np.zeros((size, size))
    for height in (0.9, 0.35):
        cy, cx = rng.uniform(10, size - 10, 2)
        layer += height * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * rng.uniform(3, 6) ** 2))
    return np.repeat(layer.clip(0, 1)[..., None], 3, 2).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("passes", [1, 2])
def test_agrees_with_scikit_image(seed: int, passes: int) -> None:
    layer = blobs(seed)
    level = rgb2lab(layer)[..., 0]
    expected = level > threshold_otsu(level)
    if passes == 2:
        expected = level > threshold_otsu(level[expected])
    # Thresholds of 256 bins: a bin's pixels may fall on either side.
    assert np.mean(otsu_mask(layer, passes) != expected) < 0.01


def test_second_pass_is_inside_the_first() -> None:
    one, two = otsu_mask(blobs(7), 1), otsu_mask(blobs(7), 2)
    assert two.any()
    assert (one & ~two).any()
    assert not (two & ~one).any()


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_a_constant_layer_has_no_highlight(value: float) -> None:
    assert not otsu_mask(np.full((9, 7, 3), value, np.float32)).any()


def test_a_two_valued_layer_keeps_its_upper_value_in_both_passes() -> None:
    layer = np.zeros((10, 10), np.float32)
    layer[2:5, 3:6] = 0.7
    for passes in (1, 2):
        assert np.array_equal(otsu_mask(layer, passes), layer > 0)


def test_grey_and_three_equal_channels_agree_and_batches_are_independent() -> None:
    layers = np.stack([blobs(seed) for seed in range(3)])
    batch = otsu_masks(torch.from_numpy(layers).permute(0, 3, 1, 2))[:, 0].numpy()
    for layer, mask in zip(layers, batch, strict=True):
        assert np.array_equal(otsu_mask(layer), mask)
        assert np.mean(otsu_mask(layer[..., 0]) != mask) < 0.002


def test_refuses_no_pass() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        otsu_mask(blobs(0), 0)


@pytest.mark.parametrize("passes", [1, 2])
def test_the_way_by_bytes_gives_the_same_masks(passes: int) -> None:
    layers = torch.from_numpy(np.stack([blobs(seed)[..., 0] for seed in range(4)])).unsqueeze(1)
    layers = (layers * 255).round() / 255
    layers[3] = 0
    assert torch.equal(otsu_masks_of_bytes(layers, passes), otsu_masks(layers, passes))
