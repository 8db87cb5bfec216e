"""Composes a background and several objects into per-pixel maps, by the painter's rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from synthetic import fields, shapes
from synthetic.draws import Draws
from synthetic.options import SceneOptions
from synthetic.subsets import column, rows_of, take

SLOTS = 7
"""Surfaces of a scene: slots 0 and 1 are the two parts of the background, the others objects, back to
front.
"""

STUDIO, CLOSE_UP, TABLE, PHOTO = range(4)
SHADE = 6
"""Place of the contact shadow among the maps that `_paint` fills."""


@dataclass
class Geometry:
    """Per-pixel maps; fields are (B, H, W)."""

    normal: tuple[Tensor, Tensor, Tensor]
    texture: tuple[Tensor, Tensor]
    """Texture coordinates, a unit of about half the picture."""
    slot: Tensor
    """Index of the visible surface, int64."""
    shade: Tensor
    """Contact shadow, 0..1."""
    x: Tensor
    y: Tensor
    height: Tensor


def scene_kinds(draws: Draws, options: SceneOptions, have_photos: bool) -> np.ndarray:
    """int64 (B,): which kind each scene is."""
    photo = options.photo_share if have_photos else 0.0
    rest = max(0.0, 1.0 - photo - options.studio_share - options.close_up_share)
    return draws.choice("kind", weights=(options.studio_share, options.close_up_share, rest, photo))


def plan(draws: Draws, kinds: np.ndarray) -> dict[str, np.ndarray]:
    """Parameters of the surfaces; the first axis is the scene."""
    return _plan_background(draws, kinds) | _plan_objects(draws) | {"objects": _object_counts(draws, kinds)}


def build(plan: dict[str, np.ndarray], size: int, device: torch.device) -> Geometry:
    """The maps of a batch of scenes of side `size`."""
    batch = len(plan["objects"])
    axis = (torch.arange(size, device=device, dtype=torch.float32) + 0.5) * (2 / size) - 1
    x = axis.view(1, 1, size).expand(batch, size, size)
    y = -axis.view(1, size, 1).expand(batch, size, size)
    maps = _background(plan, size, device, x, y)
    for slot in range(2, SLOTS):
        for form in shapes.FORMS:
            chosen = (plan["objects"] > slot - 2) & (plan["form"][:, slot - 2] == form)
            if chosen.any():
                _paint(maps, plan, chosen, slot, form, x, y)
    return Geometry(
        normal=(maps[0], maps[1], maps[2]),
        texture=(maps[3], maps[4]),
        slot=maps[5].long(),
        shade=maps[6],
        x=x,
        y=y,
        height=maps[7],
    )


def _object_counts(draws: Draws, kinds: np.ndarray) -> np.ndarray:
    studio = 1 + draws.choice("objects.studio", weights=(0.35, 0.3, 0.2, 0.15))
    table = 1 + draws.choice("objects.table", weights=(0.25, 0.25, 0.2, 0.15, 0.15))
    close = draws.choice("objects.close", weights=(0.7, 0.2, 0.1))
    photo = draws.choice("objects.photo", weights=(0.75, 0.15, 0.1))
    return np.choose(kinds, (studio, close, table, photo))


def _plan_background(draws: Draws, kinds: np.ndarray) -> dict[str, np.ndarray]:
    horizon = draws.uniform("bg.horizon", low=-0.3, high=1.3)
    flat = draws.chance("bg.flat", share=0.6)
    horizon = np.where(kinds == TABLE, horizon, np.where(flat, 9.0, horizon))
    tilt = np.where(kinds == STUDIO, 0.5, draws.uniform("bg.tilt", low=0.15, high=1.25))
    turn = draws.uniform("bg.turn", low=0, high=2 * np.pi)
    relief = np.where(kinds == CLOSE_UP, draws.log_uniform("bg.relief", low=0.05, high=0.7), 0.04)
    relief = np.where(kinds == PHOTO, draws.log_uniform("bg.relief.photo", low=0.1, high=1.2), relief)
    lean, fold = draws.uniform("bg.lean", low=-0.25, high=0.25), draws.chance("bg.fold", share=0.3)
    frequency = draws.log_uniform("bg.frequency", 2, low=1.2, high=9.0)
    return {
        "bg.plane": np.stack(
            [horizon, lean, np.sin(tilt), np.cos(tilt), np.cos(turn), np.sin(turn), relief, fold], -1
        ),
        "bg.wall": draws.uniform("bg.wall", 2, low=-0.25, high=0.25),
        "bg.mix": 1.4 * draws.uniform("bg.mix", 2) / np.maximum(frequency, 1.0),
    } | fields.plan(draws, "bg.height", frequency)


def _background(
    plan: dict[str, np.ndarray], size: int, device: torch.device, x: Tensor, y: Tensor
) -> list[Tensor]:
    """Wall above, table below a horizon (slots 0 and 1), with a relief over both."""
    p = column(plan["bg.plane"], device)[..., None, None]
    horizon, lean, sine, cosine, turn_c, turn_s, relief, fold = p.unbind(1)
    walls = column(plan["bg.wall"], device)[..., None, None]
    field = fields.Fields(plan, "bg.height", size, device)
    slope_x, slope_y = field.slopes()
    weights = column(plan["bg.mix"], device)[..., None, None]
    if plan["bg.plane"][:, -1].any():
        # A fold is the absolute value of a field: creases of foil and wrap; its slope keeps the field's sign.
        sign = torch.lerp(torch.ones_like(slope_x), field.value().sign(), fold.unsqueeze(1))
        slope_x, slope_y = slope_x * sign, slope_y * sign
    grad_x = (slope_x * weights).sum(1) * relief
    grad_y = (slope_y * weights).sum(1) * relief
    below = (y < horizon + lean * x).float()
    above = 1 - below
    normal = shapes.unit(
        above * walls[:, 0] - grad_x,
        torch.lerp(walls[:, 1].expand_as(below), sine, below) - grad_y,
        above + below * cosine,
    )
    # The plane's own coordinates: what is further away is higher up and smaller.
    nearness = (1 + below * (0.45 * sine) * (y + 1)).clamp_min_(0.2)
    s, t = x * nearness, y * nearness / torch.lerp(torch.ones_like(sine), cosine.clamp_min(0.3), below)
    texture = (s * turn_c - t * turn_s, s * turn_s + t * turn_c)
    height = (below * (0.8 - sine * (y + 1)) - 0.8).clamp_min_(-1)
    return [*normal, *texture, below, torch.ones_like(below), height]


def _plan_objects(draws: Draws) -> dict[str, np.ndarray]:
    """Parameters of the object slots, (B, SLOTS - 2, ...)."""
    n = SLOTS - 2
    form = draws.choice("form", n, weights=(0.42, 0.25, 0.15, 0.18))
    first = np.arange(n)[None] == 0
    scale = draws.log_uniform("scale", n, low=0.2, high=0.75) * np.where(first, 1.25, 1.0)
    place = draws.uniform("place", n, 2, low=-0.9, high=0.9) * np.where(first[..., None], 0.45, 0.95)
    upright = draws.chance("upright", n, share=0.65)
    angle = np.where(
        upright, draws.normal("lean", n) * 0.12, draws.uniform("angle", n, low=-np.pi, high=np.pi)
    )
    angle = np.where(form == shapes.DISH, draws.normal("lean", n) * 0.1, angle)
    parameters = np.zeros((draws.count, n, shapes.PARAMETERS), np.float32)
    for kind, rows in _form_parameters(draws, n).items():
        parameters = np.where((form == kind)[..., None], rows, parameters)
    shadow = draws.uniform("contact", n, low=0.0, high=0.75)
    return {
        "form": form,
        "parameters": parameters,
        "frame": np.stack([place[..., 0], place[..., 1], np.cos(angle), np.sin(angle), scale], -1),
        "shadow": np.stack(
            [shadow, *np.moveaxis(draws.uniform("contact.at", n, 2, low=-0.3, high=0.3), -1, 0)], -1
        ),
        "texture": np.stack(
            [
                draws.log_uniform("uv.scale", n, low=0.35, high=1.3),
                *np.moveaxis(draws.uniform("uv.at", n, 2), -1, 0),
            ],
            -1,
        ),
    }


def _form_parameters(draws: Draws, n: int) -> dict[int, np.ndarray]:
    def pad(*columns: np.ndarray) -> np.ndarray:
        rows = np.stack(np.broadcast_arrays(*columns), -1).astype(np.float32)
        return np.pad(rows, ((0, 0), (0, 0), (0, shapes.PARAMETERS - rows.shape[-1])))

    def u(name: str, low: float, high: float) -> np.ndarray:
        return draws.uniform("form." + name, n, low=low, high=high)

    def often(name: str, share: float) -> np.ndarray:
        return draws.chance("form." + name, n, share=share)

    def wide(name: str, low: float, high: float) -> np.ndarray:
        return draws.log_uniform("form." + name, n, low=low, high=high)

    organic = often("organic", 0.6)
    solid = pad(
        np.where(often("a2", 0.6), 2.0, wide("a", 1.7, 8.0)),
        np.where(organic, wide("b2", 1.8, 2.5), wide("b", 2.0, 24.0)),
        np.where(often("c2", 0.7), 2.0, wide("c", 1.7, 6.0)),
        u("depth", 0.35, 1.1),
        np.where(often("tapered", 0.35), u("taper", -0.4, 0.4), 0.0),
        np.where(often("bent", 0.2), u("bend", -0.9, 0.9), 0.0),
        wide("aspect", 0.6, 2.0),
        u("lobes", 3.0, 9.0),
        np.where(often("ribbed", 0.15), u("ribs", 0.1, 0.5), 0.0),
    )
    elevation = u("elevation", 0.12, 1.0)
    round_body = pad(
        np.where(often("straight", 0.4), 0.0, u("k", -0.18, 0.22)),
        wide("half", 0.25, 2.0),
        np.sin(elevation),
        np.cos(elevation),
        often("open", 0.55),
        u("edge", 0.0, 1.5),
    )
    yaw, pitch = u("yaw", -0.75, 0.75), u("pitch", 0.1, 0.9)
    box = pad(
        u("hx", 0.4, 1.0), u("hy", 0.3, 1.0), u("hz", 0.2, 0.8),
        np.sin(yaw), np.cos(yaw), np.sin(pitch), np.cos(pitch), wide("sharp", 5.0, 50.0),
    )  # fmt: skip
    tilt = u("tilt", 0.0, 1.2)
    dish = pad(
        np.sin(tilt),
        np.cos(tilt),
        u("dip", -0.2, 0.9),
        wide("profile", 1.5, 5.0),
        u("ring", 0.4, 0.85),
        np.where(often("ringed", 0.5), u("ring_height", -0.9, 0.9), 0.0),
        np.where(often("holed", 0.12), u("hole", 0.2, 0.75), 0.0),
    )
    return {shapes.SOLID: solid, shapes.ROUND: round_body, shapes.BOX: box, shapes.DISH: dish}


def _paint(
    maps: list[Tensor],
    plan: dict[str, np.ndarray],
    chosen: np.ndarray,
    slot: int,
    form: int,
    x: Tensor,
    y: Tensor,
) -> None:
    """Paints object `slot` of the `chosen` scenes (bool (B,)) over the maps, in place."""
    device = x.device
    rows = rows_of(chosen, device)
    box = _box(plan["frame"][chosen, slot - 2], plan["parameters"][chosen, slot - 2], form, x.shape[-1])
    if box is None:
        return

    def columns(name: str) -> Tensor:
        return column(plan[name][chosen, slot - 2], device)[..., None, None]

    centre_x, centre_y, cosine, sine, scale = columns("frame").unbind(1)
    dx, dy = (x[:1, *box] - centre_x) / scale, (y[:1, *box] - centre_y) / scale
    u, v = dx * cosine + dy * sine, dy * cosine - dx * sine
    hit = shapes.FORMS[form](u, v, columns("parameters"))
    strength, shift_x, shift_y = columns("shadow").unbind(1)
    near = torch.exp(-1.2 * ((u - shift_x).square() + (v - shift_y).square()))
    inside = hit.inside.float()
    nx, ny, nz = hit.normal
    uv_scale, uv_x, uv_y = columns("texture").unbind(1)
    painted = (
        nx * cosine - ny * sine,
        nx * sine + ny * cosine,
        nz,
        hit.texture[0] * uv_scale + uv_x,
        hit.texture[1] * uv_scale + uv_y,
        torch.full_like(u, float(slot)),
        torch.ones_like(u),
        hit.height * scale,
    )
    for number, (values, new) in enumerate(zip(maps, painted, strict=True)):
        behind = take(values[:, *box], rows)
        if number == SHADE:
            behind = behind * (1 - strength * near)
        shown = torch.lerp(behind, new, inside)
        if rows is None:
            values[:, *box] = shown
        else:
            values[:, *box].index_copy_(0, rows, shown)


def _box(frame: np.ndarray, parameters: np.ndarray, form: int, size: int) -> tuple[slice, slice] | None:
    """Rows and columns of the picture that hold all the objects and their shadows; None where outside."""
    reach = (shapes.reach(form, parameters) * 1.05 + 0.6) * frame[:, 4]
    left, right = (frame[:, 0] - reach).min(), (frame[:, 0] + reach).max()
    low, high = (frame[:, 1] - reach).min(), (frame[:, 1] + reach).max()
    top, bottom, first, last = ((np.array([-high, -low, left, right]) + 1) * size / 2).clip(0, size)
    rows, columns = slice(int(top), int(np.ceil(bottom))), slice(int(first), int(np.ceil(last)))
    return (rows, columns) if rows.stop > rows.start and columns.stop > columns.start else None
