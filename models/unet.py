"""The U-Net of TSHRNet: eight halvings, three of them by one shared convolution, and back up with skips."""

import torch
from torch import Tensor, nn

DEEP_STEPS = 3  # how often the shared innermost convolution is applied on each way
# Sides must be multiples of this: Cv0 to Cv3, the shared steps and Cv5 each halve them.
MULTIPLE = 2 ** (5 + DEEP_STEPS)


class DownConv(nn.Module):
    """LeakyReLU 0.2 (optional), convolution k4 s2 p1 without bias, batch norm (optional): halves sides."""

    def __init__(self, inputs: int, outputs: int, *, activate: bool = True, norm: bool = True) -> None:
        super().__init__()
        self.before = nn.LeakyReLU(0.2) if activate else nn.Identity()
        self.conv = nn.Conv2d(inputs, outputs, kernel_size=4, stride=2, padding=1, bias=False)
        self.after = nn.BatchNorm2d(outputs) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.conv(self.before(x)))


class UpConv(nn.Module):
    """ReLU, transposed convolution k4 s2 p1 with bias, batch norm (tanh on the last): doubles the sides."""

    def __init__(self, inputs: int, outputs: int, *, last: bool = False) -> None:
        super().__init__()
        self.before = nn.ReLU()
        self.conv = nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1)
        self.after = nn.Tanh() if last else nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.conv(self.before(x)))


class UNet(nn.Module):
    """One of TSHRNet's four U-Nets; submodules carry the names that the authors' weights have.

    `inputs`, `outputs`: channels; `width`: channels after the first convolution (64 in the paper), the
    widest layers have 8 times as many. Convolutions start at N(0, 0.02) with zero bias.
    """

    def __init__(self, inputs: int, outputs: int = 3, width: int = 64) -> None:
        super().__init__()
        w = width
        self.Cv0 = DownConv(inputs, w, activate=False, norm=False)
        self.Cv1 = DownConv(w, 2 * w)
        self.Cv2 = DownConv(2 * w, 4 * w)
        self.Cv3 = DownConv(4 * w, 8 * w)
        self.Cv4 = DownConv(8 * w, 8 * w)
        self.Cv5 = DownConv(8 * w, 8 * w, norm=False)
        self.CvT6 = UpConv(8 * w, 8 * w)
        self.CvT7 = UpConv(16 * w, 8 * w)
        self.CvT8 = UpConv(16 * w, 4 * w)
        self.CvT9 = UpConv(8 * w, 2 * w)
        self.CvT10 = UpConv(4 * w, w)
        self.CvT11 = UpConv(2 * w, outputs, last=True)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W), H and W multiples of 256 -> (B, outputs, H, W) in [-1, 1]."""
        x0 = self.Cv0(x)  # w, H/2
        x1 = self.Cv1(x0)  # 2w, H/4
        x2 = self.Cv2(x1)  # 4w, H/8
        x3 = self.Cv3(x2)  # 8w, H/16
        deep = [self.Cv4(x3)]  # 8w, H/32, H/64, H/128
        for _ in range(DEEP_STEPS - 1):
            deep.append(self.Cv4(deep[-1]))
        y = self.CvT6(self.Cv5(deep[-1]))  # 8w, H/128
        for skip in reversed(deep):
            y = self.CvT7(torch.cat([y, skip], 1))  # 8w, H/64, H/32, H/16
        y = self.CvT8(torch.cat([y, x3], 1))  # 4w, H/8
        y = self.CvT9(torch.cat([y, x2], 1))  # 2w, H/4
        y = self.CvT10(torch.cat([y, x1], 1))  # w, H/2
        return self.CvT11(torch.cat([y, x0], 1))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
