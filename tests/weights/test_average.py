"""One weight file from several."""

import pytest
import torch
from safetensors import safe_open

from models import build_model
from tests.tolerances import FP16, ROUNDED
from utils.errors import UserError
from weights import average
from weights.model_files import load_model, read_metadata, save_model


def _average(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["average", *map(str, arguments)])
    return average.main()


def test_weights_are_halved_and_keep_their_story(tmp_path, monkeypatch):
    network = build_model("aha-lite", widths=(4, 4, 8), trunk_channels=(4, 8, 8), bounded=True)
    source, target = tmp_path / "last.safetensors", tmp_path / "savedmodel" / "mine.safetensors"
    save_model(network, source, training={"steps": 7})
    assert _average(monkeypatch, source, target) == 0
    with safe_open(target, "pt") as file:
        assert file.get_tensor("HFE.scores1.weight").dtype == torch.float16
    assert read_metadata(target)["training"] == {"steps": 7}
    averaged = load_model(target)
    assert averaged.spec.hyperparameters["bounded"]
    for name, value in network.state_dict().items():
        torch.testing.assert_close(averaged.state_dict()[name], value, rtol=FP16, atol=ROUNDED)


def test_other_names_are_refused(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"end in \.safetensors"):
        _average(monkeypatch, tmp_path / "last.safetensors", tmp_path / "weights.pt")


def test_checkpoints_of_a_run_give_their_moving_average(tmp_path, monkeypatch):
    sizes = {"widths": (4, 4, 8), "trunk_channels": (4, 8, 8)}
    raw, mean = (build_model("aha-lite", **sizes) for _ in range(2))
    state = {
        "network": "aha-lite", "hyperparameters": raw.spec.hyperparameters,
        "networks": {"model": raw.state_dict()}, "average": mean.state_dict(), "progress": {"step": 40},
        "options": {"seed": 5},
    }  # fmt: skip
    name = "coarse.coarse1.0.conv.weight"
    for held, wanted in ((mean.state_dict(), mean), (None, raw)):
        torch.save(state | {"average": held}, tmp_path / "best-00000040.pt")
        target = tmp_path / "averaged.safetensors"
        assert _average(monkeypatch, tmp_path / "best-00000040.pt", target) == 0
        found, expected = load_model(target).state_dict()[name], wanted.state_dict()[name]
        torch.testing.assert_close(found, expected, rtol=FP16, atol=ROUNDED)
        story = {"steps": 40, "averaged": held is not None, "options": {"seed": 5}}
        assert read_metadata(target)["training"] == story
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")  # a state dict, but of what?
    with pytest.raises(UserError, match=r"other\.pt does not hold"):
        _average(monkeypatch, tmp_path / "other.pt", target)


def test_the_mean_of_two_networks(tmp_path, monkeypatch):
    sizes = {"widths": (4, 4, 8), "trunk_channels": (4, 8, 8)}
    networks = [build_model("aha-lite", **sizes) for _ in range(2)]
    files = [tmp_path / f"{number}.safetensors" for number in range(2)]
    for network, file in zip(networks, files, strict=True):
        save_model(network, file, training={"steps": 3})
    target = tmp_path / "mean.safetensors"
    assert _average(monkeypatch, *files, target) == 0
    averaged = load_model(target)
    name = "coarse.coarse1.0.conv.weight"
    mean = (networks[0].state_dict()[name] + networks[1].state_dict()[name]) / 2
    torch.testing.assert_close(averaged.state_dict()[name], mean, rtol=FP16, atol=ROUNDED)
    # Spectral norms are those of the mean, not means of norms.
    layer = averaged.coarse.coarse3[0].conv.conv
    norm = torch.linalg.matrix_norm(layer.normalised_weight().flatten(1), 2).item()
    assert norm == pytest.approx(1, abs=0.02)  # one power iteration, of weights in fp16
    save_model(build_model("aha-lite", widths=(4, 4, 12), trunk_channels=(4, 8, 8)), files[1])
    with pytest.raises(UserError, match="another network"):
        _average(monkeypatch, *files, target)
