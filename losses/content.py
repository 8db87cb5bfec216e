"""Content: the distance of the two estimates of the diffuse layer from the true one."""

import torch
import torch.nn.functional as F
from torch import Tensor

LOG_FLOOR = 1e-5  # of the squared error, 50 dB: better than that is good enough


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


def log_error(coarse: Tensor, refined: Tensor, target: Tensor) -> Tensor:
    """L_log = mean over samples of log10(MSE(D_coarse) + 1e-5) + log10(MSE(D_refined) + 1e-5).

    A tenth of the negative PSNR, twice. All (B, 3, H, W). Every picture counts alike: harm done to one with
    faint highlights, or none, weighs as much as a strong highlight left in another.
    """
    return sum(
        torch.log10((estimate - target).square().mean(dim=(1, 2, 3)) + LOG_FLOOR).mean()
        for estimate in (coarse, refined)
    )
