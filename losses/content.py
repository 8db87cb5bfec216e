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
    error is least at the mean, so that a network which is not sure yet already takes something away.
    """
    return F.mse_loss(coarse, target) + F.mse_loss(refined, target)


def log_error(coarse: Tensor, refined: Tensor, target: Tensor, floor: float = 1e-5) -> Tensor:
    """L_log = mean over samples of log10(MSE(D_coarse) + floor) + log10(MSE(D_refined) + floor).

    Down to the floor a tenth of the negative PSNR, twice: every picture counts alike, whether its highlights
    are strong or faint. Below it, errors count as in a squared error. All (B, 3, H, W).
    """
    return sum(
        torch.log10((estimate - target).square().mean(dim=(1, 2, 3)) + floor).mean()
        for estimate in (coarse, refined)
    )
