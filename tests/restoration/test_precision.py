"""When bf16 is chosen, what stays in fp32, and that a prepared network leaves the trainable one alone."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from models import build_model
from models.inference import FusedGatedConv2d
from restoration import HighlightRemover, separator
from restoration.defaults import InferenceDefaults
from restoration.separator import ExactFP32, closeness, prepare
from tests.restoration.fakes import needs_bf16
from utils.devices import check_precision, computes_in_bf16
from utils.errors import UserError

CPU = torch.device("cpu")
SMALL = {"widths": (3, 6, 6), "trunk": "small", "trunk_channels": (4, 6, 8)}


def network(**changes):
    torch.manual_seed(0)
    return build_model("aha-figure", **SMALL, **changes)


@pytest.mark.parametrize(
    ("supported", "allowed", "decibels", "chosen"),
    [
        (True, True, 50.0, "bf16"),
        (True, True, 49.9, "fp32"),
        (True, True, math.nan, "fp32"),
        (True, False, 99.0, "fp32"),
        (False, True, 99.0, "fp32"),
    ],
)
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
