"""Backbones of the AHA networks, cut so that each part gives one map of features."""

import math
from collections import OrderedDict

from torch import Tensor, nn
from torchvision.models import resnet34
from torchvision.models.resnet import BasicBlock


def resnet34_stages() -> tuple[nn.Sequential, nn.Sequential, nn.Sequential]:
    """ResNet-34 up to layer4: 128 channels at 1/8, 256 at 1/16, 512 at 1/32; random weights."""
    trunk = resnet34(weights=None)
    stage1 = nn.Sequential(trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool, trunk.layer1, trunk.layer2)
    return stage1, trunk.layer3, trunk.layer4


def resnet34_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's ResNet-34 entries under the names of `resnet34_stages` (stage1.0 ... stage3.2).

    The classifier is left out. Raises KeyError for an entry that ResNet-34 does not have.
    """
    places = {"conv1": "stage1.0", "bn1": "stage1.1", "layer1": "stage1.4", "layer2": "stage1.5"}
    places |= {"layer3": "stage2", "layer4": "stage3"}
    renamed = {}
    for name, value in state.items():
        layer, _, rest = name.partition(".")
        if layer != "fc":
            renamed[f"{places[layer]}.{rest}"] = value
    return renamed


def small_stages(channels: tuple[int, int, int]) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential]:
    """A light residual trunk: the given channels at 1/4, 1/8 and 1/16.

    It stops one octave earlier than ResNet-34, so that the map is drawn on a grid twice as fine.
    """
    fine, middle, deep = channels
    stem = nn.Sequential(nn.Conv2d(3, fine, 5, 2, 2, bias=False), nn.BatchNorm2d(fine), nn.ReLU(inplace=True))
    stage1 = nn.Sequential(stem, _block(fine, fine), _block(fine, fine, stride=1))
    stage2 = nn.Sequential(_block(fine, middle), _block(middle, middle, stride=1))
    return stage1, stage2, nn.Sequential(_block(middle, deep), _block(deep, deep, stride=1))


def _block(in_channels: int, out_channels: int, stride: int = 2) -> BasicBlock:
    shortcut = None
    if stride != 1 or in_channels != out_channels:
        shortcut = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
        )
    return BasicBlock(in_channels, out_channels, stride, shortcut)


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite (Tan & Le 2019, without squeeze-and-excitation and with ReLU6) up to its last block.

    width, depth  multipliers of the channels and of the repeats: 1, 1 for Lite0; 1, 1.1 for Lite1; 1.1, 1.2
                  for Lite2; the stem, and the repeats of the first and the last stage, stay

    The statistics of its batch norms never change: a training's batches are too small for them.
    """

    # Expansion, kernel, stride, channels and repeats of Lite0's stages.
    STAGES = (
        (1, 3, 1, 16, 1),
        (6, 3, 2, 24, 2),
        (6, 5, 2, 40, 2),
        (6, 3, 2, 80, 3),
        (6, 5, 1, 112, 3),
        (6, 5, 2, 192, 4),
        (6, 3, 1, 320, 1),
    )
    STEM = 32

    def __init__(self, width: float = 1.0, depth: float = 1.0):
        super().__init__()
        self.stem = nn.Sequential(
            SamePadding(3, 2),
            nn.Conv2d(3, self.STEM, 3, 2, bias=False),
            FrozenBatchNorm2d(self.STEM),
            nn.ReLU6(inplace=True),
        )
        blocks: list[nn.Module] = []
        before = self.STEM
        ends = []  # blocks before which the features are halved, and the last one
        for stage, (expansion, kernel, stride, channels, repeats) in enumerate(self.STAGES):
            if 0 < stage < len(self.STAGES) - 1:
                repeats = math.ceil(depth * repeats)
            if stride == 2:
                ends.append((len(blocks) - 1, before))
            channels = _multiple_of_8(width * channels)
            for repeat in range(repeats):
                blocks.append(
                    InvertedResidual(before, channels, expansion, kernel, stride if repeat == 0 else 1)
                )
                before = channels
        ends.append((len(blocks) - 1, before))
        self.blocks = nn.ModuleList(blocks)
        self.taken = tuple(index for index, _ in ends)
        self.channels = [channels for _, channels in ends]
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, image: Tensor) -> list[Tensor]:
        """image (B, 3, H, W) in [0, 1], H and W multiples of 32 -> features at 1/2, 1/4, 1/8, 1/16 and 1/32,
        (B, self.channels[i], ...) each."""
        x, features = self.stem((image - 0.5) * (255 / 128)), []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.taken:
                features.append(x)
        return features


class InvertedResidual(nn.Sequential):
    """Expansion, depthwise convolution, projection; x is added where shapes agree (Sandler et al. 2018)."""

    def __init__(self, in_channels: int, out_channels: int, expansion: int, kernel: int, stride: int):
        inner = expansion * in_channels
        layers: dict[str, nn.Module] = {}
        if expansion > 1:
            layers["expand"] = nn.Conv2d(in_channels, inner, 1, bias=False)
            layers["expand_norm"] = FrozenBatchNorm2d(inner)
            layers["expand_activation"] = nn.ReLU6(inplace=True)
        if stride == 2:
            layers["pad"] = SamePadding(kernel, stride)
        padding = 0 if stride == 2 else kernel // 2
        layers["depthwise"] = nn.Conv2d(inner, inner, kernel, stride, padding, groups=inner, bias=False)
        layers["depthwise_norm"] = FrozenBatchNorm2d(inner)
        layers["depthwise_activation"] = nn.ReLU6(inplace=True)
        layers["project"] = nn.Conv2d(inner, out_channels, 1, bias=False)
        layers["project_norm"] = FrozenBatchNorm2d(out_channels)
        super().__init__(OrderedDict(layers))
        self.adds = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H / stride, W / stride)."""
        found = super().forward(x)
        return x + found if self.adds else found


class SamePadding(nn.ZeroPad2d):
    """Zeros as TensorFlow's "same" puts them before a strided convolution: on even sides one less at the top
    and the left than at the bottom and the right."""

    def __init__(self, kernel: int, stride: int):
        total = kernel - stride
        super().__init__((total // 2, total - total // 2) * 2)


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """A batch norm that keeps its statistics in training; scale and shift can be learned."""

    def __init__(self, channels: int):
        super().__init__(channels, eps=1e-3)
        self.eval()

    def train(self, mode: bool = True) -> "FrozenBatchNorm2d":
        """Stays in eval mode."""
        return super().train(False)


def efficientnet_lite_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Entries of the efficientnet-lite packages under the names of `EfficientNetLite`.

    The classifier is left out. Raises KeyError for an entry that the network does not have.
    """
    in_block = {
        "_expand_conv": "expand",
        "_bn0": "expand_norm",
        "_depthwise_conv": "depthwise",
        "_bn1": "depthwise_norm",
        "_project_conv": "project",
        "_bn2": "project_norm",
    }
    outside = {"_conv_stem": "stem.1", "_bn0": "stem.2"}
    renamed = {}
    for name, value in state.items():
        first, _, rest = name.partition(".")
        if first == "_blocks":
            index, layer, entry = rest.split(".")
            renamed[f"blocks.{index}.{in_block[layer]}.{entry}"] = value
        elif first not in ("_conv_head", "_bn1", "_fc"):
            renamed[f"{outside[first]}.{rest}"] = value
    return renamed


def _multiple_of_8(channels: float) -> int:
    """The nearest multiple of 8 that is not more than a tenth below."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
