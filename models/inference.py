"""A network made ready for inference: the same function with less arithmetic, no longer trainable."""

import copy
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import BasicBlock

from models.gated_conv import SLOPE, GatedConv2d, gated
from models.mixed_precision import COLOURS
from models.prepared import MOST_PARTS, PreparedConv2d, PreparedConvTranspose2d, SideBySide
from models.spectral_norm import SpectralNormConv2d
from models.unet import DownConv, UpConv

# Modules whose children run in the order of their names here: convolution, then its batch norm.
NORMALISED = {
    BasicBlock: (("conv1", "bn1"), ("conv2", "bn2")),
    DownConv: (("conv", "after"),),
    UpConv: (("conv", "after"),),
}


LEAST_CHANNELS = 64  # of a part of a transposed convolution


class FusedGatedConv2d(nn.Module):
    """A `GatedConv2d` whose two convolutions are one, made once; the same bits."""

    def __init__(self, layer: GatedConv2d):
        super().__init__()
        weight, bias = layer.joint_weights()
        self.both = _convolution(layer.conv, weight, bias)
        self.activation = layer.activation

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H / stride, W / stride)."""
        gate = gated if self.both.weight.dtype == torch.float32 else _gated_in_place
        channels = self.both.out_channels // 2
        return self.both.then(x, lambda both: gate(both, self.activation), channels)


def _gated_in_place(both: Tensor, activation: bool) -> Tensor:
    """`gated` without gradients, for 16-bit types: on contiguous memory torch computes their sigmoid four
    times as fast as in one half of the channels."""
    content, gate = both.chunk(2, dim=1)
    channels_last = both.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    # A copy, not `contiguous`: that gives the half itself back where it is one piece already.
    found = torch.empty(gate.shape, dtype=gate.dtype, device=gate.device, memory_format=layout).copy_(gate)
    found.sigmoid_().mul_(content)
    return F.leaky_relu(found, SLOPE, inplace=True) if activation else found


def prepare_for_inference(
    model: nn.Module,
    *,
    fold_batch_norm: bool = True,
    channels_last: bool = True,
    dtype: torch.dtype | None = None,
) -> nn.Module:
    """A copy of `model` in eval mode that computes the same with less work; `model` itself stays trainable.

    Gated convolutions become one convolution each and spectral norms are divided out, which changes no bit.
    Parameters need no gradient; `spec` is kept. The state dict is not that of the network any more: save the
    original.

    fold_batch_norm  batch norms are folded into the convolutions before them: other rounding
    channels_last    weights are stored so that vectors run over channels, which is faster in most
                     convolutions, and wide transposed convolutions are cut in parts for several cores: other
                     rounding too
    dtype            of the convolutions to more than COLOURS channels, bfloat16 or float16; what they give is
                     summed, normalised and composed in the type of the image. None: as they are
    """
    copied = copy.deepcopy(model).eval()
    with torch.no_grad():
        if fold_batch_norm:
            for module in list(copied.modules()):
                _fold_batch_norms(module)
        _replace_convolutions(copied, dtype, split=channels_last)
    copied.requires_grad_(False)
    if channels_last:
        copied.to(memory_format=torch.channels_last)
        for layer in copied.modules():
            # Of three values a pixel vectors are longer across the attention maps, which are large.
            if isinstance(layer, FusedGatedConv2d) and max(layer.both.weight.shape[:2]) <= 2 * COLOURS:
                layer.to(memory_format=torch.contiguous_format)
    return copied


def _fold_batch_norms(module: nn.Module) -> None:
    for first, second in _normalised_pairs(module):
        convolution, norm = getattr(module, first), getattr(module, second)
        if isinstance(norm, nn.BatchNorm2d):
            transposed = isinstance(convolution, nn.ConvTranspose2d)
            setattr(module, first, fuse_conv_bn_eval(convolution, norm, transpose=transposed))
            setattr(module, second, nn.Identity())


def _replace_convolutions(module: nn.Module, dtype: torch.dtype | None, split: bool) -> None:
    for name, child in module.named_children():
        made: nn.Module
        if isinstance(child, GatedConv2d):
            made, outputs = FusedGatedConv2d(child), child.conv.out_channels
        elif isinstance(child, SpectralNormConv2d):
            made = _convolution(child, child.normalised_weight(), child.bias)
            outputs = child.out_channels
        elif isinstance(child, nn.ConvTranspose2d):
            parts = max(1, child.out_channels // LEAST_CHANNELS) if split and child.groups == 1 else 1
            made = _transposed_convolution(child, min(MOST_PARTS, parts))
            outputs = child.out_channels
        elif isinstance(child, nn.Conv2d):
            made, outputs = _convolution(child, child.weight, child.bias), child.out_channels
        else:
            _replace_convolutions(child, dtype, split)
            continue
        setattr(module, name, made.to(dtype) if dtype is not None and outputs > COLOURS else made)


def _normalised_pairs(module: nn.Module) -> list[tuple[str, str]]:
    """Names of a module's convolutions and of the batch norm that comes right behind each."""
    for kind, pairs in NORMALISED.items():
        if isinstance(module, kind):
            return list(pairs)
    if isinstance(module, nn.Sequential):
        children = list(module.named_children())
        return [
            (first, second)
            for (first, convolution), (second, norm) in pairwise(children)
            if type(convolution) is nn.Conv2d and isinstance(norm, nn.BatchNorm2d)
        ]
    return []


def _convolution(like: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> PreparedConv2d:
    """A convolution with the geometry of `like` and these weights."""
    made = PreparedConv2d(
        weight.shape[1] * like.groups,
        weight.shape[0],
        like.kernel_size,
        like.stride,
        like.padding,
        like.dilation,
        like.groups,
        bias=bias is not None,
        device=weight.device,
        dtype=weight.dtype,
    )
    made.weight.copy_(weight)
    if bias is not None:
        made.bias.copy_(bias)
    return made


def _transposed_convolution(like: nn.ConvTranspose2d, parts: int) -> nn.Module:
    """Of a U-Net's many channels and few rows the channels are shared out over cores, in so many parts."""
    edges = [like.out_channels * part // parts for part in range(parts + 1)]
    made = [_some_channels(like, slice(*some)) for some in pairwise(edges)]
    return SideBySide(made) if parts > 1 else made[0]


def _some_channels(like: nn.ConvTranspose2d, channels: slice) -> PreparedConvTranspose2d:
    weight = like.weight[:, channels]
    made = PreparedConvTranspose2d(
        like.in_channels,
        weight.shape[1],
        like.kernel_size,
        like.stride,
        like.padding,
        like.output_padding,
        like.groups,
        like.bias is not None,
        like.dilation,
        device=weight.device,
        dtype=weight.dtype,
    )
    made.weight.copy_(weight)
    if like.bias is not None:
        made.bias.copy_(like.bias[channels])
    return made
