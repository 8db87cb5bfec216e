"""Terms of the improved dichromatic model, S_hat = I - D_hat = A (I - N), on its parts.

All terms are weighted means over every pixel of the batch (masked pixels count as zero), so that the mean
over the processes of a parallel run is the mean over the joint batch.
"""

import torch.nn.functional as F
from torch import Tensor

from models.bounds import SATURATED

# Masks cover about a 25th of the pixels. Unweighted, an empty map is a local minimum of training.
MASK_WEIGHT = 25


def specular_supervision(specular_hat: Tensor, specular: Tensor) -> Tensor:
    """L_S = |S_hat - S|_1 with the data set's specular layer S. Both (B, 3, H, W)."""
    return F.l1_loss(specular_hat, specular)


def map_supervision(highlight: Tensor, mask: Tensor) -> Tensor:
    """L_A = mean of w |A - T|; w = 25 on the data set's highlight mask T, else 1. Both (B, 1, H, W)."""
    return ((highlight - mask).abs() * (1 + (MASK_WEIGHT - 1) * mask)).mean()


def map_cross_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """L_A of a bounded map: mean of w BCE(logits, T), its binary cross-entropy with the highlight mask T.

    w = 2 on T, else 1. Both (B, 1, H, W).
    """
    return F.binary_cross_entropy_with_logits(logits.float(), mask, weight=1 + mask)


def map_overlap(highlight: Tensor, mask: Tensor) -> Tensor:
    """L_J of a bounded map: mean over samples of 1 - J, J = sum A T / sum (A + T - A T), 0 where T is empty.

    J is the soft Jaccard index, of which the IoU of thresholded maps is the hard one: a small highlight
    counts as much as a large one. Both (B, 1, H, W) in [0, 1].
    """
    common = (highlight * mask).sum(dim=(1, 2, 3))
    either = (highlight + mask).sum(dim=(1, 2, 3)) - common
    return (1 - common / either.clamp_min(1))[:, None].mul(mask.amax(dim=(2, 3))).mean()


def highlight_chroma(estimate: Tensor, diffuse: Tensor, mask: Tensor) -> Tensor:
    """L_chroma = mean over samples of |c(D_hat) - c(D)|_1 over the highlight T, c(x) = x - mean_c x.

    Grey in place of the surface's colour costs as much as a wrong lightness. A highlight of less than 16
    pixels counts by its share of 16. Images (B, 3, H, W), T (B, 1, H, W).
    """
    difference = estimate - diffuse
    chroma = (difference - difference.mean(dim=1, keepdim=True)).abs().mean(dim=1, keepdim=True)
    pixels = mask.sum(dim=(1, 2, 3)).clamp_min(16)
    return ((chroma * mask).sum(dim=(1, 2, 3)) / pixels).mean()


def achromaticity(specular_hat: Tensor, image: Tensor, saturated: float = SATURATED) -> Tensor:
    """L_grey = mean over pixels of w * mean_c |S_hat_c - mean_c S_hat|: a highlight has the lamp's colour.

    w = 1 where no channel of the image reaches `saturated`, else 0: a clipped channel hides the colour of
    what was added. Holds for white-balanced sets whose S is grey (SHIQ). Both (B, 3, H, W), image in [0, 1].
    """
    spread = (specular_hat - specular_hat.mean(dim=1, keepdim=True)).abs().mean(dim=1, keepdim=True)
    unsaturated = (image < saturated).all(dim=1, keepdim=True)
    return (spread * unsaturated).mean()
