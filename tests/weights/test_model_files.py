"""Weights in files: round trips, the authors' format, and files that must be refused."""

import os
import pickle

import pytest
import torch

from models import build_model
from utils.errors import UserError
from weights.model_files import load_model, read_metadata, save_model


@pytest.fixture(scope="module")
def lite():
    torch.manual_seed(0)
    return build_model("aha-lite", widths=(4, 6, 8), trunk_channels=(4, 6, 8)).eval()


@pytest.fixture(scope="module")
def released_state():
    state = build_model("aha").state_dict()
    return {name: value for name, value in state.items() if "attention_projection" not in name}


class _RunsCode:
    def __reduce__(self):
        return os.system, ("touch /tmp/specular-code-was-run",)


def test_round_trip(lite, tmp_path):
    save_model(lite, tmp_path / "a.safetensors", training={"steps": 7})
    loaded = load_model(tmp_path / "a.safetensors")
    image = torch.rand(1, 3, 20, 20)
    with torch.inference_mode():
        assert torch.equal(lite(image).diffuse, loaded(image).diffuse)
    assert not loaded.training
    assert read_metadata(tmp_path / "a.safetensors")["training"] == {"steps": 7}
    save_model(lite, tmp_path / "h.safetensors", half=True)
    half = load_model(tmp_path / "h.safetensors")
    assert all(v.dtype == torch.float32 for v in half.state_dict().values() if v.is_floating_point())
    assert (tmp_path / "h.safetensors").stat().st_size < 0.75 * (tmp_path / "a.safetensors").stat().st_size


def test_a_file_older_than_a_hyper_parameter_is_what_it_was_then(tmp_path):
    plain = build_model("aha-lite", widths=(4, 6, 8), trunk_channels=(4, 6, 8), residual=False).eval()
    del plain.spec.hyperparameters["residual"]
    save_model(plain, tmp_path / "old.safetensors")
    loaded = load_model(tmp_path / "old.safetensors")
    image = torch.rand(1, 3, 20, 20)
    with torch.inference_mode():
        assert torch.equal(plain(image).diffuse, loaded(image).diffuse)


@pytest.mark.parametrize(("prefix", "bare"), [("", True), ("module.", False)])
def test_authors_files(released_state, tmp_path, prefix, bare):
    state = {prefix + name: value for name, value in released_state.items()}
    torch.save(
        state if bare else {"epoch": 1, "model": state, "optimizer": {"state": {}}}, tmp_path / "N.mdl"
    )
    first, second = load_model(tmp_path / "N.mdl"), load_model(tmp_path / "N.mdl")
    for name, value in released_state.items():
        assert torch.equal(first.state_dict()[name], value)
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value)


def test_projection_of_the_file_is_used(released_state, tmp_path):
    projection = {
        "attention_projection.weight": torch.full((3, 192, 3, 3), 0.5),
        "attention_projection.bias": torch.zeros(192),
    }
    torch.save(released_state | projection, tmp_path / "N.mdl")
    assert (load_model(tmp_path / "N.mdl").refine.attention_projection.weight == 0.5).all()


@pytest.mark.parametrize("protocol", [2, 4])
def test_code_is_refused(tmp_path, protocol):
    torch.save({"model": _RunsCode()}, tmp_path / "a.mdl")
    (tmp_path / "b.mdl").write_bytes(pickle.dumps(_RunsCode(), protocol))
    for name in ("a.mdl", "b.mdl"):
        with pytest.raises(UserError, match="run code"):
            load_model(tmp_path / name)
    assert not os.path.exists("/tmp/specular-code-was-run")


def test_broken_files(lite, released_state, tmp_path):
    save_model(lite, tmp_path / "a.safetensors")
    torch.save(released_state, tmp_path / "a.mdl")
    for name in ("a.safetensors", "a.mdl"):
        whole = (tmp_path / name).read_bytes()
        for size in (0, 100, len(whole) // 2):
            (tmp_path / name).write_bytes(whole[:size])
            with pytest.raises(UserError, match=name):
                load_model(tmp_path / name)
    with pytest.raises(UserError, match="no such weight file"):
        load_model(tmp_path / "missing.safetensors")
    with pytest.raises(UserError, match="UNet1_60"):
        load_model(tmp_path)


def test_other_networks_are_named(lite, released_state, tmp_path):
    torch.save(build_model("aha-figure").state_dict(), tmp_path / "f.pth")
    with pytest.raises(UserError, match=r"missing.*It looks like aha-figure"):
        load_model(tmp_path / "f.pth")
    assert load_model(tmp_path / "f.pth", name="aha-figure").spec.name == "aha-figure"
    save_model(lite, tmp_path / "l.safetensors")
    with pytest.raises(UserError, match="aha-lite, not of aha"):
        load_model(tmp_path / "l.safetensors", name="aha")

    fewer = {name: value for name, value in released_state.items() if not name.startswith("coarse.coarse1.0")}
    torch.save(fewer, tmp_path / "m.mdl")
    with pytest.raises(UserError, match=r"4 entries missing.*coarse\.coarse1\.0\.conv"):
        load_model(tmp_path / "m.mdl")
    torch.save(released_state | {"conv_P1.0.conv.bias": torch.zeros(7)}, tmp_path / "s.mdl")
    with pytest.raises(UserError, match=r"conv_P1\.0\.conv\.bias \(7,\) instead of \(48,\)"):
        load_model(tmp_path / "s.mdl")
    torch.save(released_state | {"conv_P1.0.conv.bias": torch.full((48,), torch.nan)}, tmp_path / "n.mdl")
    with pytest.raises(UserError, match="not finite"):
        load_model(tmp_path / "n.mdl")
