"""The refine networks: believable content under the highlight, from the coarse composition."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import GROUPS, attended, cell_strength
from models.bounds import straight_through_clamp
from models.gated_conv import GatedConv2d, UpsampleGatedConv2d, in_pairs

PROJECTION_SEED = 2024
ATTENTION_STRIP = 512  # columns of the attention maps alive at once; all of them up to 176x176 pixels
SCORES_ON_GPU = 2**30
"""Bytes of attention scores up to which a GPU takes all columns at once: strips are for a core's cache."""


class AttentionRefineNet(nn.Module):
    """The released refine network, with contextual highlight attention.

    widths  channels at full, half and quarter resolution; (48, 96, 192) in the released code. Raises
            ValueError where the first or the last is no multiple of three, the groups of the attention
    """

    def __init__(self, widths: tuple[int, int, int], dilations: tuple[int, int, int, int]):
        super().__init__()
        full, half, quarter = widths
        if full % GROUPS or quarter % GROUPS:
            raise ValueError(f"widths {tuple(widths)}: the first and the last must be multiples of {GROUPS}")
        d1, d2, d3, d4 = dilations
        self.refine1 = nn.Sequential(GatedConv2d(6, full, 5), GatedConv2d(full, full, stride=2))
        self.refine2 = nn.Sequential(GatedConv2d(full, half), GatedConv2d(half, half, stride=2))
        self.refine3 = nn.Sequential(GatedConv2d(half, quarter), GatedConv2d(quarter, quarter))
        self.refine4 = nn.Sequential(
            GatedConv2d(quarter, quarter, dilation=d1), GatedConv2d(quarter, quarter, dilation=d2)
        )
        self.refine5 = nn.Sequential(
            GatedConv2d(quarter, quarter, dilation=d3), GatedConv2d(quarter, quarter, dilation=d4)
        )
        self.refine6 = nn.Sequential(
            GatedConv2d(2 * quarter, quarter), UpsampleGatedConv2d(quarter, half), GatedConv2d(half, full)
        )
        self.refine7 = nn.Sequential(UpsampleGatedConv2d(2 * full, full), GatedConv2d(full, 3), nn.Tanh())
        self.conv_P1 = nn.Sequential(GatedConv2d(full, full))
        self.conv_P2 = nn.Sequential(GatedConv2d(quarter, quarter))
        self.attention_trans = nn.Sequential(GatedConv2d(6, 3))
        # The authors draw this layer anew at every forward. Here it is an ordinary layer; a fixed seed
        # makes checkpoints that lack it give the same pixels everywhere.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(PROJECTION_SEED)
            self.attention_projection = nn.ConvTranspose2d(3, quarter, 3, stride=1, padding=1)

    def forward(self, composite: Tensor, highlight: Tensor) -> Tensor:
        """D_hat_coarse (B, 3, H, W), A (B, 1, H, W) -> N_refined (B, 3, H, W) in [0, 1].

        H and W are multiples of 8.
        """
        p1 = self.refine1(torch.cat([composite, highlight.expand(-1, 3, -1, -1)], dim=1))  # 1/2
        x = self.refine3(self.refine2(p1))  # 1/4
        x = self.refine4(x) + x
        p2 = self.refine5(x) + x

        mixed_p1, mixed_p2 = self.attend(highlight, p1, p2)
        x = torch.cat([p2, self.conv_P2(mixed_p2)], dim=1)
        x = torch.cat([self.refine6(x), self.conv_P1(mixed_p1)], dim=1)  # 1/2
        return self.refine7(x).clamp(0, 1)

    def attend(self, highlight: Tensor, p1: Tensor, p2: Tensor) -> list[Tensor]:
        """p1 (B, full, H/2, W/2) and p2 (B, quarter, H/4, W/4) with their cells mixed by attention."""
        strength = cell_strength(highlight)
        cells = strength.shape[2] * strength.shape[3]
        fits = strength.is_cuda and 24 * len(strength) * cells**2 <= SCORES_ON_GPU
        features = F.interpolate(p2, scale_factor=0.5, mode="bilinear", align_corners=False)  # 1/8
        return attended(
            strength,
            self.attention_projection(strength),
            features,
            self.attention_trans,
            (p1, p2),
            strip=None if torch.is_grad_enabled() or fits else ATTENTION_STRIP,
        )


class FigureRefineNet(nn.Module):
    """The refine network of the paper's figure: the coarse one's widths and two skips, no attention."""

    def __init__(
        self,
        widths: tuple[int, int, int],
        dilations: tuple[int, ...],
        *,
        stem: int = 5,
        residual: bool = False,
    ):
        super().__init__()
        full, half, quarter = widths
        self.encode_full = GatedConv2d(6, full, stem)
        self.encode_half = nn.Sequential(GatedConv2d(full, half, stride=2), GatedConv2d(half, half))
        self.encode_quarter = GatedConv2d(half, quarter, stride=2)
        middle = [GatedConv2d(quarter, quarter, dilation=d) for pair in dilations for d in (pair, 1)]
        self.middle = in_pairs(middle) if residual else nn.Sequential(*middle)
        self.up_half = UpsampleGatedConv2d(quarter, half)
        self.merge_half = GatedConv2d(2 * half, half)
        self.up_full = nn.Sequential(UpsampleGatedConv2d(half, full), GatedConv2d(full, full))
        self.merge_full = GatedConv2d(2 * full, 3, activation=False)

    def forward(self, composite: Tensor, highlight: Tensor) -> Tensor:
        """D_hat_coarse (B, 3, H, W), A (B, 1, H, W) -> N_refined (B, 3, H, W) in [0, 1].

        H and W are multiples of 4.
        """
        full = self.encode_full(torch.cat([composite, highlight.expand(-1, 3, -1, -1)], dim=1))
        half = self.encode_half(full)
        x = self.middle(self.encode_quarter(half))
        x = self.merge_half(torch.cat([self.up_half(x), half], dim=1))
        x = self.merge_full(torch.cat([self.up_full(x), full], dim=1))
        return straight_through_clamp(torch.tanh(x))
