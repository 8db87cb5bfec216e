"""Networks that find their map first, and those that find it together with the layers."""

import torch
from torch import Tensor, nn

from models import Separation


class AtOnce(nn.Module):
    """A network that says everything in one forward, with the two steps of `models.aha.AHANet`."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.spec = network.spec

    def locate(self, image: Tensor) -> Tensor:
        """image (B, 3, H, W) -> (B, specular 3 + highlight 1, H, W)."""
        found = self.network(image)
        return torch.cat([found.specular, found.highlight], dim=1)

    def highlight(self, image: Tensor, located: Tensor) -> Tensor:
        """A (B, 1, H, W)."""
        return located[:, 3:]

    def separate(self, image: Tensor, located: Tensor) -> Separation:
        """The layers that `locate` found, without its stages."""
        return Separation(image - located[:, :3], located[:, :3], located[:, 3:])


def in_two_steps(network: nn.Module) -> nn.Module:
    """The network itself where it has `locate`, `highlight` and `separate`, as AHA networks do."""
    return network if hasattr(network, "locate") else AtOnce(network)
