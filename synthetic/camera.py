"""Camera effects on a batch with one setting per scene: blur, glare, sensor noise, JPEG, 8-bit steps."""

import torch
import torch.nn.functional as F
from torch import Tensor

_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8 for _ in range(4)),
)
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def quantise(image: Tensor) -> Tensor:
    """Rounds values of [0, 1] to 8 bits."""
    return image.clamp(0, 1).mul_(255).round_().mul_(1 / 255)


def blur(image: Tensor, sigma: Tensor) -> Tensor:
    """Separable 3-tap blur of standard deviation `sigma` (B,) in pixels, up to 0.9; borders repeat."""
    side = (sigma.square() / 2).clamp_max(0.4).view(-1, 1, 1, 1)
    image = image.clone()
    for axis in (-1, -2):
        last = image.shape[axis] - 1
        head, tail = image.narrow(axis, 0, last), image.narrow(axis, 1, last)
        step = (tail - head).mul_(side)
        head.add_(step)
        tail.sub_(step)
    return image


def glare(specular: Tensor, amount: Tensor) -> Tensor:
    """Adds light scattered in the lens: `amount` (B,) of the layer, spread widely."""
    height, width = specular.shape[-2:]
    small = F.adaptive_avg_pool2d(specular, (max(1, height // 8), max(1, width // 8)))
    spread = F.avg_pool2d(small, 5, 1, 2)
    wide = F.interpolate(spread, size=(height, width), mode="bilinear", align_corners=False)
    return specular + amount.view(-1, 1, 1, 1) * wide


def add_noise(image: Tensor, noise: Tensor, deviation: Tensor) -> Tensor:
    """Sensor noise growing with brightness: `deviation` (B,) at mid-grey in display values."""
    gain = deviation.view(-1, 1, 1, 1) * (0.6 + 0.8 * image)
    return torch.addcmul(image, noise, gain)


def jpeg(image: Tensor, quality: Tensor) -> Tensor:
    """JPEG's loss (4:4:4) at `quality` (B,) of 1..100, on grey or RGB pictures of any size."""
    height, width = image.shape[-2:]
    padded = F.pad(image, (0, -width % 8, 0, -height % 8), mode="replicate") * 255
    is_grey = image.shape[1] == 1
    ycc = padded if is_grey else torch.einsum("dc,bchw->bdhw", image.new_tensor(_TO_YCC), padded)
    ycc = ycc - image.new_tensor([128.0, 0.0, 0.0]).view(1, 3, 1, 1)[:, : image.shape[1]]
    k = torch.arange(8, device=image.device, dtype=torch.float32)
    basis = torch.cos((2 * k.unsqueeze(0) + 1) * k.unsqueeze(1) * torch.pi / 16) * 0.5
    basis[0] *= 0.5**0.5
    batch, channels, tall, wide = ycc.shape
    blocks = ycc.view(batch, channels, tall // 8, 8, wide // 8, 8).transpose(3, 4)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50).view(-1, 1, 1, 1, 1, 1)
    table = image.new_tensor([_LUMA, _CHROMA, _CHROMA]).view(1, 3, 1, 1, 8, 8)[:, :channels]
    steps = (table * scale).round().clamp(1, 255)
    coefficients = (basis @ blocks @ basis.T / steps).round() * steps
    restored = (basis.T @ coefficients @ basis).transpose(3, 4).reshape(batch, channels, tall, wide)
    restored = restored + image.new_tensor([128.0, 0.0, 0.0]).view(1, 3, 1, 1)[:, :channels]
    if not is_grey:
        restored = torch.einsum("dc,bchw->bdhw", image.new_tensor(_TO_RGB), restored)
    return restored[..., :height, :width] * (1 / 255)
