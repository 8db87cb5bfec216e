"""Content: the distance of the two estimates of the diffuse layer from the true one."""

import torch.nn.functional as F
from torch import Tensor


def content(coarse: Tensor, refined: Tensor, diffuse: Tensor) -> Tensor:
    """L = |D_hat_coarse - D|_1 + |D_hat_refine - D|_1, each a mean over samples, channels and pixels.

    All (B, 3, H, W) in [0, 1] (the estimates may leave the range).
    """
    return F.l1_loss(coarse, diffuse) + F.l1_loss(refined, diffuse)
