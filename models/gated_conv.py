"""Gated convolutions: a convolution weighted, pixel by pixel, by a second one (Yu et al. 2019)."""

import contextlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.mixed_precision import COLOURS, full_precision
from models.spectral_norm import SpectralNormConv2d

BRANCH_START = 0.3  # what a residual branch adds at first: eight of them in a row then double the variance
SLOPE = 0.2  # of every LeakyReLU in the network


class GatedConv2d(nn.Module):
    """G(x) = LeakyReLU_0.2(conv(x)) * sigmoid(conv_mask(x)), both over the same zero-padded x.

    `activation=False` leaves the LeakyReLU out ("act none"); `spectral` puts spectral norm on both.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        *,
        activation: bool = True,
        spectral: bool = False,
    ):
        super().__init__()
        convolution = SpectralNormConv2d if spectral else nn.Conv2d
        # "Same" padding for odd kernels: k5 p2, k3 p1, k3 d p=d.
        geometry = {"stride": stride, "padding": dilation * (kernel_size // 2), "dilation": dilation}
        self.conv = convolution(in_channels, out_channels, kernel_size, **geometry)
        self.conv_mask = convolution(in_channels, out_channels, kernel_size, **geometry)
        self.activation = activation
        self.spectral = spectral

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H / stride, W / stride)."""
        # One convolution with twice the output channels reads x once.
        weight, bias = self.joint_weights()
        colours = self.conv.out_channels <= COLOURS
        with full_precision(x) if colours else contextlib.nullcontext():
            x = x.to(weight.dtype) if colours else x
            both = F.conv2d(x, weight, bias, self.conv.stride, self.conv.padding, self.conv.dilation)
            return gated(both, self.activation)

    def joint_weights(self) -> tuple[Tensor, Tensor]:
        """Weight (2 out, in, k, k) and bias (2 out,) of both convolutions, spectral norms divided out."""
        if self.spectral:
            weights = [self.conv.normalised_weight(), self.conv_mask.normalised_weight()]
        else:
            weights = [self.conv.weight, self.conv_mask.weight]
        return torch.cat(weights), torch.cat([self.conv.bias, self.conv_mask.bias])


def gated(both: Tensor, activation: bool) -> Tensor:
    """conv(x) and conv_mask(x) side by side, (B, 2 out, H, W) -> (B, out, H, W)."""
    # A gate is positive, so LeakyReLU(c) g = LeakyReLU(c g): two passes over memory instead of three.
    content = F.glu(both, dim=1)
    return F.leaky_relu(content, SLOPE, inplace=True) if activation else content


class UpsampleGatedConv2d(nn.Module):
    """UpG: bilinear x2 (align_corners False), then a gated convolution with spectral norm."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = GatedConv2d(in_channels, out_channels, spectral=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, 2H, 2W)."""
        return self.conv(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False))


class Residual(nn.Sequential):
    """x + layers(x); `preserve_signal` makes it start near x."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return x + super().forward(x)


def in_pairs(layers: list[nn.Module]) -> nn.Sequential:
    """An even number of layers as residual pairs in a row."""
    return nn.Sequential(*(Residual(*layers[i : i + 2]) for i in range(0, len(layers), 2)))


def preserve_signal(network: nn.Module) -> None:
    """Draws the weights of all gated convolutions without spectral norm anew: none shrinks its signal.

    With x ~ N(0, s^2) before it, LeakyReLU_0.2(x) * sigmoid(0) has the mean square s^2 (1 + 0.04) / 2 / 4,
    so that weights of variance 1 / (0.13 fan_in) keep it (He et al. 2015, with the gate). PyTorch's own draw,
    variance 1 / (3 fan_in), makes the signal five times smaller at each layer: after ten nothing is left.
    """
    for layer in network.modules():
        if isinstance(layer, GatedConv2d) and not layer.spectral:
            kept = 0.25 * ((1 + SLOPE**2) / 2 if layer.activation else 1.0)
            fan_in = layer.conv.weight[0].numel()
            nn.init.normal_(layer.conv.weight, std=(kept * fan_in) ** -0.5)
            nn.init.zeros_(layer.conv.bias)
    for branch in (module for module in network.modules() if isinstance(module, Residual)):
        with torch.no_grad():
            branch[-1].conv.weight.mul_(BRANCH_START)
