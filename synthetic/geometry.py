"""Composes a background and several objects into per-pixel maps, by the painter's algorithm."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from synthetic import shapes
from synthetic.draws import Draws, Plan
from synthetic.fields import FieldPlan, Fields, draw_fields
from synthetic.forms import form_parameters
from synthetic.kinds import CLOSE_UP, PHOTO, STUDIO, TABLE, SceneKinds
from synthetic.scene_options import SceneOptions
from synthetic.subsets import column, rows_of, take

SLOTS = 7
"""Surfaces of a scene: 0 and 1 are the two parts of the background, the others objects, back to front."""

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
    rim: Tensor
    """1 on rims, edges and ridges of objects, falling to 0 away from them."""


@dataclass(frozen=True)
class BackgroundPlan(Plan):
    """The wall and the table behind the objects, or the one surface that fills the picture."""

    plane: np.ndarray
    """(B, 8): height and lean of the horizon, sine and cosine of the table's tilt, cosine and sine of the
    texture's turn, strength of the relief, fold (0 or 1)."""
    wall: np.ndarray
    """(B, 2): slope of the wall along x and y."""
    mix: np.ndarray
    """(B, 2): weights of the two fields of the relief."""
    relief: FieldPlan


@dataclass(frozen=True)
class ObjectPlan(Plan):
    """The objects; N = SLOTS - 2 of them at most."""

    count: np.ndarray
    """int64 (B,)."""
    form: np.ndarray
    """int64 (B, N): which of `shapes.FORMS`."""
    parameters: np.ndarray
    """(B, N, shapes.PARAMETERS)."""
    frame: np.ndarray
    """(B, N, 5): centre along x and y, cosine and sine of the turn in the picture, scale."""
    shadow: np.ndarray
    """(B, N, 6): strength of the contact shadow, its shift along x and y, inverse width and height, how far
    beyond the object it is drawn."""
    texture: np.ndarray
    """(B, N, 3): scale and shift of the texture coordinates."""


def build(background: BackgroundPlan, objects: ObjectPlan, size: int, device: torch.device) -> Geometry:
    """The maps of a batch of scenes of side `size`."""
    batch = len(objects.count)
    axis = (torch.arange(size, device=device, dtype=torch.float32) + 0.5) * (2 / size) - 1
    x = axis.view(1, 1, size).expand(batch, size, size)
    y = -axis.view(1, size, 1).expand(batch, size, size)
    maps = _background(background, size, device, x, y)
    for slot in range(2, SLOTS):
        for form in shapes.FORMS:
            chosen = (objects.count > slot - 2) & (objects.form[:, slot - 2] == form)
            if chosen.any():
                _paint(maps, objects, chosen, slot, form, x, y)
    return Geometry(
        normal=(maps[0], maps[1], maps[2]),
        texture=(maps[3], maps[4]),
        slot=maps[5].long(),
        shade=maps[6],
        x=x,
        y=y,
        height=maps[7],
        rim=maps[8],
    )


def draw_background(draws: Draws, kinds: SceneKinds) -> BackgroundPlan:
    """Studio and table scenes have a level ground, close-ups and photographs a relief all over."""
    kind = kinds.setting
    horizon = draws.uniform("bg.horizon", low=-0.3, high=1.3)
    flat = draws.chance("bg.flat", share=0.6)
    horizon = np.where(kind == TABLE, horizon, np.where(flat, 9.0, horizon))
    tilt = np.where(kind == STUDIO, 0.5, draws.uniform("bg.tilt", low=0.15, high=1.25))
    turn = draws.uniform("bg.turn", low=0, high=2 * np.pi)
    relief = np.where(kind == CLOSE_UP, draws.log_uniform("bg.relief", low=0.05, high=0.7), 0.04)
    relief = np.where(kind == PHOTO, draws.log_uniform("bg.relief.photo", low=0.1, high=1.2), relief)
    lean, fold = draws.uniform("bg.lean", low=-0.25, high=0.25), draws.chance("bg.fold", share=0.3)
    frequency = draws.log_uniform("bg.frequency", 2, low=1.2, high=9.0)
    columns = horizon, lean, np.sin(tilt), np.cos(tilt), np.cos(turn), np.sin(turn), relief, fold
    return BackgroundPlan(
        plane=np.stack(columns, -1),
        wall=draws.uniform("bg.wall", 2, low=-0.25, high=0.25),
        mix=1.4 * draws.uniform("bg.mix", 2) / np.maximum(frequency, 1.0),
        relief=draw_fields(draws, "bg.height", frequency),
    )


def _background(plan: BackgroundPlan, size: int, device: torch.device, x: Tensor, y: Tensor) -> list[Tensor]:
    """Wall above, table below a horizon (slots 0 and 1), with a relief over both."""
    p = column(plan.plane, device)[..., None, None]
    horizon, lean, sine, cosine, turn_c, turn_s, relief, fold = p.unbind(1)
    walls = column(plan.wall, device)[..., None, None]
    field = Fields(plan.relief, size, device)
    slope_x, slope_y = field.slopes()
    weights = column(plan.mix, device)[..., None, None]
    if plan.plane[:, -1].any():
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
    return [*normal, *texture, below, torch.ones_like(below), height, torch.zeros_like(below)]


def draw_objects(draws: Draws, kinds: SceneKinds, options: SceneOptions) -> ObjectPlan:
    """Forms, places and sizes; close-ups and photographs mostly have no object before them."""
    n = SLOTS - 2
    form = draws.choice("form", n, weights=(0.42, 0.25, 0.15, 0.18))
    form = np.where(draws.chance("figurine", n, share=options.figurine_share), shapes.LIMBS, form)
    first = np.arange(n)[None] == 0
    scale = draws.log_uniform("scale", n, low=0.2, high=0.75) * np.where(first, 1.25, 1.0)
    place = draws.uniform("place", n, 2, low=-0.9, high=0.9) * np.where(first[..., None], 0.45, 0.95)
    upright = draws.chance("upright", n, share=0.65)
    angle = np.where(
        upright, draws.normal("lean", n) * 0.12, draws.uniform("angle", n, low=-np.pi, high=np.pi)
    )
    angle = np.where(form == shapes.DISH, draws.normal("lean", n) * 0.1, angle)
    parameters = np.zeros((draws.count, n, shapes.PARAMETERS), np.float32)
    for number, rows in form_parameters(draws, n, options).items():
        parameters = np.where((form == number)[..., None], rows, parameters)
    shadow_at = draws.uniform("contact.at", n, 2, low=-0.3, high=0.3)
    shadow_size = np.broadcast_to(np.array([1.0, 1.0, 0.6], np.float32), (draws.count, n, 3))
    texture_at = draws.uniform("uv.at", n, 2)
    studio = 1 + draws.choice("objects.studio", weights=(0.35, 0.3, 0.2, 0.15))
    table = 1 + draws.choice("objects.table", weights=(0.25, 0.25, 0.2, 0.15, 0.15))
    close = draws.choice("objects.close", weights=(0.7, 0.2, 0.1))
    photo = draws.choice("objects.photo", weights=(0.75, 0.15, 0.1))
    return ObjectPlan(
        count=np.choose(kinds.setting, (studio, close, table, photo)),
        form=form,
        parameters=parameters,
        frame=np.stack([place[..., 0], place[..., 1], np.cos(angle), np.sin(angle), scale], -1),
        shadow=_joined(draws.uniform("contact", n, low=0.0, high=0.75), shadow_at, shadow_size),
        texture=_joined(draws.log_uniform("uv.scale", n, low=0.35, high=1.3), texture_at),
    )


def _joined(first: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """(B, N) before (B, N, ...) arrays, along the last axis."""
    return np.concatenate([first[..., None], *others], -1)


def _paint(
    maps: list[Tensor],
    plan: ObjectPlan,
    chosen: np.ndarray,
    slot: int,
    form: int,
    x: Tensor,
    y: Tensor,
) -> None:
    """Paints object `slot` of the `chosen` scenes (bool (B,)) over the maps, in place."""
    device = x.device
    rows = rows_of(chosen, device)
    box = _box(plan[chosen], slot - 2, form, x.shape[-1])
    if box is None:
        return

    def columns(values: np.ndarray) -> Tensor:
        return column(values[chosen, slot - 2], device)[..., None, None]

    centre_x, centre_y, cosine, sine, scale = columns(plan.frame).unbind(1)
    dx, dy = (x[:1, *box] - centre_x) / scale, (y[:1, *box] - centre_y) / scale
    u, v = dx * cosine + dy * sine, dy * cosine - dx * sine
    hit = shapes.FORMS[form](u, v, columns(plan.parameters))
    strength, shift_x, shift_y, narrow, flat, _ = columns(plan.shadow).unbind(1)
    near = torch.exp(-1.2 * (((u - shift_x) * narrow).square() + ((v - shift_y) * flat).square()))
    inside = hit.inside.float()
    nx, ny, nz = hit.normal
    uv_scale, uv_x, uv_y = columns(plan.texture).unbind(1)
    painted = (
        nx * cosine - ny * sine,
        nx * sine + ny * cosine,
        nz,
        hit.texture[0] * uv_scale + uv_x,
        hit.texture[1] * uv_scale + uv_y,
        torch.full_like(u, float(slot)),
        torch.ones_like(u) if hit.shade is None else hit.shade,
        hit.height * scale,
        torch.zeros_like(u) if hit.rim is None else hit.rim,
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


def _box(plan: ObjectPlan, number: int, form: int, size: int) -> tuple[slice, slice] | None:
    """Rows and columns of the picture that hold an object, with its shadow, in all scenes; None for none."""
    frame = plan.frame[:, number]
    reach = shapes.reach(form, plan.parameters[:, number]) * 1.05 + plan.shadow[:, number, 5]
    reach = reach * frame[:, 4]
    left, right = (frame[:, 0] - reach).min(), (frame[:, 0] + reach).max()
    low, high = (frame[:, 1] - reach).min(), (frame[:, 1] + reach).max()
    top, bottom, first, last = ((np.array([-high, -low, left, right]) + 1) * size / 2).clip(0, size)
    rows, columns = slice(int(top), int(np.ceil(bottom))), slice(int(first), int(np.ceil(last)))
    return (rows, columns) if rows.stop > rows.start and columns.stop > columns.start else None
