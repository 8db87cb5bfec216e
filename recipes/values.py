"""Values of a validation, one a picture."""

import torch
from torch import Tensor

FLOOR = 1e-10  # of the squared error: two equal pictures count as 100 dB, not infinitely many


def psnr_per_image(estimate: Tensor, truth: Tensor) -> Tensor:
    """10 log10(1 / mean squared error) in dB over all channels and pixels, the estimate clamped to [0, 1].

    Both (B, C, H, W) -> (B,). Values are not rounded to 8 bits; evaluate.py does that.
    """
    error = (estimate.clamp(0, 1) - truth).square().mean(dim=(1, 2, 3))
    return -10 * torch.log10(error.clamp(min=FLOOR))
