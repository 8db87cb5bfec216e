"""Weights on their way into savedmodel/."""

import pytest
import torch
from safetensors import safe_open

from models import build_model
from training import ship
from utils.checkpoint import load_model, read_metadata, save_model
from utils.errors import UserError


def _ship(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["ship", *map(str, arguments)])
    return ship.main()


def test_weights_are_halved_and_keep_their_story(tmp_path, monkeypatch):
    network = build_model("aha-lite", widths=(4, 4, 8), trunk_channels=(4, 8, 8), bounded=True)
    source, target = tmp_path / "last.safetensors", tmp_path / "savedmodel" / "mine.safetensors"
    save_model(network, source, training={"steps": 7})
    assert _ship(monkeypatch, source, target) == 0
    with safe_open(target, "pt") as file:
        assert file.get_tensor("HFE.scores1.weight").dtype == torch.float16
    assert read_metadata(target)["training"] == {"steps": 7}
    shipped = load_model(target)
    assert shipped.spec.hyperparameters["bounded"]
    for name, value in network.state_dict().items():
        torch.testing.assert_close(shipped.state_dict()[name], value, rtol=1e-3, atol=1e-6)


def test_other_names_are_refused(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"ends in \.safetensors"):
        _ship(monkeypatch, tmp_path / "last.safetensors", tmp_path / "weights.pt")
