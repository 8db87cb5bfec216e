"""Highlight masks from a specular layer: Otsu's threshold on CIE Lab L, one pass or two.

The paper of SHIQ describes two passes for its masks T, the second over the pixels that the first kept.
On the three quadruples of the set's own figure one pass on S is far closer to T (IoU 78, 47 and 62 % against
25, 28 and 21 %), so one pass is the default, as in TSHRNet's tone correction (Fu et al., ICCV 2023).
"""

import numpy as np
import torch
from torch import Tensor

BINS = 256


def lightness(image: Tensor) -> Tensor:
    """CIE Lab L in [0, 100] (D65) of sRGB values in [0, 1]: (B, 3, H, W) or (B, 1, H, W) -> (B, 1, H, W)."""
    curved = ((image.clamp_min(0) + 0.055) * (1 / 1.055)).log_().mul_(2.4).exp_()
    linear = torch.lerp(curved, image * (1 / 12.92), (image <= 0.04045).float())
    if linear.shape[1] == 3:
        linear = (linear * linear.new_tensor([0.212671, 0.715160, 0.072169]).view(1, 3, 1, 1)).sum(1, True)
    cube_root = linear.clamp_min(1e-12).log_().mul_(1 / 3).exp_()
    cube_root = torch.lerp(linear * (841 / 108) + 4 / 29, cube_root, (linear > (6 / 29) ** 3).float())
    return 116 * cube_root - 16


def otsu_threshold(histogram: Tensor) -> Tensor:
    """Otsu's threshold of histograms (B, N): the index of the last bin of the lower class, (B,).

    Ties (an empty gap between two classes) go to the middle of the gap, as MATLAB's graythresh does.
    """
    counts = histogram.double()
    index = torch.arange(counts.shape[1], device=counts.device, dtype=counts.dtype)
    weight = counts.cumsum(1)
    moment = (counts * index).cumsum(1)
    total, mean_total = weight[:, -1:], moment[:, -1:]
    numerator = (mean_total * weight - moment * total) ** 2
    between = numerator / (weight * (total - weight)).clamp_min(1e-9)
    best = between.amax(1, keepdim=True)
    ties = (between >= best * (1 - 1e-9)).double()
    return (ties * index).sum(1) / ties.sum(1).clamp_min(1)


def otsu_masks(specular: Tensor, passes: int = 1) -> Tensor:
    """Highlight masks of a batch of specular layers.

    `specular` (B, 3, H, W) or (B, 1, H, W) in [0, 1] display values; returns bool (B, 1, H, W).
    Pass k thresholds min-max normalised Lab L of the pixels that pass k - 1 kept (all pixels at first) in 256
    bins. A pass over pixels of a single value keeps them, except that the first then keeps none: a constant
    layer, as of a picture without highlights, has an empty mask.
    """
    level = lightness(specular.float()).flatten(1)
    kept = _kept(level, torch.ones_like(level), passes)
    return kept.view(specular.shape[0], 1, *specular.shape[-2:])


def otsu_masks_of_bytes(specular: Tensor, passes: int = 1) -> Tensor:
    """`otsu_masks` of grey layers (B, 1, H, W) on 8-bit steps, by their histogram: several times faster."""
    levels = (specular * 255).round_().long().flatten(1)
    one = torch.ones_like(levels, dtype=torch.float32)
    counts = specular.new_zeros(len(levels), BINS).scatter_add_(1, levels, one)
    steps = torch.arange(BINS, device=specular.device, dtype=torch.float32) / 255
    lightness_of = lightness(steps.view(1, 1, 1, -1)).view(1, -1).expand_as(counts)
    kept = _kept(lightness_of, counts, passes)
    return kept.gather(1, levels).view(specular.shape)


def _kept(level: Tensor, weight: Tensor, passes: int) -> Tensor:
    """Which of the levels (B, N), standing for `weight` (B, N) pixels each, all passes keep: bool (B, N)."""
    if passes < 1:
        raise ValueError(f"passes must be at least 1, got {passes}")
    kept = (weight > 0).float()
    for number in range(passes):
        low = (level + (1 - kept) * 1e3).amin(1, keepdim=True)
        high = (level - (1 - kept) * 1e3).amax(1, keepdim=True)
        # An 8-bit step is at least 0.2 of L; anything flatter than this is one value with rounding on it.
        spread = (high - low) > 1e-3
        scale = (BINS - 1) / (high - low).clamp_min(1e-3)
        bins = ((level - low) * scale).round_().clamp_(0, BINS - 1)
        counts = level.new_zeros(len(level), BINS).scatter_add_(1, bins.long(), kept * weight)
        above = bins > otsu_threshold(counts).unsqueeze(1)
        flat_answer = kept if number else torch.zeros_like(kept)
        kept = torch.where(spread, kept * above, flat_answer)
    return kept > 0


def otsu_mask(specular: np.ndarray, passes: int = 1) -> np.ndarray:
    """Highlight mask of one layer: (H, W, 3) or (H, W) in [0, 1] -> bool (H, W); see `otsu_masks`."""
    layer = torch.from_numpy(np.ascontiguousarray(specular, dtype=np.float32))
    layer = layer.unsqueeze(0) if layer.ndim == 2 else layer.permute(2, 0, 1)
    return otsu_masks(layer.unsqueeze(0), passes)[0, 0].numpy()
