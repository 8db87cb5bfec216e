"""Augmentation: functions of a sample and a random generator. All layers of a sample change alike."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from data.records import PICTURES, PLANES
from utils.errors import UserError

Sample = dict[str, Any]


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training sample, in this order; call it with (sample, rng).

    size                resize (bilinear; masks: nearest); 0: leave the size
    resize              "square": to size x size; "short_side": the short side to size, the ratio kept
    highlight_scaling   x: diffuse + alpha * specular with alpha in [1-x, 1+x], as SHIQ's authors did
    diffuse_gamma_jitter  x: `change_diffuse_gamma` with gamma 2^u, u in [-x, x]
    exposure_jitter     x: times 2^u, u in [-x, x]
    temperature_jitter  x: red times (1+u), blue times (1-u), u in [-x, x]
    crop                random square of this side; 0: none
    scale_jitter        (low, high): the crop shows the sample resized by a random factor between them, at
                        least so large that the crop fits; (): as it is
    noise               x: `disturb` with Gaussian noise of a standard deviation of up to x levels of 255
    jpeg_quality        (low, high): `disturb` by JPEG of a quality between them, every other time; (): not
    flips, rotate       horizontal and vertical, each with probability 1/2; by a multiple of 90 degrees
    """

    size: int = 224
    resize: str = "square"
    crop: int = 0
    scale_jitter: tuple[float, ...] = ()
    flips: bool = True
    rotate: bool = False
    highlight_scaling: float = 0.0
    diffuse_gamma_jitter: float = 0.0
    exposure_jitter: float = 0.0
    temperature_jitter: float = 0.0
    noise: float = 0.0
    jpeg_quality: tuple[float, ...] = ()

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if self.size:
            sample = resized(sample, *self._sides(sample))
        if self.crop:
            sample = _random_crop(sample, self.crop, rng, self.scale_jitter)
        if self.highlight_scaling:
            sample = scale_highlight(
                sample, rng.uniform(1 - self.highlight_scaling, 1 + self.highlight_scaling)
            )
        if self.diffuse_gamma_jitter:
            stops = rng.uniform(-self.diffuse_gamma_jitter, self.diffuse_gamma_jitter)
            sample = change_diffuse_gamma(sample, 2.0**stops)
        if self.exposure_jitter:
            gain = 2.0 ** rng.uniform(-self.exposure_jitter, self.exposure_jitter)
            sample = scale_light(sample, (gain, gain, gain))
        if self.temperature_jitter:
            warm = rng.uniform(-self.temperature_jitter, self.temperature_jitter)
            sample = scale_light(sample, (1 + warm, 1.0, 1 - warm))
        if self.noise:
            sample = disturb(sample, _noise(sample["input"], rng.uniform(0, self.noise) / 255, rng))
        if self.jpeg_quality and rng.random() < 0.5:
            sample = disturb(sample, _jpeg(sample["input"], rng.uniform(*self.jpeg_quality)))
        flip = [axis for axis in (-1, -2) if self.flips and rng.random() < 0.5]
        turns = int(rng.integers(4)) if self.rotate else 0
        if flip or turns:
            sample = _map_layers(sample, lambda x, _: torch.rot90(x.flip(flip), turns, (-2, -1)).contiguous())
        return sample

    def _sides(self, sample: Sample) -> tuple[int, int]:
        if self.resize == "square":
            return self.size, self.size
        height, width = sample["input"].shape[-2:]
        # The long side is cut to a whole number, as torchvision's Resize does.
        short = min(height, width)
        return int(self.size * height / short), int(self.size * width / short)


def resized(sample: Sample, height: int, width: int) -> Sample:
    """All layers at height x width: bilinear with antialiasing, masks by nearest pixel."""
    if tuple(sample["input"].shape[-2:]) == (height, width):
        return sample

    def resize(x: Tensor, key: str) -> Tensor:
        if key in PLANES:
            return F.interpolate(x[None], size=(height, width), mode="nearest-exact")[0]
        return F.interpolate(
            x[None], size=(height, width), mode="bilinear", align_corners=False, antialias=True
        )[0].clamp(0, 1)

    return _map_layers(sample, resize)


def scale_highlight(sample: Sample, alpha: float) -> Sample:
    """input = clip(diffuse + alpha * S), S = the sample's specular layer, or else input - diffuse.

    Saturated pixels keep their clipped S, so alpha < 1 leaves less light there than a camera would see.
    """
    specular = sample.get("specular", sample["input"] - sample["diffuse"])
    changed = sample | {"input": (sample["diffuse"] + alpha * specular).clamp(0, 1)}
    return changed | {"specular": (alpha * specular).clamp(0, 1)} if "specular" in sample else changed


def change_diffuse_gamma(sample: Sample, gamma: float) -> Sample:
    """diffuse^gamma, and input = clip(diffuse^gamma + s) with the sample's own white highlight s (1, H, W).

    Surfaces become darker or paler under the same light, as other cameras' curves and laboratories' linear
    pictures show them. s is the largest of the three channels of input - diffuse, which is exact where one
    of them is not clipped and the light is white; the specular layer becomes input - diffuse. Layers of a
    decomposition (albedo, shading, tone_corrected) are left as they are.
    """
    diffuse = sample["diffuse"] ** gamma
    light = (sample["input"] - sample["diffuse"]).amax(dim=0, keepdim=True).clamp_min(0)
    image = (diffuse + light).clamp(0, 1)
    changed = sample | {"input": image, "diffuse": diffuse}
    return changed | {"specular": image - diffuse} if "specular" in sample else changed


def scale_light(sample: Sample, gains: tuple[float, float, float]) -> Sample:
    """Every picture times one gain a channel, clipped to [0, 1]; albedo, the surface's own, stays."""
    factor = torch.tensor(gains, dtype=torch.float32).view(3, 1, 1)

    def scale(x: Tensor, key: str) -> Tensor:
        return x if key in PLANES or key == "albedo" else (x * factor).clamp(0, 1)

    return _map_layers(sample, scale)


def disturb(sample: Sample, image: Tensor) -> Sample:
    """The sample with `image` (3, H, W) as its input, which differs from that by noise: the diffuse picture
    is disturbed alike, so that what is to be removed stays the same."""
    light = sample["input"] - sample["diffuse"]
    return sample | {"input": image, "diffuse": (image - light).clamp(0, 1)}


def _noise(image: Tensor, deviation: float, rng: np.random.Generator) -> Tensor:
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    return (image + deviation * torch.from_numpy(noise)).clamp(0, 1)


def _jpeg(image: Tensor, quality: float) -> Tensor:
    levels = (image * 255).round().byte().permute(1, 2, 0).numpy()
    _, coded = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, round(quality)])
    return torch.from_numpy(cv2.imdecode(coded, cv2.IMREAD_COLOR)).permute(2, 0, 1).float() / 255


def _random_crop(
    sample: Sample, side: int, rng: np.random.Generator, scales: tuple[float, ...] = ()
) -> Sample:
    height, width = sample["input"].shape[-2:]
    shortest = min(height, width)
    if shortest < side:
        raise UserError(
            f"{sample['name']} is {width}x{height}, smaller than the crop of {side} pixels: "
            f"crop less, or resize first (size {side})"
        )
    cut = side
    if scales:
        low, high = np.log(scales)
        cut = min(round(side / np.exp(rng.uniform(low, high))), shortest)
    top, left = int(rng.integers(height - cut + 1)), int(rng.integers(width - cut + 1))
    sample = _map_layers(sample, lambda x, _: x[:, top : top + cut, left : left + cut].contiguous())
    return sample if cut == side else resized(sample, side, side)


def _map_layers(sample: Sample, change) -> Sample:
    return {
        key: change(value, key) if key in (*PICTURES, *PLANES) else value for key, value in sample.items()
    }
