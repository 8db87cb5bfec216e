"""Contextual highlight attention: highlight cells look at highlight cells, the others at the others.

A cell is an 8x8 block of the image; the n_h x n_w cells of an image are its tokens, row by row.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from models.parallel import in_parts

GROUPS = 3  # one attention map for each channel of the highlight map
CELL = 8
HALO = 1  # columns that a 3x3 convolution sees beyond a strip
NARROW = 128  # columns of scores computed at once: what is computed from them stays in a core's cache
AT_ONCE = 4  # strips whose sums are alive at once, which bounds memory on many cores


def attended(
    highlight: Tensor,
    projected: Tensor,
    features: Tensor,
    merge: Callable[[Tensor], Tensor],
    values: Sequence[Tensor],
    *,
    strip: int | None = None,
) -> list[Tensor]:
    """`transfer(value, merge(attention_scores(highlight, projected, features)))` for each of `values`.

    merge  a 3x3 convolution from (B, 6, n, n) to the attention maps (B, 3, n, n)
    strip  columns of these maps that are alive at once on each core; None: all. A column is complete in
           itself (the softmax runs over rows), the convolution sees one more on either side, and the
           weighted sums are taken strip by strip: the same but for the order of additions, which does not
           depend on the number of cores. The scores of all columns take 24 n^2 bytes, 236 MB for 448x448
           pixels (n = 3136), and what is computed from them several times as much. Without gradients only,
           which need all.
    """
    n = highlight.shape[2] * highlight.shape[3]
    if strip is None or n <= strip:
        attention = merge(attention_scores(highlight, projected, features))
        return [transfer(value, attention.to(value.dtype)) for value in values]
    gathered = [_gathered(value, n) for value in values]
    precise = torch.promote_types(values[0].dtype, torch.float32)  # bf16 sums of strips would lose digits
    sums = [torch.zeros_like(cells, dtype=precise) for cells in gathered]

    def columns(start: int, stop: int) -> Tensor:
        first, last = max(start - HALO, 0), min(stop + HALO, n)
        scores = attention_scores(highlight, projected, features, slice(first, last))
        return merge(scores)[..., start - first : stop - first]

    def sums_of(strip_of_columns: tuple[int, int]) -> list[Tensor]:
        start, stop = strip_of_columns
        narrow = _cut(start, stop, NARROW)
        attention = torch.cat([columns(*some) for some in narrow], dim=3).to(values[0].dtype)
        return [attention @ cells[:, :, start:stop] for cells in gathered]

    strips = _cut(0, n, strip)
    for group in range(0, len(strips), AT_ONCE):
        for found in in_parts(sums_of, strips[group : group + AT_ONCE]):
            for total, part in zip(sums, found, strict=True):
                total += part
    return [_scattered(total.to(value.dtype), value) for total, value in zip(sums, values, strict=True)]


def _cut(start: int, stop: int, width: int) -> list[tuple[int, int]]:
    """As few pieces as `width` allows, alike but for a column."""
    count = -(-(stop - start) // width)
    edges = [start + (stop - start) * piece // count for piece in range(count + 1)]
    return list(pairwise(edges))


def attention_scores(
    highlight: Tensor, projected: Tensor, features: Tensor, columns: slice = slice(None)
) -> Tensor:
    """S_h and S_n, the two families of scores between cells, before they are merged.

    highlight  p  (B, 3, n_h, n_w)     strength in each cell
    projected  t  (B, 3k, n_h, n_w)    the learned projection T(p)
    features   F  (B, 3k, n_h, n_w)    content of each cell
    columns       which j
    returns       (B, 6, n, columns), n = n_h n_w: three maps of S_h, then three of S_n

    cos[i, j] = <t F[i], (1 - t) F[j]> / (|t F[i]| |(1 - t) F[j]|);  M_h = p p^T;  M_n = (1 - p)(1 - p)^T;
    S_h = softmax_i(cos M_h) M_h;  S_n = softmax_i(cos M_n) M_n.
    """
    cosine = _cosine(_tokens(projected * features), _tokens((1 - projected) * features)[:, :, columns])
    strength = highlight.flatten(2).unsqueeze(-1)  # (B, 3, n, 1)
    scores = []
    for weight in (strength, 1 - strength):
        pairs = weight * weight[:, :, columns].transpose(2, 3)
        scores.append(torch.softmax(cosine * pairs, dim=2) * pairs)
    return torch.cat(scores, dim=1)


def transfer(features: Tensor, attention: Tensor) -> Tensor:
    """Every cell becomes the attention-weighted sum of all cells.

    features (B, C, r n_h, r n_w), attention (B, 3, n, n) -> the shape of `features`. Channels are split
    in three groups. Cells are gathered interleaved (cell (a, b) holds the pixels (p n_h + a, q n_w + b))
    and scattered blocked (it fills (a r + p, b r + q)), so even an identity attention permutes pixels:
    the released code does so, and its weights expect it.
    """
    return _scattered(attention @ _gathered(features, attention.shape[-1]), features)


def _gathered(features: Tensor, n: int) -> Tensor:
    """(B, C, r n_h, r n_w) -> the cells (B, 3, n, r r C / 3)."""
    batch, channels, height, width = features.shape
    r = math.isqrt(int(height * width) // int(n))  # plain numbers, also where the network is traced
    n_h, n_w, k = height // r, width // r, channels // GROUPS
    cells = features.view(batch, GROUPS, k, r, n_h, r, n_w).permute(0, 1, 4, 6, 3, 5, 2)  # b g a b p q k
    return cells.reshape(batch, GROUPS, n, r * r * k)


def _scattered(cells: Tensor, like: Tensor) -> Tensor:
    """(B, 3, n, r r C / 3) -> the shape of `like`, (B, C, r n_h, r n_w)."""
    batch, channels, height, width = like.shape
    r = math.isqrt(int(height * width) // int(cells.shape[2]))
    n_h, n_w, k = height // r, width // r, channels // GROUPS
    blocks = cells.view(batch, GROUPS, n_h, n_w, r, r, k).permute(0, 1, 6, 2, 4, 3, 5)  # b g k a p b q
    return blocks.reshape(batch, channels, height, width)


def cell_strength(highlight: Tensor) -> Tensor:
    """A (B, 1, H, W) -> p (B, 3, H/8, W/8), its maximum in every cell."""
    return F.max_pool2d(highlight, CELL).expand(-1, 3, -1, -1)


def _tokens(features: Tensor) -> Tensor:
    batch, channels, _, _ = features.shape
    return features.reshape(batch, GROUPS, channels // GROUPS, -1).transpose(2, 3)  # (B, 3, n, k)


def _cosine(left: Tensor, right: Tensor) -> Tensor:
    return _unit(left) @ _unit(right).transpose(2, 3)


def _unit(tokens: Tensor) -> Tensor:
    norms = tokens.norm(dim=-1, keepdim=True)
    # The released code divides 0 by 0 for empty cells; a cosine of 0 there changes no other value.
    return tokens / torch.where(norms > 0, norms, 1.0)
