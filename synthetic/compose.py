"""From linear layers to the finished tuple: exposure, display curve, composition, masks, tone correction.

Display composition is SHIQ's: input = diffuse + S with one grey S in display values. Linear composition
adds layers in linear light, with a tinted highlight, and applies the display curve to the sum; its specular
layer is the difference of the two pictures. In both, camera effects (blur, noise, JPEG) are applied to the
diffuse layer and the specular layer is added after them, because in SHIQ input and diffuse share their
noise exactly (A = D + S). So input - diffuse is an honest target to the last bit, wherever the sum does not
clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from data.regions import otsu_masks, otsu_masks_of_bytes
from synthetic import camera, finishes, geometry
from synthetic.draws import Draws, pixel_noise
from synthetic.options import SceneOptions
from synthetic.subsets import column, power, put, rows_of, take
from synthetic.variants import CLIPPED, PAINTED, SPARKLING

DARK_GREY = 0.2  # display value
UNSEEN = 0.06  # a veil that is nowhere stronger (display values) is no highlight: it would teach to darken


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


def plan(
    draws: Draws, kinds: np.ndarray, variants: np.ndarray, options: SceneOptions
) -> dict[str, np.ndarray]:
    """Parameters of exposure, composition and camera, (B,) or (B, 3)."""
    studio = kinds == geometry.STUDIO
    clipped, painted, sparkling = (variants == v for v in (CLIPPED, PAINTED, SPARKLING))
    gamma = draws.uniform("gamma", low=1.7, high=2.5)
    dark = studio & draws.chance("gamma.linear", share=0.5)
    gamma = np.where(dark, draws.uniform("gamma.dark", low=1.0, high=1.3), gamma)
    exposure = draws.uniform("exposure", low=0.18, high=0.95)
    low, high = options.peak
    rank = draws.uniform("peak")
    pale = finishes.pale_scenes(draws, kinds, options)
    peak = low + (high - low) * np.where(pale, rank**2.5 * 0.6, rank**1.2)
    matte = studio & draws.chance("clean.studio", share=options.matte_studio_share)
    matte = matte & ~clipped & ~sparkling | painted & draws.chance("clean.painted", share=0.75)
    clean = matte | draws.chance("clean", share=options.clean_share)
    peak = np.where(clipped, 1.0, peak)
    peak = np.where(painted, draws.uniform("peak.painted", low=0.08, high=0.25), peak)
    peak = np.where(sparkling, draws.uniform("peak.sparkling", low=0.6, high=1.2), peak)
    exposure = np.where(studio, draws.log_uniform("exposure.studio", low=0.05, high=0.95), exposure)
    exposure = np.where(clipped, draws.uniform("exposure.clipped", low=0.2, high=0.8), exposure)
    exposure = np.where(painted, draws.uniform("exposure.painted", low=0.4, high=1.0), exposure)
    confined = np.where(
        draws.chance("wide", share=options.wide_share),
        1.0,
        draws.log_uniform("confined", low=options.extent[0], high=options.extent[1]),
    )
    burnt = draws.log_uniform("clipped.extent", low=options.clipped_extent[0], high=options.clipped_extent[1])
    shoulder = draws.uniform("clipped.shoulder", low=3.0, high=10.0)
    confined = np.where(clipped, np.minimum(0.4, burnt * shoulder), confined)
    linear_share = {"display": 0.0, "linear": 1.0, "mixed": options.linear_share}[options.composition]
    tint = 1 + 0.12 * draws.normal("specular.tint")[:, None] * np.array([1, 0.1, -1])
    noise_low, noise_high = options.noise
    return {
        "exponent": 1 / gamma,
        "exposure": exposure,
        "peak": np.where(clean, 0.0, peak),
        "sensed": clipped | draws.chance("sensed", share=0.85),
        "clipped.extent": np.where(clipped, burnt, 0.0),
        "clipped.light": draws.log_uniform("clipped.light", low=1.2, high=2.5),
        "linear": draws.chance("linear", share=linear_share),
        "specular.tint": tint.clip(0.6, 1.4),
        "confined": confined,
        "untouched": draws.uniform("untouched", low=options.untouched[0], high=options.untouched[1]),
        "blur": draws.uniform("blur", low=options.blur[0], high=options.blur[1]),
        "noise": draws.uniform("noise") ** 2 * (noise_high - noise_low) + noise_low,
        "sensor": (draws.bits("sensor") >> np.uint64(2)).astype(np.int64),
        "haze": draws.uniform("haze") ** 2 * 12 * ~studio * np.minimum(1, 2 * peak),
        "haze.cloud": draws.normal("haze.cloud", 1, 9, 9) * draws.uniform("haze.rough", 1, 1, 1, high=2.0),
        "glare": draws.chance("glared", share=0.25) * draws.uniform("glare", high=0.15),
        "specular.jpeg": draws.chance("specular.jpeg", share=options.jpeg_share),
        "jpeg": draws.chance("jpeg", share=options.jpeg_share),
        "quality": draws.uniform(
            "quality", low=options.jpeg_quality[0], high=options.jpeg_quality[1]
        ).round(),
    }


def _host(values: np.ndarray, like: Tensor) -> Tensor:
    return column(values, like.device).view(-1, 1, 1, 1)


def _quantile(image: Tensor, share: Tensor) -> Tensor:
    """Per-scene quantile (B, 1, 1, 1) of a (B, 1, H, W) map, on about 1,000 pixels; `share` (B, 1, 1, 1)."""
    step = max(1, image.shape[-1] // 32)
    ordered = image[..., step // 2 :: step, step // 2 :: step].flatten(1).sort(1).values
    last = ordered.shape[1] - 1
    place = (share.view(-1, 1) * last).round().long().clamp(0, last)
    return ordered.gather(1, place).view(-1, 1, 1, 1)


def compose(plan: dict[str, np.ndarray], layers: Layers, options: SceneOptions) -> dict[str, Tensor]:
    """All keys of a sample but the name: float32 (B, C, H, W) in [0, 1] on 8-bit steps (the mask 0 or 1)."""
    exponent = _host(plan["exponent"], layers.albedo)
    albedo, shading = _diffuse(plan, layers, exponent)
    diffuse = albedo * shading
    specular = _specular(plan, layers, diffuse, exponent)
    sigma = column(plan["blur"] * min(1.0, diffuse.shape[-1] / 224), diffuse.device)
    diffuse, specular = camera.blur(diffuse, sigma), camera.blur(specular, sigma)
    diffuse = camera.quantise(_sensor(plan, diffuse))
    specular = camera.quantise(specular)
    specular = specular * (specular.amax((1, 2, 3), keepdim=True) > UNSEEN)
    picture = (diffuse + specular).clamp_max_(1.0)
    otsu = otsu_masks_of_bytes if specular.shape[1] == 1 else otsu_masks
    mask = otsu(specular, options.mask_passes).float()
    return {
        "input": picture,
        "diffuse": diffuse,
        "specular": specular.expand_as(diffuse),
        "mask": mask,
        "albedo": camera.quantise(albedo),
        "shading": camera.quantise(shading),
        "tone_corrected": tone_correct(diffuse, picture, mask),
    }


def _diffuse(plan: dict[str, np.ndarray], layers: Layers, exponent: Tensor) -> tuple[Tensor, Tensor]:
    """Albedo and shading in display values, whose product is the diffuse layer."""
    strong = _quantile(layers.shading.mean(1, keepdim=True), torch.full_like(exponent, 0.97))
    shading = layers.shading / strong.clamp_min(1e-4)
    # What the shading has above 1 cannot be stored and clips, as on a sensor; so the product stays exact.
    shading = shading.clamp_(1e-5, 1.0)
    lit = layers.albedo.mean(1, keepdim=True) * shading.mean(1, keepdim=True)
    bright = _quantile(lit, torch.full_like(exponent, 0.93)).clamp_min(1e-4)
    gain = (_host(plan["exposure"], exponent) / bright).clamp_(0.1, 4.0)
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


def _specular(plan: dict[str, np.ndarray], layers: Layers, diffuse: Tensor, exponent: Tensor) -> Tensor:
    """Specular layer in display values: one channel where all scenes of the batch are grey, else three."""
    raw = layers.specular.unsqueeze(1)
    top = _quantile(raw, torch.full_like(exponent, 0.997)).clamp_min(1e-6)
    raw = confine((raw / top).clamp_(1e-7, 4.0), _host(plan["confined"], exponent))
    peak = _host(plan["peak"], exponent)
    # What raises a dark grey by the peak: on brighter ground the same light is seen less.
    dark = torch.full_like(peak, DARK_GREY)
    light = power(dark + peak, 1 / exponent) - power(dark, 1 / exponent)
    if (plan["clipped.extent"] > 0).any():
        raw, light = _overexpose(plan, raw, light)
    added = raw * light
    linear = plan["linear"]
    if linear.all():
        return _coloured(plan, added, diffuse, exponent)
    # What the sensor would see: the curve of the sum less that of the diffuse layer, brightest where it is
    # dark.
    base = diffuse.mean(1, keepdim=True).clamp_min_(1e-5)
    is_sensed = plan["sensed"]
    if not is_sensed.all():
        grey = power(raw, exponent.sqrt()) * peak
    if is_sensed.any():
        sensed = power(power(base, 1 / exponent) + added, exponent) - base
        grey = sensed if is_sensed.all() else torch.lerp(grey, sensed, _host(is_sensed, exponent))
    if plan["glare"].any():
        rows = rows_of(plan["glare"] > 0, grey.device)
        amount = column(plan["glare"][plan["glare"] > 0], grey.device)
        grey = put(grey, rows, camera.glare(take(grey, rows), amount))
    cut = _untouched(plan, grey, raw) * (peak > 0)
    if plan["specular.jpeg"].any():
        rows = rows_of(plan["specular.jpeg"], cut.device)
        quality = column(plan["quality"][plan["specular.jpeg"]], cut.device)
        cut = put(cut, rows, camera.jpeg(take(cut, rows).clamp(0, 1), quality)) * (cut > 0)
    if not linear.any():
        return cut
    return torch.where(_host(linear, raw) > 0, _coloured(plan, added, diffuse, exponent), cut)


def _overexpose(plan: dict[str, np.ndarray], raw: Tensor, light: Tensor) -> tuple[Tensor, Tensor]:
    """`raw` and its light where highlights are to clip: raised so that the wanted share of the picture gets
    `clipped.light`, in units of what clips on black.

    What is faint from the start is raised by 8 at most; what is beyond 4 times the light is cut.
    """
    extent = _host(plan["clipped.extent"], raw)
    level = _quantile(raw, 1 - extent).clamp_min(0.12)
    chosen = extent > 0
    raised = (raw / level).clamp_max(4.0)
    return torch.where(chosen, raised, raw), torch.where(chosen, _host(plan["clipped.light"], raw), light)


def confine(raw: Tensor, extent: Tensor) -> Tensor:
    """Takes from highlights (B, 1, H, W), about 1 at their peaks, what is even over a wider area than the
    share `extent` (B, 1, 1, 1) of the picture.

    Such a veil cannot be told from paint, and the specular layers of real pairs hardly have any. Peaks keep
    their height unless that doubled the rest; an extent of 1 changes nothing.
    """
    wide = extent >= 1
    level = _quantile(raw, 1 - extent).clamp_min(1e-6)
    above = raw + level * torch.expm1(
        -raw / level
    )  # raw^2 / (2 level) far below the level, raw - level far above
    peak = 1 + level * torch.expm1(-1 / level)
    return torch.where(wide, raw, (above / peak.clamp_min(0.5)).clamp_(1e-7, 4.0))


def _coloured(plan: dict[str, np.ndarray], added: Tensor, diffuse: Tensor, exponent: Tensor) -> Tensor:
    """Difference made in display values by a tinted highlight added in linear light: (B, 3, H, W)."""
    tint = column(plan["specular.tint"], added.device)[..., None, None]
    total = power(diffuse.clamp_min(1e-5), 1 / exponent) + added * tint
    lit = _host(plan["peak"] > 0, added)
    return (power(total.clamp_max_(1.0), exponent) - diffuse).clamp_min_(0) * lit


def _untouched(plan: dict[str, np.ndarray], grey: Tensor, raw: Tensor) -> Tensor:
    """Makes a share of the pixels exactly zero and lays a haze of a few 8-bit steps over the others.

    Real pairs have both. The border follows the highlights' far tails, broken by slow noise; there the
    layer fades out smoothly.
    """
    cloud = F.interpolate(column(plan["haze.cloud"], raw.device), size=raw.shape[-2:], mode="bilinear")
    level = raw.log() + cloud
    start = _quantile(level, _host(plan["untouched"], raw))
    end = _quantile(level, torch.full_like(start, 0.98))
    rise = (level - start).clamp(0, 1)
    near = ((level - start) / (end - start).clamp_min(1e-3)).clamp_(0, 1)
    haze = 0.6 + near * near * _host(plan["haze"], raw)
    return grey * rise * rise * (3 - 2 * rise) + (level > start) * haze * (1 / 255)


def _sensor(plan: dict[str, np.ndarray], diffuse: Tensor) -> Tensor:
    keys = torch.from_numpy(plan["sensor"]).to(diffuse.device)
    noise = pixel_noise(keys, *diffuse.shape[-2:])
    noisy = camera.add_noise(diffuse, noise, column(plan["noise"], diffuse.device))
    if not plan["jpeg"].any():
        return noisy
    rows = rows_of(plan["jpeg"], diffuse.device)
    quality = column(plan["quality"][plan["jpeg"]], diffuse.device)
    return put(noisy, rows, camera.jpeg(take(noisy, rows).clamp(0, 1), quality))


def tone_correct(diffuse: Tensor, picture: Tensor, mask: Tensor) -> Tensor:
    """Tone-corrected diffuse target (B, 3, H, W) on 8-bit steps (Fu et al., ICCV 2023).

    Per output channel an affine function of the diffuse R, G, B is fitted to the input on the pixels
    outside the mask, and applied to all. A tiny pull towards the identity settles what the pixels leave
    open (grey pictures).
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
