"""Highlight masks from a specular layer: Otsu's threshold on CIE Lab L, one pass or two.

SHIQ's own masks are made by two passes on the specular image, the second over the pixels that the first kept;
TSHRNet's tone correction uses one (FACTS.md, sections 4 and 5). Both are one rule with a number of passes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

BINS = 256


def lightness(image: Tensor) -> Tensor:
    """CIE Lab L in [0, 100] (D65) of sRGB values in [0, 1]: (B, 3, H, W) or (B, 1, H, W) -> (B, 1, H, W)."""
    linear = torch.where(image <= 0.04045, image / 12.92, ((image.clamp_min(0) + 0.055) / 1.055) ** 2.4)
    if linear.shape[1] == 3:
        linear = (linear * linear.new_tensor([0.212671, 0.715160, 0.072169]).view(1, 3, 1, 1)).sum(1, True)
    cube_root = torch.where(
        linear > (6 / 29) ** 3, linear.clamp_min(1e-12) ** (1 / 3), linear * (841 / 108) + 4 / 29
    )
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


def otsu_masks(specular: Tensor, passes: int = 2) -> Tensor:
    """Highlight masks of a batch of specular layers.

    `specular` (B, 3, H, W) or (B, 1, H, W) in [0, 1] display values; returns bool (B, 1, H, W).
    Pass k thresholds min-max normalised Lab L of the pixels that pass k - 1 kept (all pixels at first) in 256
    bins. A pass over pixels of a single value keeps them, except that the first then keeps none: a constant
    layer, as of a picture without highlights, has an empty mask.
    """
    if passes < 1:
        raise ValueError(f"passes must be at least 1, got {passes}")
    level = lightness(specular.float()).flatten(1)
    batch = level.shape[0]
    kept = torch.ones_like(level, dtype=torch.bool)
    offset = (torch.arange(batch, device=level.device) * BINS).unsqueeze(1)
    for number in range(passes):
        low = torch.where(kept, level, torch.inf).amin(1, keepdim=True)
        high = torch.where(kept, level, -torch.inf).amax(1, keepdim=True)
        # An 8-bit step is at least 0.2 of L; anything flatter than this is one value with rounding on it.
        spread = (high - low) > 1e-3
        bins = ((level - low) / (high - low).clamp_min(1e-3) * (BINS - 1)).nan_to_num(0).round().long()
        bins = bins.clamp(0, BINS - 1)
        counts = torch.zeros(batch * BINS, device=level.device, dtype=torch.float64)
        counts.index_add_(0, (bins + offset).flatten(), kept.flatten().double())
        above = bins > otsu_threshold(counts.view(batch, BINS)).unsqueeze(1)
        flat_answer = kept if number else torch.zeros_like(kept)
        kept = torch.where(spread, kept & above, flat_answer)
    return kept.view(batch, 1, *specular.shape[-2:])


def otsu_mask(specular: np.ndarray, passes: int = 2) -> np.ndarray:
    """Highlight mask of one layer: (H, W, 3) or (H, W) in [0, 1] -> bool (H, W); see `otsu_masks`."""
    layer = torch.from_numpy(np.ascontiguousarray(specular, dtype=np.float32))
    layer = layer.unsqueeze(0) if layer.ndim == 2 else layer.permute(2, 0, 1)
    return otsu_masks(layer.unsqueeze(0), passes)[0, 0].numpy()
