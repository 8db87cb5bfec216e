"""Contextual highlight attention: highlight cells look at highlight cells, the others at the others.

A cell is an 8x8 block of the image; the n_h x n_w cells of an image are its tokens, row by row.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

GROUPS = 3  # one attention map for each channel of the highlight map
CELL = 8


def attention_scores(highlight: Tensor, projected: Tensor, features: Tensor) -> Tensor:
    """S_h and S_n, the two families of scores between cells, before they are merged.

    highlight  p  (B, 3, n_h, n_w)     strength in each cell
    projected  t  (B, 3k, n_h, n_w)    the learned projection T(p)
    features   F  (B, 3k, n_h, n_w)    content of each cell
    returns       (B, 6, n, n), n = n_h n_w: three maps of S_h, then three of S_n

    cos[i, j] = <t F[i], (1 - t) F[j]> / (|t F[i]| |(1 - t) F[j]|);  M_h = p p^T;  M_n = (1 - p)(1 - p)^T;
    S_h = softmax_i(cos M_h) M_h;  S_n = softmax_i(cos M_n) M_n.
    """
    cosine = _cosine(_tokens(projected * features), _tokens((1 - projected) * features))
    strength = highlight.flatten(2).unsqueeze(-1)  # (B, 3, n, 1)
    scores = []
    for weight in (strength, 1 - strength):
        pairs = weight @ weight.transpose(2, 3)
        scores.append(torch.softmax(cosine * pairs, dim=2) * pairs)
    return torch.cat(scores, dim=1)


def transfer(features: Tensor, attention: Tensor) -> Tensor:
    """Every cell becomes the attention-weighted sum of all cells.

    features (B, C, r n_h, r n_w), attention (B, 3, n, n) -> the shape of `features`. Channels are split
    in three groups. Cells are gathered interleaved (cell (a, b) holds the pixels (p n_h + a, q n_w + b))
    and scattered blocked (it fills (a r + p, b r + q)), so even an identity attention permutes pixels:
    the released code does so, and its weights expect it.
    """
    batch, channels, height, width = features.shape
    n = attention.shape[-1]
    r = round((height * width / n) ** 0.5)
    n_h, n_w, k = height // r, width // r, channels // GROUPS
    gathered = features.view(batch, GROUPS, k, r, n_h, r, n_w).permute(0, 1, 4, 6, 3, 5, 2)  # b g a b p q k
    mixed = attention @ gathered.reshape(batch, GROUPS, n, r * r * k)
    scattered = mixed.view(batch, GROUPS, n_h, n_w, r, r, k).permute(0, 1, 6, 2, 4, 3, 5)  # b g k a p b q
    return scattered.reshape(batch, channels, height, width)


def cell_strength(highlight: Tensor) -> Tensor:
    """A (B, 1, H, W) -> p (B, 3, H/8, W/8), its maximum in every cell."""
    return F.max_pool2d(highlight, CELL).expand(-1, 3, -1, -1)


def _tokens(features: Tensor) -> Tensor:
    batch, channels, _, _ = features.shape
    return features.reshape(batch, GROUPS, channels // GROUPS, -1).transpose(2, 3)  # (B, 3, n, k)


def _cosine(left: Tensor, right: Tensor) -> Tensor:
    norms = left.norm(dim=-1, keepdim=True) * right.norm(dim=-1, keepdim=True).transpose(2, 3)
    # The released code divides 0 by 0 for empty cells; a cosine of 0 there changes no other value.
    return (left @ right.transpose(2, 3)) / torch.where(norms > 0, norms, 1.0)
