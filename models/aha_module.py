"""The adaptive highlight-aware (AHA) module: where the highlight is, and how strong."""

import torch
from torch import Tensor, nn

from models.mixed_precision import full_precision

STRETCH = 0.1  # how far the stretched sigmoid reaches beyond 0 and 1 before it is clamped


class BilinearUpsample(nn.ConvTranspose2d):
    """A trainable transposed convolution without bias that starts as bilinear interpolation."""

    def __init__(self, channels: int, kernel_size: int, stride: int):
        padding = (kernel_size - stride) // 2
        super().__init__(channels, channels, kernel_size, stride, padding, bias=False)
        with torch.no_grad():
            self.weight.zero_()
            diagonal = torch.arange(channels)
            self.weight[diagonal, diagonal] = bilinear_kernel(kernel_size)


def bilinear_kernel(size: int) -> Tensor:
    """(size, size) weights of bilinear interpolation: outer product of 1 - |i - centre| / factor."""
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    line = 1 - (torch.arange(size) - centre).abs() / factor
    return torch.outer(line, line)


class ConvUpsample(nn.Sequential):
    """Bilinear enlargement, then a 3x3 convolution that starts as the identity (the paper's figure)."""

    def __init__(self, channels: int, factor: int):
        convolution = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.dirac_(convolution.weight)
        nn.init.zeros_(convolution.bias)
        super().__init__(nn.Upsample(scale_factor=factor, mode="bilinear", align_corners=False), convolution)


class AHAModule(nn.Module):
    """Highlight map A from three stages of a trunk, the coarser ones upsampled onto the finer.

    stages        three modules in a row, each fed by the one before
    channels      their output channels, from the finest to the deepest stage
    upsample      three modules: deepest -> middle, middle -> finest, finest -> image
    bounded       False: A is whatever the sum gives, as in the authors' code (no sigmoid, no clamp).
                  True: the sum is a logit; A is a sigmoid stretched by a tenth beyond [0, 1] and clamped
                  (hard concrete gate, Louizos et al. 2018), so that untouched pixels are exactly zero.
    sharpen       channels of three convolutions at full resolution that see the image and the sum, so that
                  the map follows edges finer than the trunk's grid; 0: none, as in the authors' code
    """

    def __init__(
        self,
        stages: tuple[nn.Module, nn.Module, nn.Module],
        channels: tuple[int, int, int],
        upsample: tuple[nn.Module, nn.Module, nn.Module],
        *,
        bounded: bool = False,
        sharpen: int = 0,
    ):
        super().__init__()
        # Names are those of the authors' checkpoint: scores1 belongs to the deepest stage.
        self.stage1, self.stage2, self.stage3 = stages
        self.scores1 = nn.Conv2d(channels[2], 3, 1)
        self.scores2 = nn.Conv2d(channels[1], 3, 1)
        self.scores3 = nn.Conv2d(channels[0], 3, 1)
        self.upsample_2x, self.upsample_4x, self.upsample_8x = upsample
        self.bounded = bounded
        self.sharpen = _sharpening(sharpen) if sharpen else None

    def forward(self, image: Tensor) -> Tensor:
        """image (B, 3, H, W) in [0, 1], H and W multiples of the deepest stride -> A (B, 1, H, W)."""
        return self.bound(self.logits(image))

    def logits(self, image: Tensor) -> Tensor:
        """What the trunk says of a highlight, before `bound`: (B, 1, H, W), unbounded."""
        fine = self.stage1(image)
        middle = self.stage2(fine)
        deep = self.stage3(middle)
        with full_precision(image):
            fine, middle, deep = (features.to(image.dtype) for features in (fine, middle, deep))
            t = self.upsample_2x(self.scores1(deep))
            t = self.upsample_4x(self.scores2(middle) + t)
            maps = self.upsample_8x(self.scores3(fine) + t)
            logits = maps.mean(dim=1, keepdim=True)
        if self.sharpen is not None:
            details = self.sharpen[:-1](torch.cat([image, maps], dim=1))
            with full_precision(image):
                logits = logits + self.sharpen[-1](details.to(image.dtype))
        return logits

    def bound(self, logits: Tensor) -> Tensor:
        """A from its logits: the same where the map is unbounded."""
        if not self.bounded:
            return logits
        return bounded_map(logits)


def bounded_map(logits: Tensor) -> Tensor:
    """A in [0, 1] from its logits: the stretched and clamped sigmoid of `AHAModule`."""
    return ((1 + 2 * STRETCH) * torch.sigmoid(logits) - STRETCH).clamp(0, 1)


def _sharpening(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(6, channels, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(channels, 1, 3, padding=1),
    )
