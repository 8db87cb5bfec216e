"""Convolution with spectral norm (Miyato et al. 2018), entries named as in the authors' checkpoints."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SpectralNormConv2d(nn.Conv2d):
    """A convolution whose weight is divided by its largest singular value.

    W = W_orig / sigma,  sigma = u^T W_orig v, W_orig seen as (out, in * k * k); u and v follow by one
    power iteration a training forward, none in eval mode. Entries `bias`, `weight_orig`, `weight_u`,
    `weight_v` are those of torch.nn.utils.spectral_norm; unlike its hook, this module can be deep-copied
    after a training step, as the moving average of the weights needs.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        weight = self.weight
        del self.weight
        self.weight_orig = nn.Parameter(weight.detach())
        rows, columns = weight.flatten(1).shape
        self.register_buffer("weight_u", F.normalize(torch.randn(rows), dim=0))
        self.register_buffer("weight_v", F.normalize(torch.randn(columns), dim=0))

    def normalised_weight(self) -> Tensor:
        """W_orig / sigma, (out, in, k, k); advances u and v in training mode."""
        matrix = self.weight_orig.flatten(1)
        if self.training:
            with torch.no_grad():
                self.weight_v.copy_(F.normalize(matrix.T @ self.weight_u, dim=0))
                self.weight_u.copy_(F.normalize(matrix @ self.weight_v, dim=0))
        # Clones, because the next training forward overwrites the buffers that autograd has saved.
        u, v = self.weight_u.clone(), self.weight_v.clone()
        # In bf16 the largest singular value would be off by up to half a percent.
        with torch.autocast(matrix.device.type, enabled=False):
            sigma = torch.dot(u, matrix @ v)
        return self.weight_orig / sigma

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.normalised_weight(), self.bias)
