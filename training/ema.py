"""A moving average of a network's weights."""

import copy

import torch
from torch import nn


class MovingAverage:
    """w <- d w + (1 - d) w_now after every step, d = min(decay, (1 + step) / (10 + step)) so that the first,
    random weights are soon forgotten. Buffers (batch statistics, spectral norms) are copied.

    `model` is the averaged network, in eval mode, on the device of the original.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Takes in the weights after optimiser step `step` (0-based)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1 - decay)
        for average, now in zip(self.model.buffers(), model.buffers(), strict=True):
            average.copy_(now)
