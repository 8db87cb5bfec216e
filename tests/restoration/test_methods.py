"""Methods by name."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from classical import METHODS
from models import build_model
from restoration import HighlightRemover, MethodSpec
from restoration.methods import DEFAULT_WEIGHTS
from tests.tolerances import HALF_LEVEL
from utils.errors import UserError
from weights.model_files import save_model

_load = partial(HighlightRemover.from_pretrained, device="cpu")


def _picture(dtype=np.uint8):
    levels = np.random.default_rng(0).random((40, 48, 3)) * np.iinfo(dtype).max
    return levels.astype(dtype)


def test_input_changes_nothing():
    restored = _load("input")(_picture())
    assert np.array_equal(restored.diffuse, _picture())
    assert not restored.highlight.any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_classical_method_by_name(dtype):
    image = _picture(dtype)
    white = np.float32(np.iinfo(dtype).max)
    restored = _load("shen2013")(image)
    expected = METHODS["shen2013"](image.astype(np.float32) / white) * white
    assert np.abs(restored.diffuse - expected).max() <= HALF_LEVEL + white / 2**22  # of float32 values
    assert restored.highlight.shape == image.shape[:2]


def test_networks_by_weights(tmp_path):
    path = tmp_path / "lite.safetensors"
    save_model(build_model("aha-lite"), path)
    by_path, by_name = _load(str(path)), _load(f"aha-lite:{path}", tile=256)
    assert np.array_equal(by_path(_picture()).diffuse, by_name(_picture()).diffuse)
    assert by_name.tile.side == 256
    with pytest.raises(UserError, match="aha-lite"):
        _load(f"aha:{path}")
    with pytest.raises(UserError, match="TSHRNet"):
        _load(str(path), output="diffuse")


def test_tshrnet_gives_either_of_its_results(tmp_path):
    torch.manual_seed(0)
    save_model(build_model("tshrnet", width=4), tmp_path / "t.safetensors")
    results = [_load(str(tmp_path / "t.safetensors"), output=o)(_picture()) for o in ("diffuse", None)]
    assert not np.array_equal(results[0].diffuse, results[1].diffuse)
    for restored in results:
        assert (restored.highlight >= 0).all()
        untouched = restored.highlight == 0
        assert np.array_equal(restored.diffuse[untouched], _picture()[untouched])


def test_a_name_is_parsed_into_its_parts(tmp_path):
    path, odd = tmp_path / "w.safetensors", tmp_path / "w@2"
    for file in (path, odd):
        file.write_bytes(b"")
    expected = {
        "input": MethodSpec("input"), "shen2013": MethodSpec("shen2013"),
        f"aha:{path}": MethodSpec("aha", path), f"{path}@4": MethodSpec(None, path, 4),
        str(odd): MethodSpec(None, odd), "aha-lite": MethodSpec("aha-lite", DEFAULT_WEIGHTS),
        "nonsense@1": MethodSpec("nonsense", None, 1),
    }  # fmt: skip
    for text, spec in expected.items():
        assert MethodSpec.parse(text) == MethodSpec.parse(str(spec)) == spec


def test_a_method_chosen_by_options():
    shipped = MethodSpec("aha-lite", DEFAULT_WEIGHTS)
    assert MethodSpec.choose(None, None) == MethodSpec.choose("aha-lite", None) == shipped
    assert MethodSpec.choose("aha", "x.mdl", 2) == MethodSpec("aha", Path("x.mdl"), 2)
    assert MethodSpec.choose(None, "x.mdl") == MethodSpec(None, Path("x.mdl"))
    with pytest.raises(UserError, match="shen2013 takes no weights"):
        MethodSpec.choose("shen2013", "x.mdl")
    assert _load("aha-lite").network.spec.name == "aha-lite"


@pytest.mark.parametrize("spec", ["nonsense", "aha", "nowhere.safetensors", "aha:nowhere.mdl", ""])
def test_unknown_methods_are_a_sentence(spec):
    with pytest.raises(UserError):
        _load(spec)


def test_a_mistyped_name_gets_a_suggestion():
    with pytest.raises(UserError, match=r"'shen213' \(did you mean shen2013\?\): there are input"):
        _load("shen213")


def test_what_only_networks_have_is_refused_for_other_methods():
    with pytest.raises(UserError, match="one result"):
        _load("shen2013", output="diffuse")
    with pytest.raises(UserError, match="no method"):
        _load("shen2013@\u00b2")  # a digit, but no number
