"""Batch norm over the joint batch of all processes, on any device.

torch.nn.SyncBatchNorm knows GPUs only; this one also runs on CPUs, so that two processes on a CPU take the
same steps as one with the doubled batch.
"""

import torch
import torch.distributed as distributed
import torch.distributed.nn.functional as differentiable
from torch import Tensor, nn


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d with the mean and variance of all processes' samples; its entries are the same."""

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and distributed.is_initialized() and distributed.get_world_size() > 1):
            return super().forward(x)
        world = distributed.get_world_size()
        wide = x.float()
        # All processes hold batches of one size, so the mean of means is the mean.
        mean = differentiable.all_reduce(wide.mean(dim=(0, 2, 3))) / world
        centred = wide - mean.view(1, -1, 1, 1)
        variance = differentiable.all_reduce(centred.square().mean(dim=(0, 2, 3))) / world
        self._remember(mean, variance, world * x.numel() // x.shape[1])
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return (centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)


def synchronise_batch_norm(network: nn.Module) -> None:
    """Turns every nn.BatchNorm2d inside `network` into a synchronised one, in place."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SynchronisedBatchNorm2d
