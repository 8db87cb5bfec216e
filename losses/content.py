"""Content: the distance of the two estimates of the diffuse layer from the true one."""

import torch
import torch.nn.functional as F
from torch import Tensor


def content(coarse: Tensor, refined: Tensor, diffuse: Tensor) -> Tensor:
    """L = |D_hat_coarse - D|_1 + |D_hat_refine - D|_1, each a mean over samples, channels and pixels.

    All (B, 3, H, W) in [0, 1] (the estimates may leave the range).
    """
    return F.l1_loss(coarse, diffuse) + F.l1_loss(refined, diffuse)


def squared_error(coarse: Tensor, refined: Tensor, target: Tensor) -> Tensor:
    """L_sq = mean (D_coarse - D)^2 + mean (D_refined - D)^2, what PSNR measures. All (B, 3, H, W).

    Most pixels have no highlight, and an absolute error is least at their median: doing nothing. A squared
    error is least at the mean, so that an uncertain estimate already removes part of a highlight.
    """
    return F.mse_loss(coarse, target) + F.mse_loss(refined, target)


def log_error(
    coarse: Tensor, refined: Tensor, target: Tensor, floor: float = 1e-5, where: Tensor | None = None
) -> Tensor:
    """L_log = mean over samples of log10(MSE(D_coarse) + floor) + log10(MSE(D_refined) + floor).

    Down to the floor a tenth of the negative PSNR, twice: every picture counts alike, whether its highlights
    are strong or faint. Below it, errors count as in a squared error. All (B, 3, H, W); `where` (B, 1, H, W),
    0 or 1, says which pixels count (default: all; a sample without any counts as one without error).
    """
    where = torch.ones_like(target[:, :1]) if where is None else where.to(target.dtype)
    values = 3 * where.sum(dim=(1, 2, 3)).clamp_min(1)
    errors = (
        ((estimate - target).square() * where).sum(dim=(1, 2, 3)) / values for estimate in (coarse, refined)
    )
    return sum(torch.log10(error + floor).mean() for error in errors)


def beneath(coarse: Tensor, refined: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """L_T = mean over samples of |N_coarse - D|_1 + |N_refined - D|_1 over the highlight mask T alone.

    Elsewhere N may be anything, for the map leaves those pixels out: so samples without highlights teach the
    map, and not that N is the input. A highlight of less than 16 pixels counts by its share of 16. Images
    (B, 3, H, W), T (B, 1, H, W).
    """
    errors = sum((network - target).abs().mean(dim=1, keepdim=True) for network in (coarse, refined))
    return ((errors * mask).sum(dim=(1, 2, 3)) / mask.sum(dim=(1, 2, 3)).clamp_min(16)).mean()


def untouched_pixels(specular: Tensor) -> Tensor:
    """1 where a specular layer (B, 3, H, W) is exactly zero in all channels, else 0: (B, 1, H, W)."""
    return (specular.amax(dim=1, keepdim=True) <= 0).to(specular.dtype)
