"""A network made ready for inference: the same function with less arithmetic, no longer trainable."""

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import BasicBlock

from models.gated_conv import GatedConv2d, gated
from models.spectral_norm import SpectralNormConv2d
from models.unet import DownConv, UpConv

# Modules whose children run in the order of their names here: convolution, then its batch norm.
NORMALISED = {
    BasicBlock: (("conv1", "bn1"), ("conv2", "bn2")),
    DownConv: (("conv", "after"),),
    UpConv: (("conv", "after"),),
}


class FusedGatedConv2d(nn.Module):
    """A `GatedConv2d` whose two convolutions are one, made once; the same bits."""

    def __init__(self, layer: GatedConv2d):
        super().__init__()
        weight, bias = layer.joint_weights()
        self.both = _convolution(layer.conv, weight, bias)
        self.activation = layer.activation

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H / stride, W / stride)."""
        return gated(self.both(x), self.activation)


def prepare_for_inference(
    model: nn.Module, *, fold_batch_norm: bool = True, channels_last: bool = True
) -> nn.Module:
    """A copy of `model` in eval mode that computes the same with less work; `model` itself stays trainable.

    Gated convolutions become one convolution each and spectral norms are divided out, which changes no bit.
    Parameters need no gradient; `spec` is kept. The state dict is not that of the network any more: save the
    original.

    fold_batch_norm  batch norms are folded into the convolutions before them: other rounding
    channels_last    weights are stored so that vectors run over channels, which is faster in most
                     convolutions: other rounding too
    """
    copied = copy.deepcopy(model).eval()
    with torch.no_grad():
        if fold_batch_norm:
            for module in list(copied.modules()):
                _fold_batch_norms(module)
        _replace_convolutions(copied)
    copied.requires_grad_(False)
    return copied.to(memory_format=torch.channels_last) if channels_last else copied


def _fold_batch_norms(module: nn.Module) -> None:
    for first, second in _normalised_pairs(module):
        convolution, norm = getattr(module, first), getattr(module, second)
        if isinstance(norm, nn.BatchNorm2d):
            transposed = isinstance(convolution, nn.ConvTranspose2d)
            setattr(module, first, fuse_conv_bn_eval(convolution, norm, transpose=transposed))
            setattr(module, second, nn.Identity())


def _replace_convolutions(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, GatedConv2d):
            setattr(module, name, FusedGatedConv2d(child))
        elif isinstance(child, SpectralNormConv2d):
            setattr(module, name, _convolution(child, child.normalised_weight(), child.bias))
        else:
            _replace_convolutions(child)


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


def _convolution(like: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """A plain convolution with the geometry of `like` and these weights."""
    made = nn.Conv2d(
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
