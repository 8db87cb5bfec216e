"""Values of a validation, for each picture."""

import torch
from torch import Tensor

FLOOR = 1e-10  # of the squared error: two equal pictures count as 100 dB, not infinitely many
Values = Tensor | tuple[Tensor, Tensor]
"""(B,) values of the pictures of a batch; or these and (B,) bool, of which pictures they count."""
CHANGED = 0.5 / 255  # half a level of an 8-bit picture


def psnr_per_image(estimate: Tensor, target: Tensor) -> Tensor:
    """10 log10(1 / mean squared error) in dB over all channels and pixels, the estimate clamped to [0, 1].

    Both (B, C, H, W) -> (B,). Values are not rounded to 8 bits; evaluate.py does that.
    """
    error = (estimate.clamp(0, 1) - target).square().mean(dim=(1, 2, 3))
    return -10 * torch.log10(error.clamp(min=FLOOR))


def has_highlight(image: Tensor, diffuse: Tensor) -> Tensor:
    """(B,) bool: input and ground truth (B, 3, H, W) differ somewhere by half a level or more."""
    return (image - diffuse).abs().amax(dim=(1, 2, 3)) > CHANGED


def restoration_values(
    estimate: Tensor, image: Tensor, target: Tensor, highlight: Tensor
) -> dict[str, Values]:
    """PSNR of a restored batch, and its gain over the input, pictures without a highlight apart.

    estimate, image, target  (B, 3, H, W) in [0, 1]
    highlight                (B,) bool, see `has_highlight`

    psnr, psnr_input, gain (their difference), for the pictures with a highlight; psnr_clean for the others:
    how well they are left alone, 100 dB at best, which in a common mean would outweigh everything else.
    share_clean: 1 for those, else 0. Nothing is read from the device.
    """
    psnr, before = psnr_per_image(estimate, target), psnr_per_image(image, target)
    return {
        "psnr": (psnr, highlight),
        "psnr_input": (before, highlight),
        "gain": (psnr - before, highlight),
        "psnr_clean": (psnr, ~highlight),
        "share_clean": (~highlight).float(),
    }
