"""First weights of a ResNet-34 trunk: ImageNet's, a file's, or random ones."""

import os

import torch
import torchvision
from safetensors.torch import load_file
from torch import nn

from models.trunks import resnet34_names
from utils.errors import UserError

WAY_OUT = (
    "pass --backbone_weights PATH (a state dict of torchvision's resnet34, .pth or .safetensors), or "
    "--backbone_weights none to start from random weights (then likewise --lambda_perceptual 0, or "
    "--perceptual_weights PATH, where VGG-16's cannot be had either)"
)


def load_backbone(network: nn.Module, source: str | None) -> None:
    """Fills the trunk of `network` (`HFE.stage1` ... `stage3`) from `source`.

    source  "imagenet" (torchvision's, from its cache or downloaded), "none", a path, or None: "imagenet"
            where the trunk is a ResNet-34, "none" elsewhere
    Raises UserError where the weights cannot be had, or the network has no ResNet-34.
    """
    has_trunk = network.spec.hyperparameters.get("trunk_channels") == (128, 256, 512)
    if source is None:
        source = "imagenet" if has_trunk else "none"
    if source == "none":
        return
    if not has_trunk:
        raise UserError(
            f"--backbone_weights {source}: {network.spec.name} has no ResNet-34 trunk; leave the option out"
        )
    state = _imagenet() if source == "imagenet" else _from_file(source)
    try:
        trunk = resnet34_names(state)
        own = {name for name in network.HFE.state_dict() if name.startswith("stage")}
        if own != trunk.keys():
            raise KeyError(sorted(own ^ trunk.keys())[0])
        network.HFE.load_state_dict(trunk, strict=False)
    except (KeyError, RuntimeError) as error:
        raise UserError(f"{source} does not hold torchvision's resnet34 ({error}); {WAY_OUT}") from error


def _imagenet() -> dict[str, torch.Tensor]:
    weights = torchvision.models.ResNet34_Weights.IMAGENET1K_V1
    try:
        return weights.get_state_dict(progress=True, check_hash=True)
    except OSError as error:
        raise UserError(
            f"the ImageNet weights of ResNet-34 are not in torch's cache ({torch.hub.get_dir()}) and cannot "
            f"be downloaded ({error}); {WAY_OUT}"
        ) from error


def _from_file(path: str) -> dict[str, torch.Tensor]:
    if not os.path.isfile(path):
        raise UserError(f"--backbone_weights {path}: there is no such file; {WAY_OUT}")
    try:
        return load_file(path) if path.endswith(".safetensors") else torch.load(path, weights_only=True)
    except Exception as error:  # torch raises many kinds for files that are not what they seem
        raise UserError(f"{path} is not a readable state dict ({error}); {WAY_OUT}") from error
