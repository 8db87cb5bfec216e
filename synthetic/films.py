"""Plastic film over a scene, as of bags and wrapped goods: highlights on its creases, whatever is below."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from synthetic import shapes
from synthetic.draws import Draws, Plan
from synthetic.fields import FieldPlan, Fields, draw_fields
from synthetic.kinds import SceneKinds
from synthetic.subsets import column
from synthetic.surfaces import Surface

SLOPES = 3
"""Fields that crease the film; one more bounds it."""


@dataclass(frozen=True)
class FilmPlan(Plan):
    """Films of a batch of scenes; each array (B,) unless noted."""

    used: np.ndarray
    """bool: there is one; the other scenes ignore the rest."""
    relief: FieldPlan
    """SLOPES + 1 fields."""
    weight: np.ndarray
    """(B, SLOPES): how much each of them slopes."""
    creased: np.ndarray
    """(B, SLOPES), bool: in sharp creases, else in waves."""
    facet: np.ndarray
    """Step of the slope from one facet to the next."""
    flat: np.ndarray
    """How flat facets are: 0 for waves, 1 for planes."""
    follow: np.ndarray
    """How far the film follows what lies below, 0 to 1."""
    border: np.ndarray
    """Value of the last field below which there is no film."""
    alpha: np.ndarray
    """GGX roughness."""
    gloss: np.ndarray
    mirror: np.ndarray


def draw_films(draws: Draws, kinds: SceneKinds) -> FilmPlan:
    """Films of those scenes that have one; half of them cover the whole picture."""
    frequency = draws.log_uniform("film.frequency", SLOPES + 1, low=1.0, high=10.0)
    frequency[:, SLOPES] = draws.log_uniform("film.border.frequency", low=1.0, high=4.0)
    strength = draws.log_uniform("film.slope", 1, low=0.15, high=0.9)
    whole = draws.chance("film.whole", share=0.5)
    return FilmPlan(
        used=kinds.film,
        relief=draw_fields(draws, "film", frequency),
        weight=strength * draws.uniform("film.mix", SLOPES) / np.maximum(frequency[:, :SLOPES], 1.0),
        creased=draws.chance("film.creased", SLOPES, share=0.7),
        facet=draws.log_uniform("film.facet", low=0.05, high=0.4),
        flat=draws.uniform("film.flat") * draws.chance("film.faceted", share=0.6),
        follow=draws.uniform("film.follow", high=0.8),
        border=np.where(whole, -9.0, draws.uniform("film.border", low=-1.2, high=0.3)),
        alpha=draws.log_uniform("film.alpha", low=0.03, high=0.22),
        gloss=draws.uniform("film.gloss", low=0.4, high=1.2),
        mirror=draws.uniform("film.mirror", low=0.1, high=0.8),
    )


def cover(plan: FilmPlan, surface: Surface) -> tuple[Surface, Tensor | None]:
    """The surface as light from outside meets it, and where film is: (B, H, W), 0 or 1; None for nowhere.

    The colours below stay: what film absorbs is little.
    """
    if not plan.used.any():
        return surface, None
    device, size = surface.alpha.device, surface.alpha.shape[-1]

    def plane(values: np.ndarray) -> Tensor:
        return column(values, device).view(-1, 1, 1)

    field = Fields(plan.relief, size, device)
    values, (along_x, along_y) = field.value(), field.slopes()
    film = (values[:, SLOPES] > plane(plan.border)).float() * plane(plan.used)
    # A crease is the absolute value of a field: its slope is discontinuous where the field changes sign.
    creased = column(plan.creased, device)[..., None, None]
    sign = torch.lerp(torch.ones_like(along_x[:, :SLOPES]), values[:, :SLOPES].sign(), creased)
    weight = sign * column(plan.weight, device)[..., None, None]
    nx, ny, nz = surface.normal
    follow = plane(plan.follow)
    slopes = []
    for below, along in ((nx, along_x), (ny, along_y)):
        slope = (along[:, :SLOPES] * weight).sum(1)
        facets = (slope / plane(plan.facet)).round() * plane(plan.facet)
        slopes.append(follow * below - torch.lerp(slope, facets, plane(plan.flat)))
    normal = shapes.unit(*slopes, torch.lerp(torch.ones_like(nz), nz, follow))

    def over(below: Tensor, above: Tensor | float) -> Tensor:
        above = above if isinstance(above, Tensor) else torch.full_like(below, above)
        return torch.lerp(below, above.expand_as(below), film)

    covered = replace(
        surface,
        normal=tuple(over(below, above) for below, above in zip(surface.normal, normal, strict=True)),
        alpha=over(surface.alpha, plane(plan.alpha)),
        stretch=over(surface.stretch, 1.0),
        gloss=over(surface.gloss, plane(plan.gloss)),
        coat=over(surface.coat, 0.0),
        edge=over(surface.edge, 2.0),
        mirror=over(surface.mirror, plane(plan.mirror)),
    )
    return covered, film
