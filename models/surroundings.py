"""Colours under clipped highlights, taken from their surroundings.

Where a sensor was saturated, R, G and B no longer tell the surface's colour, only that it was bright. The
paper asks for no colour inconsistency between a cleaned highlight and what is around it, so the chromaticity
comes from there: by normalised convolution on a pyramid of averages (Knutsson & Westin 1993; the push-pull of
Gortler et al. 1996). How bright the surface is stays the network's to say.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.bounds import SATURATED

LEVELS = 8
"""Of the pyramid; the coarsest value of a picture of 256 pixels is its mean."""

HEADROOM = 0.4
"""Below saturation by so much or more, a channel says all about its colour."""

LIMIT = 0.1
"""The same where a pixel is to give its colour to others: it counts less by the fourth power."""

MARGIN = 3
"""Side of the window whose largest value in the highlight map says how little a pixel's colour counts: inside
it is the network's own guess, and at its edge the highlight is mixed in."""

HANDOVER = 5
"""Side of the window over which the share of the surroundings' colours is averaged, twice, once it is widened
so that clipped pixels keep theirs: from one pixel to the next it changes by no more than a fifth, so that no
line is seen where the surroundings take over from the network."""

VIVID = 4
"""Power of its saturation by which each of two colours counts."""

LEAST = 1e-5
"""Weight of a pixel without any, so that a picture that is clipped all over keeps the network's colours."""

LUMA = (0.299, 0.587, 0.114)


def with_surrounding_colours(image: Tensor, diffuse: Tensor, highlight: Tensor, content: Tensor) -> Tensor:
    """`content` N with the chromaticity of the diffuse layer around it, as far as the image is saturated.

    image I, diffuse D and content N (B, 3, H, W), highlight A (B, 1, H, W), all about [0, 1]; any H, W >= 1.
    The luminance of N stays. Pixels that are darker than SATURATED by HEADROOM keep their colour unless they
    are within 8 pixels (twice HANDOVER // 2, twice) of brighter ones.

    Both guesses err towards grey, that of the surroundings because the highlight is mixed in at its edge, the
    network's because it hedges: so the more saturated of the two counts more.
    """
    below = SATURATED - image
    open_to_others = (below.amin(dim=1, keepdim=True) / LIMIT).clamp(0, 1)
    outside = 1 - largest_around(highlight.clamp(0, 1), MARGIN // 2)
    weight = open_to_others.square().square() * outside.square()
    around = fill(diffuse, weight)
    brightness = luminance(content) / luminance(around).clamp_min(1e-3)
    clipped = 1 - (below / HEADROOM).clamp(0, 1).mean(dim=1, keepdim=True)
    theirs, own = vividness(around), vividness(content)
    share = _handed_over(clipped * theirs / (theirs + own))
    return torch.lerp(content, around * brightness, share.expand_as(content))


def fill(values: Tensor, weight: Tensor) -> Tensor:
    """values (B, C, H, W) where `weight` (B, 1, H, W) in [0, 1] is 1; towards 0 more and more what is around.

    Each level of the pyramid is the weighted mean of four pixels of the one before.
    """
    levels = [(values, weight.clamp_min(LEAST))]
    for _ in range(LEVELS):
        values, weight = levels[-1]
        share = _halved(weight)
        levels.append((_halved(values * weight) / share, (4 * share).clamp_max(1)))
    filled = levels.pop()[0]
    for values, weight in reversed(levels):
        enlarged = F.interpolate(filled, size=values.shape[-2:], mode="bilinear", align_corners=False)
        filled = torch.lerp(enlarged, values, weight.expand_as(values))
    return filled


def vividness(colours: Tensor) -> Tensor:
    """Saturation (B, 1, H, W) of colours (B, 3, H, W) as in HSV, at least 0.1, to the power VIVID."""
    red, green, blue = colours.split(1, dim=1)
    # Pairwise: the gradient of amax divides by the number of pixels that equal it, which is 0 for some where
    # torch.compile computes the colours again with other roundings.
    most = torch.maximum(torch.maximum(red, green), blue)
    least = torch.minimum(torch.minimum(red, green), blue)
    saturation = 1 - least.clamp_min(0) / most.clamp_min(1e-3)
    return saturation.clamp_min(0.1) ** VIVID


def luminance(colours: Tensor) -> Tensor:
    """Luma (B, 1, H, W) of display values (B, 3, H, W), ITU-R BT.601."""
    red, green, blue = colours.split(1, dim=1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def _handed_over(share: Tensor) -> Tensor:
    """`share` (B, 1, H, W) fading out around where it is large, by steps of at most 1 / HANDOVER a pixel."""
    reach = HANDOVER // 2
    share = largest_around(share, 2 * reach)
    for _ in range(2):
        share = F.avg_pool2d(share, HANDOVER, stride=1, padding=reach, count_include_pad=False)
    return share


def largest_around(x: Tensor, reach: int) -> Tensor:
    """The largest value within `reach` rows and columns of each pixel of x (B, 1, H, W) >= 0.

    On one channel ten times as fast as max_pool2d: windows of 1, 2, 4, ... pixels, each from two of the last.
    """
    for _ in range(2):
        x = F.pad(x, (reach, reach))
        seen = 1
        while seen < 2 * reach + 1:
            step = min(seen, 2 * reach + 1 - seen)
            x = torch.maximum(x[..., :-step], x[..., step:])
            seen += step
        x = x.transpose(-1, -2)
    return x


def _halved(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)
