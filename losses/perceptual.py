"""Perceptual term: distance between VGG-16 activations of the estimate and of the ground truth."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weights.backbones import vgg16_features

SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


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

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Both (B, 3, H, W) in [0, 1]; the gradient goes to `estimate` only."""
        with torch.no_grad():
            wanted = self.features(self._prepare(target))
        return F.l1_loss(self.features(self._prepare(estimate)), wanted)

    def _prepare(self, image: Tensor) -> Tensor:
        image = (image - self.mean) / self.std
        if image.shape[-2:] == (SIDE, SIDE):
            return image
        return F.interpolate(image, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
