"""The coarse network: a first guess of what lies under the highlight."""

import torch
from torch import Tensor, nn

from models.gated_conv import GatedConv2d, UpsampleGatedConv2d, in_pairs


class CoarseNet(nn.Module):
    """Encoder, dilated middle and decoder of gated convolutions, without skips.

    widths     channels at full, half and quarter resolution; (48, 96, 192) in the paper
    dilations  of the middle's convolutions; 2, 4, 8, 16 in the released code
    stem       kernel of the first convolution; 5 in the released code
    residual   the middle's convolutions add to their input, in pairs; False in the released code
    """

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
        self.coarse1 = nn.Sequential(
            GatedConv2d(6, full, stem),
            GatedConv2d(full, half, stride=2),
            GatedConv2d(half, half),
            GatedConv2d(half, quarter, stride=2),
        )
        middle = [GatedConv2d(quarter, quarter, dilation=d) for d in (1, 1, *dilations, 1, 1)]
        self.coarse2 = in_pairs(middle) if residual else nn.Sequential(*middle)
        self.coarse3 = nn.Sequential(
            UpsampleGatedConv2d(quarter, half),
            GatedConv2d(half, half),
            UpsampleGatedConv2d(half, full),
            GatedConv2d(full, full // 2),
            GatedConv2d(full // 2, 3, activation=False),
            nn.Tanh(),
        )

    def forward(self, image: Tensor, highlight: Tensor) -> Tensor:
        """I (B, 3, H, W) in [0, 1], A (B, 1, H, W) -> N_coarse (B, 3, H, W) in [-1, 1]."""
        x = torch.cat([image, highlight.expand(-1, 3, -1, -1)], dim=1)
        return self.coarse3(self.coarse2(self.coarse1(x)))
