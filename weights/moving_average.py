"""An exponential moving average of a network's weights, kept while it is trained."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """The average, in eval mode, of the weights that `model` has at each `update_parameters(model)`; buffers
    (batch statistics, spectral norms) are copied. The averaged network is `.module`.

    w <- d w + (1 - d) w_now, d = min(decay, (1 + n) / (10 + n)) after n updates, so that the first, random
    weights are soon forgotten; the first update takes the weights as they are.

    model  the network that is trained; it is not changed
    decay  d, in [0, 1); near 1 the average reaches far back: 0.999 over about the last thousand updates
    """

    @torch.no_grad()
    def update(averages: list[Tensor], weights: list[Tensor], updates: Tensor) -> None:
        n = int(updates)
        torch._foreach_lerp_(averages, weights, 1 - min(decay, (1 + n) / (10 + n)))

    average = AveragedModel(model, multi_avg_fn=update)
    average.module.eval().requires_grad_(False)
    return average
