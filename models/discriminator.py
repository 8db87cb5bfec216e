"""The adversarial network: six shrinking convolutions with spectral and instance norm."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.gated_conv import SLOPE
from models.spectral_norm import SpectralNormConv2d


class DiscriminatorLayer(nn.Module):
    """Zero-padded spectral-norm convolution; `normalised`: instance norm without scale, LeakyReLU 0.2."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int, normalised: bool = True
    ):
        super().__init__()
        self.normalised = normalised
        self.conv = SpectralNormConv2d(
            in_channels, out_channels, kernel_size, stride, padding=(kernel_size - 1) // 2
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return F.leaky_relu(F.instance_norm(x), SLOPE) if self.normalised else x


class Discriminator(nn.Module):
    """Scores how real a diffuse image looks, patch by patch, knowing where the highlight was.

    normalised_output  True: the last layer ends in instance norm and LeakyReLU, as released, whose mean is
                       nearly the same for every image; False: in its convolution
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int, int] = (48, 96, 192, 192, 192),
        normalised_output: bool = True,
    ):
        super().__init__()
        self.normalised_output = normalised_output
        w1, w2, w3, w4, w5 = widths
        self.layer1 = DiscriminatorLayer(6, w1, 7, 1)
        self.layer2 = DiscriminatorLayer(w1, w2, 4, 2)
        self.layer3 = DiscriminatorLayer(w2, w3, 4, 2)
        self.layer4 = DiscriminatorLayer(w3, w4, 4, 2)
        self.layer5 = DiscriminatorLayer(w4, w5, 4, 2)
        self.layer6 = DiscriminatorLayer(w5, 1, 4, 2, normalised_output)

    def forward(self, image: Tensor, highlight: Tensor) -> Tensor:
        """image (B, 3, H, W), A (B, 1, H, W) -> scores (B, 1, H / 32, W / 32).

        A normalised output needs more than one score an image: H, W at least 64; else at least 32.
        """
        x = torch.cat([image, highlight.expand(-1, 3, -1, -1)], dim=1)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4, self.layer5, self.layer6):
            x = layer(x)
        return x
