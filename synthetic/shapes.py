"""Closed forms of objects: which pixels they cover, their normals, heights and texture coordinates.

Frame: orthographic, x to the right, y upwards, both in [-1, 1] over the picture, z towards the viewer. A
form takes the pixel grid in its own frame (centred, turned by the in-plane angle, divided by its size) and
the columns of its parameters shaped (b, 1, 1), and returns a `Hit` with fields shaped (b, H, W) in that
frame.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from synthetic.subsets import power

SOLID, ROUND, BOX, DISH, LIMBS = range(5)
NODES = 10
"""Balls of a figurine, see `limbs`."""

LIMB_PARENTS = (0, 0, 1, 2, 0, 4, 0, 6, 2, 8)
"""The ball that each is joined to: back and head 0-1-2-3, tail 0-4-5, a hind leg 0-6-7, a fore leg 2-8-9."""

PARAMETERS = 4 * NODES


class Hit(NamedTuple):
    """What a form shows at each pixel: `inside` bool, unit normal, height, texture coordinates about +-1.

    `rim` is 1 on rims, edges and ridges and falls to 0 away from them, `shade` is the light that reaches into
    grooves, 0 to 1; None for forms that have neither.
    """

    inside: Tensor
    normal: tuple[Tensor, Tensor, Tensor]
    height: Tensor
    texture: tuple[Tensor, Tensor]
    rim: Tensor | None = None
    shade: Tensor | None = None


def unit(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The vector field over its length."""
    inverse = torch.rsqrt(x * x + y * y + z * z + 1e-12)
    return x * inverse, y * inverse, z * inverse


def solid(u: Tensor, v: Tensor, p: Tensor) -> Hit:
    """Superquadric |w|^a + |v|^b + |z/d|^c = 1 seen from the front, w = u (1 + taper v) + bend (v^2 - 0.4).

    Spheres, eggs, pears, bananas, cushions, lying bottles and cans, tiles with rounded edges.
    Parameters: a, b, c, depth d, taper, bend, aspect (length along v over width), lobes, lobe depth.
    """
    a, b, c, depth, taper, bend, aspect, lobes, lobe_depth = p[:, :9].unbind(1)
    v = v / aspect
    w = u * (1 + taper * v) + bend * (v * v - 0.4)
    size_w, size_v = w.abs().clamp_min(1e-5), v.abs().clamp_min(1e-5)
    power_w, power_v = power(size_w, a), power(size_v, b)
    left = 1 - power_w - power_v
    inside = left > 0
    z = power(left.clamp_min(1e-6), 1 / c)
    slope_w = a * power_w / size_w * w.sign()
    slope_v = b * power_v / size_v * v.sign() + slope_w * (taper * u + 2 * bend * v)
    slope_z = c * left.clamp_min(1e-6) / z
    # Ribs of pumpkins and star fruit: meridians push the normal sideways.
    ribs = lobe_depth * torch.sin(lobes * w / (0.35 + z)) * z
    normal = unit(slope_w * (1 + taper * v) + ribs * slope_z, slope_v / aspect, slope_z / depth)
    return Hit(inside, normal, depth * z, (w * (1 + 0.35 * w * w), v))


def round_body(u: Tensor, v: Tensor, p: Tensor) -> Hit:
    """Truncated cone about an axis tilted towards the viewer: cups (open), cans, pots, bottles (closed); with
    ridges also stacked plates, turned wood, screw caps.

    Ray (u, v, t) against X^2 + Z^2 = (1 + k Y)^2, |Y| <= h. Parameters: k, h, sine and cosine of the
    elevation, open (0 or 1), rounding of the edges, number of ridges (0 for none), their height, how dark it
    is between them (0 to 1).
    """
    k, half, sine, cosine, is_open, edge, ridges, ridge_height, gap = p[:, :9].unbind(1)
    y0, z0 = v * cosine, -v * sine
    radius0 = 1 + k * y0
    qa = cosine**2 - (k * sine) ** 2
    qb = z0 * cosine - radius0 * k * sine
    discriminant = qb * qb - qa * (u * u + z0 * z0 - radius0 * radius0)
    root = discriminant.clamp_min(0).sqrt()
    near, far = (-qb + root) / qa, (-qb - root) / qa
    y_near, y_far = y0 + near * sine, y0 + far * sine
    hits = discriminant > 0
    side = hits & (y_near.abs() < half)
    top = (half - y0) / sine
    cap = ~side & (u * u + (z0 + top * cosine) ** 2 < (1 + k * half) ** 2)
    bottom = (-half - y0) / sine
    opened = cap & (is_open > 0.5)
    wall = opened & (y_far.abs() < half)
    t = torch.where(side, near, torch.where(wall, far, torch.where(opened, bottom, top)))
    body_y, body_z = y0 + t * sine, z0 + t * cosine
    curved = (side | wall).float()
    sign = torch.where(wall, -1.0, 1.0)
    rim = (body_y.abs() / half).clamp_max(1) ** 30 * edge * body_y.sign() * side
    normal_x, normal_z = sign * u * curved, sign * body_z * curved
    # A ridge rises slowly from below and ends abruptly, as the rim of a plate on the next one does.
    phase = torch.frac((body_y / half + 1) * 0.5 * ridges)
    crest = (1 - (phase - 0.8).abs() * 4).clamp_min(0) * side * (ridges > 0)
    groove = (1 - phase * 3).clamp_min(0) * side * (ridges > 0)
    rise = ridge_height * (crest * (phase - 0.8).sign() - groove)
    normal_y = torch.where(curved > 0, -sign * k * (1 + k * body_y) + rim * 2 + rise, 1.0)
    normal = unit(normal_x, normal_y * cosine - normal_z * sine, normal_y * sine + normal_z * cosine)
    around = torch.where(curved > 0, torch.atan2(u, body_z.abs() + 1e-3), u)
    along = torch.where(curved > 0, body_y, z0 + t * cosine)
    lip = torch.where(cap & ~opened, (u * u + (z0 + top * cosine) ** 2).sqrt(), body_y.abs() / half)
    plain = torch.where(wall, body_y / half, torch.where(opened & ~wall, 0.0, lip)).clamp(0, 1)
    edges = torch.where(ridges > 0, crest, plain)
    return Hit(side | cap, normal, t, (around, along), edges, 1 - gap * groove)


def box(u: Tensor, v: Tensor, p: Tensor) -> Hit:
    """Box seen at an angle, by slabs; edges rounded in the normal.

    Parameters: half extents (3), yaw sine and cosine, pitch sine and cosine, sharpness of the edges (2..40).
    """
    extents = p[:, 0], p[:, 1], p[:, 2]
    yaw_s, yaw_c, pitch_s, pitch_c, sharp = p[:, 3:8].unbind(1)
    # Object coordinates of the ray (u, v, t): origin + t * direction, t growing towards the viewer.
    origin = (u * yaw_c + v * (pitch_s * yaw_s), v * pitch_c, u * yaw_s - v * (pitch_s * yaw_c))
    direction = (-yaw_s * pitch_c, pitch_s, yaw_c * pitch_c)
    leaves, enters = [], []
    for o, d, h in zip(origin, direction, extents, strict=True):
        d = torch.where(d.abs() < 1e-3, torch.full_like(d, 1e-3), d)
        one, two = (h - o) / d, (-h - o) / d
        leaves.append(torch.maximum(one, two))
        enters.append(torch.minimum(one, two))
    t = torch.minimum(torch.minimum(leaves[0], leaves[1]), leaves[2])
    inside = t > torch.maximum(torch.maximum(enters[0], enters[1]), enters[2])
    place = [(o + t * d) / h for o, d, h in zip(origin, direction, extents, strict=True)]
    x, y, z = (q.sign() * power(q.abs().clamp(1e-3, 1.0), sharp) for q in place)
    turned_z = z * yaw_c - x * yaw_s
    normal = unit(x * yaw_c + z * yaw_s, y * pitch_c - turned_z * pitch_s, y * pitch_s + turned_z * pitch_c)
    on_x, on_y = (
        leaves[0] <= torch.minimum(leaves[1], leaves[2]),
        leaves[1] <= torch.minimum(leaves[0], leaves[2]),
    )
    s = torch.where(on_x, place[2], place[0])
    # Of the three distances from the centre the face has 1, an edge two of 1.
    edges = torch.stack([q.abs() for q in place]).sort(0).values[1].clamp_max(1.0)
    return Hit(inside, normal, t, (s, torch.where(on_y, place[2], place[1])), edges)


def dish(u: Tensor, v: Tensor, p: Tensor) -> Hit:
    """Disc with a radial profile, tilted away: plates, bowls from above, lids, coins.

    Parameters: sine and cosine of the tilt, depth, exponent of the profile, ring radius, ring height, hole
    radius.
    """
    sine, cosine, depth, exponent, ring, ring_height, hole = p[:, :7].unbind(1)
    v = v / cosine
    radius = (u * u + v * v).sqrt().clamp_min(1e-4)
    bump = (radius - ring) * 14
    slope = depth * exponent * power(radius, exponent - 1) - ring_height * bump * torch.exp(-bump * bump / 2)
    slope = slope - 6 * radius.clamp_max(1.0) ** 40
    across, along = -slope * u / radius, -slope * v / radius
    normal = unit(across, along * cosine + sine, cosine - along * sine)
    inside = (radius < 1) & (radius > hole)
    return Hit(inside, normal, depth * power(radius, exponent), (u, v), radius.clamp_max(1.0))


def limbs(u: Tensor, v: Tensor, p: Tensor) -> Hit:
    """Figurine: tapering limbs between balls, the nearest to the viewer shown; also horns, handles, hoses.

    Parameters: centre x, y, z and radius of each of NODES balls, joined as LIMB_PARENTS says.
    """
    x, y, z, radius = p.unflatten(1, (NODES, 4)).unbind(2)
    top = torch.full_like(u, -torch.inf)
    slope_u, slope_v = torch.zeros_like(u), torch.zeros_like(u)
    for end, start in enumerate(LIMB_PARENTS):
        axis_u, axis_v = x[:, end] - x[:, start], y[:, end] - y[:, start]
        squared = (axis_u * axis_u + axis_v * axis_v).clamp_min(1e-6)
        along = ((u - x[:, start]) * axis_u + (v - y[:, start]) * axis_v) / squared
        between = (along > 0) & (along < 1)
        along = along.clamp(0, 1)
        off_u, off_v = u - x[:, start] - along * axis_u, v - y[:, start] - along * axis_v
        grow_z, grow_r = z[:, end] - z[:, start], radius[:, end] - radius[:, start]
        r = radius[:, start] + along * grow_r
        left = r * r - off_u * off_u - off_v * off_v
        bulge = left.clamp_min(1e-5).sqrt()
        height = z[:, start] + along * grow_z + bulge
        nearer = (left > 0) & (height > top)
        # Along the limb the height grows with its axis and its radius.
        rise = (grow_z + r * grow_r / bulge) * between / squared
        top = torch.where(nearer, height, top)
        slope_u = torch.where(nearer, rise * axis_u - off_u / bulge, slope_u)
        slope_v = torch.where(nearer, rise * axis_v - off_v / bulge, slope_v)
    inside = top > -torch.inf
    normal = unit(-slope_u, -slope_v, torch.ones_like(u))
    return Hit(inside, normal, torch.where(inside, top, 0.0), (u, v))


FORMS: dict[int, Callable[[Tensor, Tensor, Tensor], Hit]] = {
    SOLID: solid,
    ROUND: round_body,
    BOX: box,
    DISH: dish,
    LIMBS: limbs,
}


def reach(form: int, p: np.ndarray) -> np.ndarray:
    """Radius (b,) about its centre that holds an object, in its own units; p (b, PARAMETERS)."""
    if form == SOLID:
        bend, aspect, taper = np.abs(p[:, 5]), p[:, 6], np.abs(p[:, 4])
        return np.hypot(1 / (1 - taper) + 0.6 * bend, aspect)
    if form == ROUND:
        return np.hypot(1 + np.abs(p[:, 0]) * p[:, 1], p[:, 1])
    if form == BOX:
        return np.sqrt((p[:, :3] ** 2).sum(1))
    if form == LIMBS:
        balls = p.reshape(len(p), NODES, 4)
        return (np.hypot(balls[..., 0], balls[..., 1]) + balls[..., 3]).max(1)
    return np.ones(len(p))
