"""The plain path: a network as a straightforward implementation computes it, with the same weights.

Two convolutions per gate, spectral norm applied at every forward, whole attention maps of n x n cells. Run it
in fp32 and torch's contiguous layout: the ratio to it is what our code gains.
"""

import types

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import GROUPS, cell_strength, transfer
from models.gated_conv import SLOPE, GatedConv2d
from models.refine import AttentionRefineNet


def make_plain(network: nn.Module) -> nn.Module:
    """`network` itself, from now on computed in the plain way."""
    for module in network.modules():
        if isinstance(module, GatedConv2d):
            module.forward = types.MethodType(_two_convolutions, module)
        elif isinstance(module, AttentionRefineNet):
            module.attend = types.MethodType(_whole_attention, module)
    return network


def _two_convolutions(self: GatedConv2d, x: Tensor) -> Tensor:
    content, gate = (
        F.conv2d(
            x,
            layer.normalised_weight() if self.spectral else layer.weight,
            layer.bias,
            layer.stride,
            layer.padding,
            layer.dilation,
        )
        for layer in (self.conv, self.conv_mask)
    )
    if self.activation:
        content = F.leaky_relu(content, SLOPE)
    return content * torch.sigmoid(gate)


def _whole_attention(self: AttentionRefineNet, highlight: Tensor, p1: Tensor, p2: Tensor) -> list[Tensor]:
    """The equations of models/attention.py, every map in memory at once: (B, 3, n, n)."""
    strength = cell_strength(highlight)
    features = F.interpolate(p2, scale_factor=0.5, mode="bilinear", align_corners=False)
    projected = self.attention_projection(strength)
    left, right = _tokens(projected * features), _tokens((1 - projected) * features)
    norms = left.norm(dim=-1, keepdim=True) * right.norm(dim=-1, keepdim=True).transpose(2, 3)
    cosine = (left @ right.transpose(2, 3)) / torch.where(norms > 0, norms, 1.0)
    scores = []
    for weight in (strength.flatten(2).unsqueeze(-1), 1 - strength.flatten(2).unsqueeze(-1)):
        pairs = weight @ weight.transpose(2, 3)
        scores.append(torch.softmax(cosine * pairs, dim=2) * pairs)
    attention = self.attention_trans(torch.cat(scores, dim=1))
    return [transfer(p1, attention), transfer(p2, attention)]


def _tokens(features: Tensor) -> Tensor:
    batch, channels, _, _ = features.shape
    return features.reshape(batch, GROUPS, channels // GROUPS, -1).transpose(2, 3)
