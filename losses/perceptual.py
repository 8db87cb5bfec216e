"""Perceptual term: distance between VGG-16 activations of the estimate and of the truth."""

import os

import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import vgg

from utils.errors import UserError

LAYERS = 15  # features[:15] ends with conv3_3, before its ReLU
SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WAY_OUT = (
    "pass --perceptual_weights PATH (a state dict of torchvision's vgg16, .pth or .safetensors), "
    "or --lambda_perceptual 0 to train without the perceptual term"
)


class PerceptualLoss(nn.Module):
    """L_perc = |phi(D_hat) - phi(D)|_1, phi = VGG-16 up to conv3_3 before its ReLU, on images normalised by
    ImageNet's mean and deviation and resized to 224x224 (bilinear).

    `weights`: "imagenet" (torchvision's, from its cache or downloaded), a path, or "random" (only ever when
    asked for by name). Raises UserError where they cannot be had. The network is frozen and stays in eval
    mode; its entries are in no checkpoint.
    """

    def __init__(self, weights: str = "imagenet"):
        super().__init__()
        self.features = vgg16_features(weights).requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, estimate: Tensor, truth: Tensor) -> Tensor:
        """Both (B, 3, H, W) in [0, 1]; the gradient goes to `estimate` only."""
        with torch.no_grad():
            wanted = self.features(self._prepare(truth))
        return F.l1_loss(self.features(self._prepare(estimate)), wanted)

    def _prepare(self, image: Tensor) -> Tensor:
        image = (image - self.mean) / self.std
        if image.shape[-2:] == (SIDE, SIDE):
            return image
        return F.interpolate(image, size=(SIDE, SIDE), mode="bilinear", align_corners=False)


def vgg16_features(weights: str) -> nn.Sequential:
    """The first 15 layers of torchvision's VGG-16; `weights` as for PerceptualLoss."""
    if weights == "random":
        return _untrained()
    if weights == "imagenet":
        try:
            pretrained = torchvision.models.vgg16(weights=torchvision.models.VGG16_Weights.IMAGENET1K_V1)
        except OSError as error:
            raise UserError(
                f"the ImageNet weights of VGG-16 are not in torch's cache ({torch.hub.get_dir()}) and cannot "
                f"be downloaded ({error}); {WAY_OUT}"
            ) from error
        return pretrained.features[:LAYERS]
    return _features_from_file(weights)


def _untrained() -> nn.Sequential:
    # Without the classifier, whose 120 million numbers would be drawn for nothing.
    return vgg.make_layers(vgg.cfgs["D"])[:LAYERS]


def _features_from_file(path: str) -> nn.Sequential:
    if not os.path.isfile(path):
        raise UserError(f"--perceptual_weights {path}: there is no such file; {WAY_OUT}")
    try:
        state = load_file(path) if path.endswith(".safetensors") else torch.load(path, weights_only=True)
        state = {key.removeprefix("features."): value for key, value in state.items()}
        features = _untrained()
        features.load_state_dict({key: state[key] for key in features.state_dict()})
    except Exception as error:  # torch raises many kinds for files that are not what they seem
        raise UserError(
            f"{path} does not hold the weights of torchvision's vgg16 ({error}); {WAY_OUT}"
        ) from error
    return features
