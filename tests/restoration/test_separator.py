"""How networks are prepared and run: precision, tiles that are skipped, test-time augmentation."""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from evaluation.methods import ScoredMethod, labels
from models import Separation, build_model
from models.inference import FusedGatedConv2d
from restoration import HighlightRemover, separator
from restoration.composition import subtract_specular
from restoration.defaults import InferenceDefaults, defaults_of
from restoration.separator import ExactFP32, closeness, prepare
from tests.restoration.fakes import Dimmer, needs_bf16
from tests.tolerances import ONE_LEVEL, ROUNDED
from utils.devices import check_precision, computes_in_bf16
from utils.errors import UserError
from weights.model_files import save_model

CPU = torch.device("cpu")
SMALL = {"widths": (3, 6, 6), "trunk": "small", "trunk_channels": (4, 6, 8)}


def network(**changes):
    torch.manual_seed(0)
    return build_model("aha-figure", **SMALL, **changes)


@pytest.mark.parametrize(
    ("supported", "allowed", "decibels", "chosen"),
    [
        (True, True, 50.0, "bf16"), (True, True, 49.9, "fp32"), (True, True, math.nan, "fp32"),
        (True, False, 99.0, "fp32"), (False, True, 99.0, "fp32"),
    ],
)  # fmt: skip
def test_auto_is_bf16_where_the_device_has_it_and_the_network_is_close(
    monkeypatch, supported, allowed, decibels, chosen
):
    monkeypatch.setattr(separator, "computes_in_bf16", lambda _: supported)
    monkeypatch.setattr(separator, "check_precision", lambda *_: None)
    monkeypatch.setattr(separator, "closeness", lambda *_: decibels)
    model = network()
    model.defaults = InferenceDefaults(bf16=allowed)
    prepared, name = prepare(model, CPU, "auto")
    assert name == chosen
    wide = prepared.coarse.coarse2[0].both.weight.dtype
    assert wide == (torch.bfloat16 if chosen == "bf16" else torch.float32)


@needs_bf16
def test_closeness_is_a_psnr_and_nothing_removed_proves_nothing():
    exact, close = (prepare(network(), CPU, name)[0] for name in ("fp32", "bf16"))
    assert closeness(exact, exact, CPU) == math.inf
    assert 0 < closeness(exact, close, CPU) < math.inf
    blind = network()
    blind.HFE.bound = torch.zeros_like
    exact, close = (prepare(blind, CPU, name)[0] for name in ("fp32", "bf16"))
    assert closeness(exact, close, CPU) == 0


def test_other_devices_do_not_compute_in_bf16(monkeypatch):
    assert not computes_in_bf16(torch.device("meta"))
    x86 = {"architecture": "x86_64"}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: x86 | {"avx512_bf16": True}, raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert computes_in_bf16(CPU)
    check_precision("bf16", CPU)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert not computes_in_bf16(CPU)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: x86 | {"avx2": True}, raising=False)
    assert not computes_in_bf16(CPU)
    with pytest.raises(UserError, match=r"no instructions for bfloat16.*`precision=fp32`"):
        check_precision("bf16", CPU)


@needs_bf16
def test_maps_and_colours_stay_in_fp32_and_16_bits_survive_bf16():
    prepared, _ = prepare(network(), CPU, "bf16")
    for layer in prepared.modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.out_channels <= 3:
            assert layer.weight.dtype == torch.float32
        if isinstance(layer, FusedGatedConv2d):
            few = layer.both.out_channels <= 2 * 3
            assert (layer.both.weight.dtype == torch.float32) == few
    result = prepared(torch.rand(1, 3, 32, 32))
    assert {result.diffuse.dtype, result.highlight.dtype, result.specular.dtype} == {torch.float32}

    ramp = np.linspace(0, 65535, 64 * 64 * 3).astype(np.uint16).reshape(64, 64, 3)
    restored = HighlightRemover(network(), precision="bf16").restore(ramp)
    untouched = restored.highlight == 0
    assert np.array_equal(restored.diffuse[untouched], ramp[untouched])
    assert len(np.unique(restored.diffuse[~untouched])) > 2048


@needs_bf16
def test_the_network_stays_trainable_and_is_the_one_that_is_saved():
    model = network().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    remover = HighlightRemover(model, precision="bf16")
    remover.restore(np.zeros((40, 40, 3), np.uint8))
    assert remover.network is model
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_flags_of_cudnn_are_as_before_after_threads_that_overlap() -> None:
    """Entered and left in turn: with a context for each thread the second would restore the first one's."""
    exact = ExactFP32()
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        for thread, act in ((first, exact.__enter__), (second, exact.__enter__), (first, exact.__exit__)):
            thread.submit(act).result()
            assert not torch.backends.cudnn.allow_tf32
        second.submit(exact.__exit__).result()
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic) == before


# ---- tiles whose map can change no pixel are skipped: the pixels are the same


class Brightness(torch.nn.Module):
    """A map that follows the picture: below 0 where it is dark, as maps without bounds are."""

    def logits(self, image):
        return 0.5 * (image.mean(dim=1, keepdim=True) - 0.5)

    def bound(self, logits):
        return logits


def mapped():
    torch.manual_seed(0)
    model = build_model("aha-figure", **SMALL).eval()
    model.HFE = Brightness()
    return model


def ramp(dtype, channels=3):
    """60 x 500: dark in the left half, then slowly brighter, so that faint maps occur beside strong ones."""
    line = np.concatenate([np.full(250, 0.3), np.linspace(0.48, 0.52, 100), np.linspace(0.52, 1, 150)])
    grain = 0.01 * np.random.default_rng(0).random((60, 500, channels))
    picture = np.clip(line[None, :, None] + grain, 0, 1)
    picture = picture if channels == 3 else picture[..., 0]
    if np.dtype(dtype).kind == "f":
        return picture.astype(dtype)
    return np.rint(picture * np.iinfo(dtype).max).astype(dtype)


def counted(remover):
    """The crops that the rest of the network sees from now on."""
    seen = []
    remover.separator.network.coarse.register_forward_hook(lambda *_: seen.append(1))
    return seen


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strength": 1.5},
        {"test_time_augmentation": 2},
        {"test_time_augmentation": 4},
        pytest.param({"precision": "bf16"}, marks=needs_bf16),
    ],
)
def test_pixels_and_map_are_the_same_with_skipping_on_and_off(dtype, options):
    image = ramp(dtype)
    removers = [HighlightRemover(mapped(), tile=64, skip_tiles=skip, **options) for skip in (True, False)]
    seen = [counted(remover) for remover in removers]
    skipped, whole = (remover.restore(image) for remover in removers)
    assert 0 < len(seen[0]) < 0.7 * len(seen[1])
    assert np.array_equal(skipped.diffuse, whole.diffuse)
    assert np.array_equal(skipped.highlight, whole.highlight)
    assert not np.array_equal(skipped.diffuse, image)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("strength", [1.0, 1.5])
def test_no_map_below_the_threshold_can_change_a_pixel(dtype, strength):
    remover = HighlightRemover(mapped(), strength=strength)
    image = ramp(dtype)
    faintest = np.float32(remover._faintest(image, strength))
    # The most that a network can take away is A |I - N|, with I and N in [0, 1].
    for specular in (faintest, -faintest):
        layer = np.full((*image.shape[:2], 3), specular, np.float32) * np.float32(strength)
        changed = subtract_specular(image, layer, np.ones(image.shape[:2], np.float32))
        assert np.array_equal(changed, image)


def test_a_picture_without_highlights_costs_its_map_only():
    remover = HighlightRemover(mapped(), tile=64)
    seen = counted(remover)
    image = ramp(np.uint8)[:, :250]
    restored = remover.restore(image)
    assert np.array_equal(restored.diffuse, image)
    assert not restored.highlight.any()
    assert not seen


def test_of_a_batch_only_the_lit_crops_go_on():
    remover = HighlightRemover(mapped(), precision="fp32", tile=64)
    remover.separator.batch_size = 4  # as on an accelerator
    sizes = []
    remover.separator.network.coarse.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    image = ramp(np.uint8)
    restored = remover.restore(image)
    assert sizes
    assert min(sizes) < 4
    whole = HighlightRemover(mapped(), precision="fp32", tile=64, skip_tiles=False).restore(image)
    assert np.abs(restored.diffuse.astype(int) - whole.diffuse).max() <= ONE_LEVEL
    assert np.array_equal(restored.highlight, whole.highlight)


# ---- test-time augmentation: what a copy of a picture does not show is not removed


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
    short = labels([ScoredMethod.parse(text) for text in (str(path), f"{path}@4")])
    assert short == {str(path): "w.safetensors", f"{path}@4": "w.safetensors@4"}
    with pytest.raises(UserError, match="not 3"):
        _load(f"{path}@3")
