"""Structural similarity (Wang et al. 2004) as a differentiable loss term."""

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = 11
SIGMA = 1.5
K1, K2 = 0.01, 0.03


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Mean over samples, channels and pixels of

        SSIM = (2 mu_x mu_y + c1)(2 s_xy + c2) / ((mu_x^2 + mu_y^2 + c1)(s_x^2 + s_y^2 + c2)),

    moments under an 11x11 Gaussian window of sigma 1.5, zero padded (windows at the border see zeros, in
    both images), c1 = 0.01^2, c2 = 0.03^2 for values in [0, 1]. x, y: (B, C, H, W).
    """
    return ssim_per_image(x, y).mean()


def ssim_per_image(x: Tensor, y: Tensor) -> Tensor:
    """`ssim` for each image of the batch: (B,)."""
    # In reduced precision the variances, differences of nearly equal numbers, would be noise.
    at_least = torch.promote_types(x.dtype, torch.float32)
    x, y = x.to(at_least), y.to(at_least)
    channels = x.shape[1]
    with torch.autocast(x.device.type, enabled=False):
        moments = _window(torch.cat([x, y, x * x, y * y, x * y], dim=1))
    mu_x, mu_y, xx, yy, xy = moments.split(channels, dim=1)
    c1, c2 = K1**2, K2**2
    numerator = (2 * mu_x * mu_y + c1) * (2 * (xy - mu_x * mu_y) + c2)
    denominator = (mu_x**2 + mu_y**2 + c1) * (xx - mu_x**2 + yy - mu_y**2 + c2)
    return (numerator / denominator).mean(dim=(1, 2, 3))


def _window(x: Tensor) -> Tensor:
    offsets = torch.arange(WINDOW, device=x.device, dtype=x.dtype) - WINDOW // 2
    line = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    line = (line / line.sum()).expand(x.shape[1], 1, WINDOW)
    # The Gaussian window separates into a column and a row: 22 products a pixel in place of 121.
    x = F.conv2d(x, line.unsqueeze(-1), padding=(WINDOW // 2, 0), groups=x.shape[1])
    return F.conv2d(x, line.unsqueeze(-2), padding=(0, WINDOW // 2), groups=x.shape[1])
