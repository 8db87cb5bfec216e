"""The specular layer in display values, from the renderer's specular reflection.

Two compositions. Display: one grey layer that is added to the finished diffuse picture, as in SHIQ. Linear: a
tinted highlight added in linear light, and the difference that it makes in display values.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from synthetic import camera
from synthetic.draws import Draws, Plan
from synthetic.kinds import SceneKinds
from synthetic.recolouring import pale_scenes
from synthetic.scene_options import SceneOptions
from synthetic.subsets import column, maps, power, put, quantile, rows_of, take

DARK_GREY = 0.2  # display value


@dataclass(frozen=True)
class HighlightPlan(Plan):
    """Highlights of a batch of scenes; each array (B,) unless noted."""

    peak: np.ndarray
    """Display value of the brightest highlight on a dark grey; 0 for none."""
    linear: np.ndarray
    """bool: linear composition, else display."""
    sensed: np.ndarray
    """bool: dimmer on bright ground, as a sensor sees it (display composition)."""
    tint: np.ndarray
    """(B, 3): colour (linear composition)."""
    extent: np.ndarray
    """Share of the picture to which highlights are held, see `confine`."""
    clipped_extent: np.ndarray
    """Share of the picture that clips, 0 where nothing needs to; see `_overexpose`."""
    clipped_light: np.ndarray
    """Light at the border of that share, in units of what clips on black."""
    untouched: np.ndarray
    """Share of the pixels that are exactly zero (display composition)."""
    haze: np.ndarray
    """Even part of the layer over the others, in 255ths."""
    cloud: np.ndarray
    """(B, 1, 9, 9): slow noise that breaks the border between them."""
    glare: np.ndarray
    """Share of the layer that is scattered widely in the lens."""
    jpeg: np.ndarray
    """bool: passed JPEG compression."""
    quality: np.ndarray
    """Its quality."""


def draw_highlights(
    draws: Draws, kinds: SceneKinds, options: SceneOptions, quality: np.ndarray
) -> HighlightPlan:
    """Highlights of a batch of scenes; `quality` (B,) is that of JPEG."""
    peak = _peaks(draws, kinds, options)
    linear_share = {"display": 0.0, "linear": 1.0, "mixed": options.linear_share}[options.composition]
    tint = 1 + 0.12 * draws.normal("specular.tint")[:, None] * np.array([1, 0.1, -1])
    burnt = draws.log_uniform("clipped.extent", low=options.clipped_extent[0], high=options.clipped_extent[1])
    wide = draws.chance("wide", share=options.wide_share)
    confined = draws.log_uniform("confined", low=options.extent[0], high=options.extent[1])
    # Highlights on film cover more of the picture than those on a body.
    burnt = np.where(kinds.film, 3 * burnt, burnt)
    confined = np.where(kinds.film, draws.log_uniform("confined.film", low=0.06, high=0.4), confined)
    shoulder = np.minimum(0.4, burnt * draws.uniform("clipped.shoulder", low=3.0, high=10.0))
    return HighlightPlan(
        peak=peak,
        linear=draws.chance("linear", share=linear_share),
        sensed=kinds.clipped | draws.chance("sensed", share=0.85),
        tint=tint.clip(0.6, 1.4),
        extent=np.where(kinds.clipped, shoulder, np.where(wide, 1.0, confined)),
        clipped_extent=np.where(kinds.clipped, burnt, 0.0),
        clipped_light=draws.log_uniform("clipped.light", low=1.2, high=2.5),
        untouched=draws.uniform("untouched", low=options.untouched[0], high=options.untouched[1]),
        haze=draws.uniform("haze") ** 2 * 12 * ~kinds.studio * np.minimum(1, 2 * peak),
        cloud=draws.normal("haze.cloud", 1, 9, 9) * draws.uniform("haze.rough", 1, 1, 1, high=2.0),
        glare=draws.chance("glared", share=0.25) * draws.uniform("glare", high=0.15),
        jpeg=draws.chance("specular.jpeg", share=options.jpeg_share),
        quality=quality,
    )


def _peaks(draws: Draws, kinds: SceneKinds, options: SceneOptions) -> np.ndarray:
    """Height of the highlights (B,), 0 for scenes without any."""
    low, high = options.peak
    rank = draws.uniform("peak")
    pale = pale_scenes(draws, kinds, options)
    peak = low + (high - low) * np.where(pale, rank**2.5 * 0.6, rank**1.2)
    peak = np.where(kinds.clipped, 1.0, peak)
    peak = np.where(kinds.painted, draws.uniform("peak.painted", low=0.08, high=0.25), peak)
    peak = np.where(kinds.sparkling, draws.uniform("peak.sparkling", low=0.6, high=1.2), peak)
    peak = np.where(kinds.film, np.maximum(peak, draws.uniform("peak.film", low=0.3, high=1.1)), peak)
    matte = kinds.studio & draws.chance("clean.studio", share=options.matte_studio_share)
    matte = matte & ~kinds.clipped & ~kinds.sparkling & ~kinds.film
    matte = matte | kinds.painted & draws.chance("clean.painted", share=0.75)
    return np.where(matte | draws.chance("clean", share=options.clean_share), 0.0, peak)


def specular_layer(plan: HighlightPlan, light: Tensor, diffuse: Tensor, exponent: Tensor) -> Tensor:
    """Specular layer in display values: one channel where all scenes of the batch are grey, else three.

    `light` (B, H, W) is linear and of any scale, `diffuse` (B, 3, H, W) in display values, `exponent`
    (B, 1, 1, 1) that of the display curve.
    """
    raw = light.unsqueeze(1)
    top = quantile(raw, torch.full_like(exponent, 0.997)).clamp_min(1e-6)
    raw = confine((raw / top).clamp_(1e-7, 4.0), maps(plan.extent, raw))
    peak = maps(plan.peak, raw)
    # What raises a dark grey by the peak: on brighter ground the same light is seen less.
    dark = torch.full_like(peak, DARK_GREY)
    scale = power(dark + peak, 1 / exponent) - power(dark, 1 / exponent)
    if (plan.clipped_extent > 0).any():
        raw, scale = _overexpose(plan, raw, scale)
    added = raw * scale
    if plan.linear.all():
        return _coloured(plan, added, diffuse, exponent)
    grey = _grey(plan, raw, added, diffuse, exponent)
    if not plan.linear.any():
        return grey
    return torch.where(maps(plan.linear, raw) > 0, _coloured(plan, added, diffuse, exponent), grey)


def _grey(plan: HighlightPlan, raw: Tensor, added: Tensor, diffuse: Tensor, exponent: Tensor) -> Tensor:
    """The grey layer (B, 1, H, W) of the display composition."""
    # What the sensor would see: the curve of the sum less that of the diffuse layer, brightest where it is
    # dark.
    base = diffuse.mean(1, keepdim=True).clamp_min_(1e-5)
    if not plan.sensed.all():
        grey = power(raw, exponent.sqrt()) * maps(plan.peak, raw)
    if plan.sensed.any():
        sensed = power(power(base, 1 / exponent) + added, exponent) - base
        grey = sensed if plan.sensed.all() else torch.lerp(grey, sensed, maps(plan.sensed, raw))
    if plan.glare.any():
        rows = rows_of(plan.glare > 0, grey.device)
        amount = column(plan.glare[plan.glare > 0], grey.device)
        grey = put(grey, rows, camera.glare(take(grey, rows), amount))
    cut = _untouched(plan, grey, raw) * (maps(plan.peak, raw) > 0)
    if plan.jpeg.any():
        rows = rows_of(plan.jpeg, cut.device)
        quality = column(plan.quality[plan.jpeg], cut.device)
        cut = put(cut, rows, camera.jpeg(take(cut, rows).clamp(0, 1), quality)) * (cut > 0)
    return cut


def confine(raw: Tensor, extent: Tensor) -> Tensor:
    """Takes from highlights (B, 1, H, W), about 1 at their peaks, what is even over a wider area than the
    share `extent` (B, 1, 1, 1) of the picture.

    Such a veil cannot be told from paint, and the specular layers of real pairs hardly have any. Peaks keep
    their height unless that doubled the rest; an extent of 1 changes nothing.
    """
    wide = extent >= 1
    level = quantile(raw, 1 - extent).clamp_min(1e-6)
    # raw^2 / (2 level) far below the level, raw - level far above it.
    above = raw + level * torch.expm1(-raw / level)
    peak = 1 + level * torch.expm1(-1 / level)
    return torch.where(wide, raw, (above / peak.clamp_min(0.5)).clamp_(1e-7, 4.0))


def _overexpose(plan: HighlightPlan, raw: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """`raw` and its scale where highlights are to clip: raised so that the wanted share of the picture gets
    `clipped_light`.

    What is faint from the start is raised by 8 at most; what is beyond 4 times that light is cut.
    """
    extent = maps(plan.clipped_extent, raw)
    level = quantile(raw, 1 - extent).clamp_min(0.12)
    chosen = extent > 0
    raised = (raw / level).clamp_max(4.0)
    return torch.where(chosen, raised, raw), torch.where(chosen, maps(plan.clipped_light, raw), scale)


def _coloured(plan: HighlightPlan, added: Tensor, diffuse: Tensor, exponent: Tensor) -> Tensor:
    """Difference made in display values by a tinted highlight added in linear light: (B, 3, H, W)."""
    tint = column(plan.tint, added.device)[..., None, None]
    total = power(diffuse.clamp_min(1e-5), 1 / exponent) + added * tint
    lit = maps(plan.peak > 0, added)
    return (power(total.clamp_max_(1.0), exponent) - diffuse).clamp_min_(0) * lit


def _untouched(plan: HighlightPlan, grey: Tensor, raw: Tensor) -> Tensor:
    """Makes a share of the pixels exactly zero and lays a haze of a few 8-bit steps over the others.

    Real pairs have both. The border follows the highlights' far tails, broken by slow noise; there the
    layer fades out smoothly.
    """
    cloud = F.interpolate(column(plan.cloud, raw.device), size=raw.shape[-2:], mode="bilinear")
    level = raw.log() + cloud
    start = quantile(level, maps(plan.untouched, raw))
    end = quantile(level, torch.full_like(start, 0.98))
    rise = (level - start).clamp(0, 1)
    near = ((level - start) / (end - start).clamp_min(1e-3)).clamp_(0, 1)
    haze = 0.6 + near * near * maps(plan.haze, raw)
    return grey * rise * rise * (3 - 2 * rise) + (level > start) * haze * (1 / 255)
