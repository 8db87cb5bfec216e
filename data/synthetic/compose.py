"""From linear layers to the finished tuple: exposure, display curve, composition, masks, tone correction.

Display composition is SHIQ's: input = diffuse + S with one grey S in display values. Linear composition adds layers
in linear light, with a tinted highlight, and applies the display curve to the sum; its specular layer is the
difference of the two pictures. In both, camera effects (blur, noise, JPEG) are applied to the diffuse layer and the
specular layer is added after them, because in SHIQ input and diffuse share their noise exactly (A = D + S). So
input - diffuse is an honest target to the last bit, wherever the sum does not clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from data.regions import otsu_masks
from data.synthetic import camera, geometry
from data.synthetic.draws import Draws, pixel_noise
from data.synthetic.options import SceneOptions


@dataclass
class Layers:
    """Linear layers of a batch, and what a photograph replaces."""

    albedo: Tensor
    """(B, 3, H, W), linear."""
    shading: Tensor
    """(B, 3, H, W), linear, any scale."""
    specular: Tensor
    """(B, H, W), linear, any scale."""
    photo: Tensor | None
    """(B, 3, H, W) display values."""
    from_photo: Tensor
    """bool (B, H, W): pixels whose diffuse layer is the photograph."""


def _host(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(like.device).view(-1, 1, 1, 1)


def _quantile(image: Tensor, share: Tensor) -> Tensor:
    """Per-scene quantile (B, 1, 1, 1) of a (B, 1, H, W) map, on every third pixel; `share` (B, 1, 1, 1)."""
    ordered = (
        image[..., 1::3, 1::3].flatten(1).sort(1).values
        if image.shape[-1] > 32
        else image.flatten(1).sort(1).values
    )
    last = ordered.shape[1] - 1
    place = (share.view(-1, 1) * last).round().long().clamp(0, last)
    return ordered.gather(1, place).view(-1, 1, 1, 1)


def compose(draws: Draws, kinds: np.ndarray, layers: Layers, options: SceneOptions) -> dict[str, Tensor]:
    """All keys of a sample but the name: float32 (B, C, H, W) in [0, 1] on 8-bit steps (the mask 0 or 1)."""
    like = layers.albedo
    studio = kinds == geometry.STUDIO
    gamma = draws.uniform("gamma", low=1.7, high=2.5)
    gamma = np.where(
        studio & draws.chance("gamma.linear", share=0.5),
        draws.uniform("gamma.dark", low=1.0, high=1.3),
        gamma,
    )
    exponent = _host(1 / gamma, like)
    albedo, shading = _diffuse(draws, kinds, layers, exponent, options)
    diffuse = albedo * shading
    specular = _specular(draws, kinds, layers, diffuse, exponent, options)
    size = like.shape[-1]
    sigma = _host(
        draws.uniform("blur", low=options.blur[0], high=options.blur[1]) * min(1.0, size / 224), like
    ).flatten()
    diffuse, albedo, specular = camera.blur(torch.cat([diffuse, albedo, specular], 1), sigma).split(
        (3, 3, specular.shape[1]), 1
    )
    diffuse = _sensor(draws, diffuse, options)
    diffuse, specular = camera.quantise(diffuse), camera.quantise(specular)
    picture = (diffuse + specular).clamp_max(1.0)
    mask = otsu_masks(specular, options.mask_passes).float()
    specular = specular.expand(-1, 3, -1, -1)
    return {
        "input": picture,
        "diffuse": diffuse,
        "specular": specular,
        "mask": mask,
        "albedo": camera.quantise(albedo),
        "shading": camera.quantise(shading),
        "tone_corrected": tone_correct(diffuse, picture, mask),
    }


def _diffuse(
    draws: Draws, kinds: np.ndarray, layers: Layers, exponent: Tensor, options: SceneOptions
) -> tuple[Tensor, Tensor]:
    """Albedo and shading in display values, whose product is the diffuse layer."""
    lit = layers.albedo.mean(1, keepdim=True) * layers.shading.mean(1, keepdim=True)
    bright = _quantile(lit, torch.full_like(exponent, 0.93)).clamp_min(1e-4)
    target = draws.uniform("exposure", low=0.12, high=0.8)
    target = np.where(
        kinds == geometry.STUDIO, draws.log_uniform("exposure.studio", low=0.06, high=0.6), target
    )
    shading = layers.shading * (_host(target, exponent) / bright)
    # Keep the product: what the shading has above 1 cannot be stored and clips, as on a sensor.
    shading = shading.clamp(1e-5, 1.0) ** exponent
    albedo = layers.albedo**exponent
    if layers.photo is None:
        return albedo, shading
    photo = layers.photo
    smooth = F.adaptive_avg_pool2d(photo.amax(1, keepdim=True), 7)
    smooth = F.interpolate(smooth, size=photo.shape[-2:], mode="bilinear", align_corners=False)
    light = torch.maximum(smooth, photo.amax(1, keepdim=True)).clamp_min(0.02).expand_as(photo)
    chosen = layers.from_photo.unsqueeze(1)
    return torch.where(chosen, photo / light, albedo), torch.where(chosen, light, shading)


def _specular(
    draws: Draws, kinds: np.ndarray, layers: Layers, diffuse: Tensor, exponent: Tensor, options: SceneOptions
) -> Tensor:
    """Specular layer (B, 1 or 3, H, W) in display values; one channel where all scenes of the batch are grey."""
    raw = layers.specular.unsqueeze(1)
    top = _quantile(raw, torch.full_like(exponent, 0.997)).clamp_min(1e-6)
    raw = (raw / top).clamp_max(4.0)
    pale = draws.chance("pale", share=options.pale_share)
    low, high = options.peak
    rank = draws.uniform("peak")
    peak = low + (high - low) * np.where(pale, rank**2.5 * 0.6, rank**1.2)
    clean = draws.chance("clean", share=options.clean_share)
    peak_t = _host(np.where(clean, 0.0, peak), exponent)
    # What the sensor would see: the curve of the sum less the curve of the diffuse layer, brightest where it is dark.
    base = diffuse.mean(1, keepdim=True).clamp_min(1e-5) ** (1 / exponent)
    sensed = (base + raw * peak_t ** (1 / exponent)) ** exponent - base**exponent
    direct = raw ** exponent.sqrt() * peak_t
    mix = _host(draws.chance("sensed", share=0.5), exponent)
    grey = torch.lerp(direct, sensed, mix)
    linear = _linear_scenes(draws, options)
    if linear.all():
        cut = grey
    else:
        cut = _zero_floor(draws, grey, options)
    if not linear.any():
        return cut
    tint = 1 + 0.12 * draws.normal("specular.tint")[:, None] * np.array([1, 0.1, -1])
    tint_t = torch.from_numpy(tint.clip(0.6, 1.4).astype(np.float32)).to(raw.device)[..., None, None]
    below = diffuse.clamp_min(1e-5) ** (1 / exponent)
    added = raw * peak_t ** (1 / exponent)
    coloured = ((below + added * tint_t).clamp_max(1.0) ** exponent - diffuse).clamp_min(0)
    return torch.where(_host(linear, raw) > 0, coloured, cut)


def _linear_scenes(draws: Draws, options: SceneOptions) -> np.ndarray:
    share = {"display": 0.0, "linear": 1.0, "mixed": options.linear_share}[options.composition]
    return draws.chance("linear", share=share)


def _zero_floor(draws: Draws, grey: Tensor, options: SceneOptions) -> Tensor:
    """Lets the soft tail reach exactly zero on a drawn share of the pixels, and keeps the rest unchanged."""
    low, high = options.untouched
    share = _host(draws.uniform("untouched", low=low, high=high), grey)
    level = _quantile(grey, share)
    knee = level * 0.5 + 1.5 / 255
    rise = ((grey - level) / knee).clamp(0, 1)
    return grey * rise * rise * (3 - 2 * rise)


def _sensor(draws: Draws, diffuse: Tensor, options: SceneOptions) -> Tensor:
    keys = torch.from_numpy((draws.bits("sensor") >> np.uint64(2)).astype(np.int64)).to(diffuse.device)
    noise = pixel_noise(keys, *diffuse.shape[-2:])
    low, high = options.noise
    deviation = _host(draws.uniform("noise") ** 2 * (high - low) + low, diffuse).flatten()
    noisy = camera.add_noise(diffuse, noise, deviation)
    chosen = np.flatnonzero(draws.chance("jpeg", share=options.jpeg_share))
    if not len(chosen):
        return noisy
    rows = torch.from_numpy(chosen).to(diffuse.device)
    low, high = options.jpeg_quality
    quality = draws.uniform("jpeg.quality", low=low, high=high).round()[chosen]
    compressed = camera.jpeg(
        noisy.index_select(0, rows).clamp(0, 1), torch.from_numpy(quality).to(diffuse.device)
    )
    return noisy.index_copy(0, rows, compressed)


def tone_correct(diffuse: Tensor, picture: Tensor, mask: Tensor) -> Tensor:
    """Tone-corrected diffuse target (B, 3, H, W) on 8-bit steps (FACTS.md, section 4).

    Per output channel an affine function of the diffuse R, G, B is fitted to the input on the pixels outside the
    mask, and applied to all. A tiny pull towards the identity settles what the pixels leave open (grey pictures).
    """
    grams = _gram(diffuse, picture, mask)
    normal, wanted = grams[:, :4, :4], grams[:, :4, 4:]
    identity = torch.eye(4, dtype=torch.float64, device=diffuse.device)
    ridge = 1e-2 * identity
    answer = torch.linalg.solve_ex(normal + ridge, wanted + ridge[:, :3])[0]
    matrix = answer[:, :3].transpose(1, 2).float()
    offset = answer[:, 3].float().unsqueeze(-1) * (1 / 255)
    fitted = torch.baddbmm(offset, matrix, diffuse.flatten(2))
    return camera.quantise(fitted.view_as(diffuse))


def _gram(diffuse: Tensor, picture: Tensor, mask: Tensor) -> Tensor:
    """Sums over the pixels outside the mask of products of (R, G, B of the diffuse in 8 bits, 1, input): (B, 7, 7).

    Summed in runs of 256 pixels, within which float32 holds products of bytes exactly, then in double: the result
    is exact, so it is the same on any device and with any number of threads.
    """
    keep = 1 - mask
    bytes_ = torch.cat([diffuse * 255, torch.ones_like(mask), picture * 255], 1).round_() * keep
    flat = bytes_.flatten(2)
    flat = F.pad(flat, (0, -flat.shape[2] % 256))
    runs = flat.view(flat.shape[0], 7, -1, 256).transpose(1, 2)
    return (runs @ runs.transpose(2, 3)).double().sum(1)
