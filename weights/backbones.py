"""Weights of torchvision's classifiers: ResNet-34 (trunk of the AHA module), VGG-16 (perceptual loss).

`source` is everywhere "imagenet" (torchvision's ImageNet weights, from its cache or downloaded) or the path
of a state dict of torchvision's network, .pth or .safetensors.
"""

import os

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import vgg

from models.trunks import resnet34_names
from utils.errors import UserError
from weights.pickled import read_pickled, require_file, state_dict_in
from weights.safetensors_files import read_safetensors

ARCHITECTURES = {
    "resnet34": torchvision.models.ResNet34_Weights.IMAGENET1K_V1,
    "vgg16": torchvision.models.VGG16_Weights.IMAGENET1K_V1,
}
RESNET34_CHANNELS = (128, 256, 512)
VGG16_LAYERS = 15  # features[:15] ends with conv3_3, before its ReLU
NO_BACKBONE = "set `backbone_weights` to a file of torchvision's resnet34, or to none for random weights"
NO_VGG = "set `perceptual_weights` to a file of torchvision's vgg16, or `lambda_perceptual` to 0"


def load_backbone(network: nn.Module, source: str | None) -> None:
    """Fills the trunk of `network` (`HFE.stage1` ... `stage3`) from `source`.

    source  also "none" (left random), or None: "imagenet" where the trunk is a ResNet-34, "none" elsewhere
    Raises UserError where the weights cannot be had, or the network has no ResNet-34.
    """
    has_trunk = tuple(network.spec.hyperparameters.get("trunk_channels", ())) == RESNET34_CHANNELS
    if source is None:
        source = "imagenet" if has_trunk else "none"
    if source == "none":
        return
    if not has_trunk:
        raise UserError(
            f"backbone weights {source!r} are of ResNet-34, but {network.spec.name} has no ResNet-34 trunk; "
            "leave them out"
        )
    state = pretrained_state("resnet34", source, NO_BACKBONE)
    try:
        trunk = resnet34_names(state)
        own = {name for name in network.HFE.state_dict() if name.startswith("stage")}
        if own != trunk.keys():
            raise KeyError(sorted(own ^ trunk.keys())[0])
        network.HFE.load_state_dict(trunk, strict=False)
    except (KeyError, RuntimeError) as error:
        raise UserError(f"{source} does not hold torchvision's resnet34 ({error}); {NO_BACKBONE}") from error


def vgg16_features(source: str) -> nn.Sequential:
    """VGG-16 up to conv3_3 before its ReLU: normalised image (B, 3, H, W) -> (B, 256, H/4, W/4).

    `source`: also "random" (only ever when asked for by name). Raises UserError where the weights cannot be
    had.
    """
    # Without the classifier, whose 120 million numbers would be drawn for nothing.
    features = vgg.make_layers(vgg.cfgs["D"])[:VGG16_LAYERS]
    if source == "random":
        return features
    state = pretrained_state("vgg16", source, NO_VGG)
    try:
        state = {name.removeprefix("features."): value for name, value in state.items()}
        features.load_state_dict({name: state[name] for name in features.state_dict()})
    except (KeyError, RuntimeError) as error:
        raise UserError(
            f"{source} does not hold the weights of torchvision's vgg16 ({error}); {NO_VGG}"
        ) from error
    return features


def pretrained_state(architecture: str, source: str, way_out: str) -> dict[str, Tensor]:
    """The state dict of torchvision's `architecture`, a name of ARCHITECTURES.

    `way_out`: what a user can do where it cannot be had; ends the message of the UserError.
    """
    if source != "imagenet":
        return _from_file(source, way_out)
    try:
        return ARCHITECTURES[architecture].get_state_dict(progress=True, check_hash=True)
    except OSError as error:
        raise UserError(
            f"the ImageNet weights of {architecture} are not in torch's cache ({torch.hub.get_dir()}) and "
            f"cannot be downloaded ({error}); {way_out}"
        ) from error


def _from_file(path: str, way_out: str) -> dict[str, Tensor]:
    if not os.path.exists(path):
        raise UserError(f"{path}: there is no such file; {way_out}")
    try:
        require_file(path)
        if path.endswith(".safetensors"):
            return read_safetensors(path, ours=False)
        return state_dict_in(read_pickled(path), path)
    except UserError as error:
        raise UserError(f"{error}; {way_out}") from error
