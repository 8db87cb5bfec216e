"""From linear layers to the finished tuple: exposure, display curve, composition, masks, tone correction.

Camera effects (blur, noise, JPEG) are applied to the diffuse layer and the specular layer is added after
them, because in SHIQ input and diffuse share their noise exactly (A = D + S). So input - diffuse is an exact
target to the last bit, wherever the sum does not clip.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from data.regions import otsu_masks, otsu_masks_of_bytes
from synthetic import camera
from synthetic.draws import Draws, Plan, pixel_noise
from synthetic.highlights import HighlightPlan, draw_highlights, specular_layer
from synthetic.kinds import SceneKinds
from synthetic.scene_options import SceneOptions
from synthetic.subsets import column, maps, power, put, quantile, rows_of, take

UNSEEN = 0.06  # display value: a weaker highlight is invisible, and training on it would teach darkening


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


@dataclass(frozen=True)
class CompositionPlan(Plan):
    """Exposure, highlights and camera of a batch of scenes; each array (B,)."""

    highlights: HighlightPlan
    exponent: np.ndarray
    """Exponent of the display curve, 1 / gamma."""
    exposure: np.ndarray
    """Linear value of the 93 % quantile of the diffuse layer."""
    overexposed: np.ndarray
    """How much more light there is than the brightest places can take, 1 for no more."""
    blur: np.ndarray
    """Standard deviation in pixels of a 224-pixel picture."""
    noise: np.ndarray
    """Standard deviation at mid-grey, display values."""
    sensor: np.ndarray
    """int64: key of the noise."""
    jpeg: np.ndarray
    """bool: the diffuse layer passed JPEG compression."""
    quality: np.ndarray
    """Its quality."""


def draw_composition(draws: Draws, kinds: SceneKinds, options: SceneOptions) -> CompositionPlan:
    """Exposure, highlights and camera of a batch of scenes."""
    gamma = draws.uniform("gamma", low=1.7, high=2.5)
    dark = kinds.studio & draws.chance("gamma.linear", share=0.5)
    gamma = np.where(dark, draws.uniform("gamma.dark", low=1.0, high=1.3), gamma)
    exposure = draws.uniform("exposure", low=0.18, high=0.95)
    exposure = np.where(kinds.studio, draws.log_uniform("exposure.studio", low=0.05, high=0.95), exposure)
    exposure = np.where(kinds.clipped, draws.uniform("exposure.clipped", low=0.2, high=0.8), exposure)
    exposure = np.where(kinds.painted, draws.uniform("exposure.painted", low=0.4, high=1.0), exposure)
    overexposed = draws.chance("overexposed", share=options.overexposed_share) & ~kinds.clipped
    exposure = np.where(overexposed, draws.uniform("exposure.over", low=0.9, high=1.5), exposure)
    noise_low, noise_high = options.noise
    quality = draws.uniform("quality", low=options.jpeg_quality[0], high=options.jpeg_quality[1]).round()
    return CompositionPlan(
        highlights=draw_highlights(draws, kinds, options, quality),
        exponent=1 / gamma,
        exposure=exposure,
        overexposed=np.where(overexposed, draws.log_uniform("overexposed.by", low=1.2, high=4.0), 1.0),
        blur=draws.uniform("blur", low=options.blur[0], high=options.blur[1]),
        noise=draws.uniform("noise") ** 2 * (noise_high - noise_low) + noise_low,
        sensor=(draws.bits("sensor") >> np.uint64(2)).astype(np.int64),
        jpeg=draws.chance("jpeg", share=options.jpeg_share),
        quality=quality,
    )


def compose(plan: CompositionPlan, layers: Layers, mask_passes: int) -> dict[str, Tensor]:
    """All keys of a sample but name and object_mask: float32 (B, C, H, W) in [0, 1] on 8-bit steps.

    `mask_passes` as in `SceneOptions`; the mask is 0 or 1.
    """
    exponent = maps(plan.exponent, layers.albedo)
    albedo, shading = _diffuse(plan, layers, exponent)
    diffuse = albedo * shading
    specular = specular_layer(plan.highlights, layers.specular, diffuse, exponent)
    sigma = column(plan.blur * min(1.0, diffuse.shape[-1] / 224), diffuse.device)
    diffuse, specular = camera.blur(diffuse, sigma), camera.blur(specular, sigma)
    diffuse = camera.quantise(_sensor(plan, diffuse))
    specular = camera.quantise(specular)
    specular = specular * (specular.amax((1, 2, 3), keepdim=True) > UNSEEN)
    picture = (diffuse + specular).clamp_max_(1.0)
    otsu = otsu_masks_of_bytes if specular.shape[1] == 1 else otsu_masks
    mask = otsu(specular, mask_passes).float()
    return {
        "input": picture,
        "diffuse": diffuse,
        "specular": specular.expand_as(diffuse),
        "mask": mask,
        "albedo": camera.quantise(albedo),
        "shading": camera.quantise(shading),
        "tone_corrected": tone_correct(diffuse, picture, mask),
    }


def _diffuse(plan: CompositionPlan, layers: Layers, exponent: Tensor) -> tuple[Tensor, Tensor]:
    """Albedo and shading in display values, whose product is the diffuse layer."""
    strong = quantile(layers.shading.mean(1, keepdim=True), torch.full_like(exponent, 0.97))
    shading = layers.shading / strong.clamp_min(1e-4)
    if (plan.overexposed > 1).any():
        shading = shading * maps(plan.overexposed, exponent)
    # What the shading has above 1 cannot be stored and clips, as on a sensor; so the product stays exact.
    shading = shading.clamp_(1e-5, 1.0)
    lit = layers.albedo.mean(1, keepdim=True) * shading.mean(1, keepdim=True)
    bright = quantile(lit, torch.full_like(exponent, 0.93)).clamp_min(1e-4)
    gain = (maps(plan.exposure, exponent) / bright).clamp_(0.1, 4.0)
    albedo = power((layers.albedo * gain).clamp_max_(1.0), exponent)
    shading = power(shading, exponent)
    if layers.photo is None:
        return albedo, shading
    brightest = layers.photo.amax(1, keepdim=True)
    smooth = F.adaptive_avg_pool2d(brightest, 7)
    smooth = F.interpolate(smooth, size=brightest.shape[-2:], mode="bilinear", align_corners=False)
    light = torch.maximum(smooth, brightest).clamp_min(0.02)
    chosen = layers.from_photo.unsqueeze(1).float()
    return torch.lerp(albedo, layers.photo / light, chosen), torch.lerp(
        shading, light.expand_as(shading), chosen
    )


def _sensor(plan: CompositionPlan, diffuse: Tensor) -> Tensor:
    keys = torch.from_numpy(plan.sensor).to(diffuse.device)
    noise = pixel_noise(keys, *diffuse.shape[-2:])
    noisy = camera.add_noise(diffuse, noise, column(plan.noise, diffuse.device))
    if not plan.jpeg.any():
        return noisy
    rows = rows_of(plan.jpeg, diffuse.device)
    quality = column(plan.quality[plan.jpeg], diffuse.device)
    return put(noisy, rows, camera.jpeg(take(noisy, rows).clamp(0, 1), quality))


def tone_correct(diffuse: Tensor, picture: Tensor, mask: Tensor) -> Tensor:
    """Tone-corrected diffuse target (B, 3, H, W) on 8-bit steps (Fu et al., ICCV 2023).

    Per output channel an affine function of the diffuse R, G, B is fitted to the input on the pixels
    outside the mask, and applied to all. A small ridge towards the identity makes the fit unique where
    the pixels do not (grey pictures).
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
    """Sums, over the pixels outside the mask, of products of (diffuse R, G, B, 1, input R, G, B): (B, 7, 7).

    Colours are bytes. Summed in runs of 256 pixels, within which float32 holds products of bytes exactly,
    then in double: the result is exact, so the same on any device and with any number of threads.
    """
    keep = 1 - mask
    bytes_ = torch.cat([diffuse * 255, torch.ones_like(mask), picture * 255], 1).round_() * keep
    flat = bytes_.flatten(2)
    flat = F.pad(flat, (0, -flat.shape[2] % 256))
    runs = flat.view(flat.shape[0], 7, -1, 256).transpose(1, 2)
    return (runs @ runs.transpose(2, 3)).double().sum(1)
