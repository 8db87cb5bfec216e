"""Backbones of the AHA module: three stages in a row, cut so that each gives one map of features."""

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
