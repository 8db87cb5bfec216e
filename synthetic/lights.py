"""Lamps, windows and strips: diffuse shading and specular reflection of the visible surfaces."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from synthetic import environment, shapes
from synthetic.banks import Banks
from synthetic.draws import Draws, Plan
from synthetic.geometry import Geometry
from synthetic.kinds import SceneKinds
from synthetic.scene_options import SceneOptions
from synthetic.subsets import add, column, rows_of, take
from synthetic.surfaces import Surface

LIGHTS = 4
Vector = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class LampPlan(Plan):
    """Lamps of a batch of scenes; each array (B, LIGHTS) or (B, LIGHTS, n)."""

    active: np.ndarray
    """bool: the others do not shine."""
    panel: np.ndarray
    """bool: windows, strips and soft boxes; the others are round."""
    place: np.ndarray
    """n = 3: x, y, z in the picture's frame (see `shapes`)."""
    tint: np.ndarray
    """n = 3: colour."""
    power: np.ndarray
    """n = 1."""
    size: np.ndarray
    """n = 1: diameter of a round lamp, by which it widens its highlight."""
    across: np.ndarray
    """n = 3: unit vector along a panel's width."""
    along: np.ndarray
    """n = 3: unit vector along a panel's height."""
    extent: np.ndarray
    """n = 2: tangents of a panel's half width and half height."""
    bars: np.ndarray
    """n = 1: bars of a window."""
    framed: np.ndarray
    """n = 1, bool: a window with bars."""


@dataclass(frozen=True)
class LightPlan(Plan):
    """Light of a batch of scenes; each array (B,)."""

    lamps: LampPlan
    ambient: np.ndarray
    wrap: np.ndarray
    """How far diffuse light reaches around a body."""
    perspective: np.ndarray
    ggx: np.ndarray
    """bool: GGX lobes (long tails), else Gaussian ones."""
    reflecting: np.ndarray
    """bool: the surroundings are reflected."""
    environment: np.ndarray
    """int64: which environment map."""
    turn: np.ndarray
    """Turn of the environment map in [0, 1)."""
    surroundings: np.ndarray
    """Power of the environment map."""
    dimmest: np.ndarray
    """Radiance from which on the surroundings show as a highlight, in units of their mean."""


def draw_light(draws: Draws, kinds: SceneKinds, banks: Banks, options: SceneOptions) -> LightPlan:
    """Lamps and surroundings of a batch of scenes."""
    # Painted things stand in the sun, one hard light, or in soft light from everywhere.
    sun = kinds.painted & draws.chance("sun", share=0.5)
    soft = kinds.painted & ~sun
    ambient = draws.uniform("ambient", low=0.03, high=0.3)
    ambient = np.where(sun, 0.25 * ambient, np.where(soft, 0.2 + ambient, ambient))
    return LightPlan(
        lamps=_draw_lamps(draws, kinds, sun),
        ambient=np.where(kinds.studio, ambient * 0.3, ambient),
        wrap=draws.uniform("wrap", low=0.0, high=0.25) * ~sun,
        perspective=draws.uniform("perspective", low=0.05, high=0.5),
        ggx=draws.chance("lobe", share=0.6),
        reflecting=draws.chance("env.use", share=options.environment_share),
        environment=_environments(draws, banks),
        turn=draws.uniform("env.turn"),
        surroundings=draws.log_uniform("env.power", low=0.1, high=0.6),
        dimmest=draws.uniform("env.dimmest", low=0.6, high=2.5),
    )


def _draw_lamps(draws: Draws, kinds: SceneKinds, sun: np.ndarray) -> LampPlan:
    """Lamps above and before the objects; `sun` bool (B,): a single one."""
    n = LIGHTS
    clipped, sparkling = kinds.clipped[:, None], kinds.sparkling[:, None]
    count = np.where(sun, 1, 1 + draws.choice("lights", weights=(0.22, 0.3, 0.28, 0.2)))
    azimuth = draws.uniform("light.azimuth", n, low=-0.35 * np.pi, high=1.35 * np.pi)
    # Upright walls, seen from above, reflect windows that reach down to the floor.
    low = clipped & draws.chance("light.low", n, share=0.3)
    azimuth = np.where(
        low, draws.uniform("light.low.azimuth", n, low=-0.7 * np.pi, high=-0.3 * np.pi), azimuth
    )
    rise = draws.uniform("light.rise", n, low=0.1, high=1.2)
    towards = np.stack([np.cos(azimuth) * np.cos(rise), np.sin(azimuth) * np.cos(rise), np.sin(rise)], -1)
    warmth = draws.normal("light.warmth", n) * 0.12 + draws.normal("light.cast")[:, None] * 0.05
    across, along = _panel_axes(draws, towards)
    width = draws.log_uniform("panel.width", n, low=0.04, high=0.7)
    height = np.maximum(width, draws.log_uniform("panel.height", n, low=0.05, high=1.5))
    extent = np.stack([width, height], -1)
    size = draws.log_uniform("light.size", n, low=0.01, high=0.35)
    size = np.where(clipped, np.maximum(size, 0.1), np.where(sparkling, np.minimum(size, 0.06), size))
    return LampPlan(
        active=np.arange(n)[None] < count[:, None],
        panel=draws.chance("light.panel", n, share=0.4) & ~sparkling,
        place=towards * draws.log_uniform("light.distance", n, low=1.3, high=12.0)[..., None],
        tint=np.stack([1 + warmth, np.ones_like(warmth), 1 - warmth], -1).clip(0.6, 1.4),
        power=draws.log_uniform("light.power", n, low=0.3, high=1.0)[..., None],
        size=size[..., None],
        across=across,
        along=along,
        extent=np.where(clipped[..., None], np.maximum(extent, 0.15), extent),
        bars=draws.integers("panel.bars", n, high=4)[..., None],
        framed=draws.chance("panel.framed", n, share=0.5)[..., None],
    )


class Lights:
    """The light of a batch of scenes."""

    def __init__(self, plan: LightPlan, device: torch.device) -> None:
        self._plan = plan
        self._lamps = plan.lamps.tensors(device)

        def plane(values: np.ndarray) -> Tensor:
            return column(values, device).view(-1, 1, 1)

        self._ambient, self._wrap = plane(plan.ambient), plane(plan.wrap)
        self._perspective, self._ggx = plane(plan.perspective), plane(plan.ggx)
        self._turn, self._surroundings = plane(plan.turn), plane(plan.surroundings)
        self._dimmest = plane(plan.dimmest)

    def _of(self, values: Tensor, number: int, rows: Tensor | None) -> tuple[Tensor, ...]:
        """A lamp's parameter by component, each (b, 1, 1)."""
        return take(values[:, number], rows)[..., None, None].unbind(1)

    def _direction(
        self, geo: Geometry, number: int, rows: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Unit direction to a lamp, and its fall-off relative to the picture's centre."""
        px, py, pz = self._of(self._lamps.place, number, rows)
        dx, dy, dz = px - geo.x, py - geo.y, pz - geo.height
        squared = (dx * dx + dy * dy + dz * dz).clamp_min_(0.2)
        inverse = torch.rsqrt(squared)
        return (
            dx * inverse,
            dy * inverse,
            dz * inverse,
            ((px * px + py * py + pz * pz) / squared).clamp_max_(3.0),
        )

    def towards_viewer(self, geo: Geometry) -> Vector:
        """Unit vectors from the surface to the camera: mild perspective."""
        lens = self._perspective
        return shapes.unit(-geo.x * lens, -geo.y * lens, torch.ones_like(geo.x))

    def shading(self, geo: Geometry, surface: Surface) -> Tensor:
        """Diffuse shading (B, 3, H, W), linear, of arbitrary scale."""
        _, ny, nz = surface.normal
        base = self._ambient * (0.7 + 0.2 * ny + 0.1 * nz)
        planes = torch.stack([base, base, base], 1)
        for number in range(LIGHTS):
            if not self._plan.lamps.active[:, number].any():
                continue
            rows = rows_of(self._plan.lamps.active[:, number], geo.x.device)
            part = _rows(geo, rows)
            nx, ny, nz = (take(n, rows) for n in surface.normal)
            lx, ly, lz, fall = self._direction(part, number, rows)
            wrap = take(self._wrap, rows)
            facing = ((nx * lx + ny * ly + nz * lz + wrap) * (1 / (1 + wrap))).clamp_min_(0)
            lit = facing * fall * self._of(self._lamps.power, number, rows)[0]
            tint = torch.stack(self._of(self._lamps.tint, number, rows), 1)
            add(planes, rows, lit.unsqueeze(1) * tint)
        return planes * geo.shade.unsqueeze(1)

    def specular(self, geo: Geometry, surface: Surface, banks: Banks) -> Tensor:
        """Specular reflection (B, H, W), linear grey, of arbitrary scale."""
        device = geo.x.device
        nx, ny, nz = surface.normal
        view = self.towards_viewer(geo)
        vx, vy, vz = view
        cosine = (nx * vx + ny * vy + nz * vz).clamp(0, 1)
        grazing = (1 - cosine).square()
        fresnel = 1 + surface.edge * grazing * grazing
        mirror = (2 * cosine * nx - vx, 2 * cosine * ny - vy, 2 * cosine * nz - vz)
        total = torch.zeros_like(geo.x)
        for number in range(LIGHTS):
            for is_panel, reflect in ((False, self._lamp), (True, self._panel)):
                chosen = self._plan.lamps.active[:, number] & (self._plan.lamps.panel[:, number] == is_panel)
                if chosen.any():
                    rows = rows_of(chosen, device)
                    add(total, rows, reflect(number, rows, geo, surface, mirror if is_panel else view))
        reflecting = self._plan.reflecting
        if reflecting.any():
            rows = rows_of(reflecting, device)
            which = torch.from_numpy(self._plan.environment[reflecting]).to(device)
            direction = tuple(take(m, rows) for m in mirror)
            turn, power = take(self._turn, rows), take(self._surroundings, rows)
            radiance = environment.look_up(
                banks.environments, which, direction, turn, take(surface.alpha, rows)
            )
            # Only what outshines the room shows as a highlight; the even veil of its walls is diffuse.
            bright = (radiance - take(self._dimmest, rows)).clamp_(0, 12.0)
            add(total, rows, bright * take(surface.mirror, rows) * power)
        return total * fresnel * (0.4 + 0.6 * geo.shade)

    def _lamp(
        self, number: int, rows: Tensor | None, geo: Geometry, surface: Surface, view: Vector
    ) -> Tensor:
        """Round lamp: (anisotropic) GGX or Gaussian lobe of the half vector, widened by the lamp's size."""
        nx, ny, nz = (take(n, rows) for n in surface.normal)
        gx, gy = (take(g, rows) for g in surface.grain)
        lx, ly, lz, fall = self._direction(_rows(geo, rows), number, rows)
        hx, hy, hz = shapes.unit(*(a + take(b, rows) for a, b in zip((lx, ly, lz), view, strict=True)))
        on_n = (nx * hx + ny * hy + nz * hz).clamp_min(0.05)
        # The half vector's part in the tangent plane, along and across the grain.
        ex, ey = hx - on_n * nx, hy - on_n * ny
        along = ex * gx + ey * gy
        along = along * along
        across = (1 - on_n * on_n - along).clamp_min_(0)
        alpha, stretch = take(surface.alpha, rows), take(surface.stretch, rows)
        size = 0.25 * self._of(self._lamps.size, number, rows)[0].square()
        alpha = alpha * alpha
        stretch = stretch * stretch
        wide = alpha * stretch + size
        q = (along / (alpha / stretch + size) + across / wide) / (on_n * on_n)
        heavy = 1 / (1 + q).square()
        lobe = torch.lerp(torch.exp(-q.clamp_max(40)), heavy, take(self._ggx, rows))
        coat = 1 / (1 + q * (wide / (0.0016 + size)).clamp_min_(1.0)).square()
        strength = lobe * take(surface.gloss, rows) + coat * take(surface.coat, rows)
        facing = (nx * lx + ny * ly + nz * lz).clamp_(0, 0.2)
        return strength * facing * fall * (5 * self._of(self._lamps.power, number, rows)[0])

    def _panel(
        self, number: int, rows: Tensor | None, geo: Geometry, surface: Surface, mirror: Vector
    ) -> Tensor:
        """Window, strip or soft box: its outline in the mirror direction, softened by roughness."""
        rx, ry, rz = (take(m, rows) for m in mirror)
        lx, ly, lz, fall = self._direction(_rows(geo, rows), number, rows)
        ahead = rx * lx + ry * ly + rz * lz
        inverse = 1 / ahead.clamp_min(0.08)
        ax, ay, az = self._of(self._lamps.across, number, rows)
        bx, by, bz = self._of(self._lamps.along, number, rows)
        p, q = (rx * ax + ry * ay + rz * az) * inverse, (rx * bx + ry * by + rz * bz) * inverse
        soft = 0.02 + 1.6 * take(surface.alpha, rows)
        sharpness = 1 / soft
        width, height = self._of(self._lamps.extent, number, rows)

        def extent(place: Tensor, half: Tensor) -> Tensor:
            ramp = ((half - place.abs()) * sharpness + 0.5).clamp_(0, 1)
            return ramp * ramp * (3 - 2 * ramp) * (half / (half + 0.35 * soft))

        bars = self._of(self._lamps.bars, number, rows)[0] + 1
        bar = (torch.frac((p / width * 0.5 + 0.5) * bars) - 0.5).abs() > 0.46
        cross = (q / height).abs() < 0.03
        framed = (1 - 4 * soft).clamp_min_(0) * self._of(self._lamps.framed, number, rows)[0]
        shape = extent(p, width) * extent(q, height) * (1 - framed * (bar | cross))
        strength = take(surface.gloss, rows) + take(surface.coat, rows)
        return shape * strength * fall * self._of(self._lamps.power, number, rows)[0] * (ahead > 0)


def _panel_axes(draws: Draws, towards: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors across and along each panel, at right angles to its direction."""
    turn = draws.uniform("light.turn", LIGHTS, low=-0.5, high=0.5)
    turn = (turn + (np.pi / 2) * draws.chance("light.side", LIGHTS, share=0.5))[..., None]
    side = np.cross(towards, np.broadcast_to([0.0, 0.3, 1.0], towards.shape))
    side /= np.linalg.norm(side, axis=-1, keepdims=True) + 1e-6
    up = np.cross(side, towards)
    return np.cos(turn) * side + np.sin(turn) * up, np.cos(turn) * up - np.sin(turn) * side


def _environments(draws: Draws, banks: Banks) -> np.ndarray:
    ours, total = banks.procedural_environments, len(banks.environments)
    own = draws.integers("env.own", high=ours)
    if total == ours:
        return own
    users = ours + draws.integers("env.users", high=total - ours)
    return np.where(draws.chance("env.source", share=0.75), users, own)


def _rows(geo: Geometry, rows: Tensor | None) -> Geometry:
    if rows is None:
        return geo
    return replace(geo, x=take(geo.x, rows), y=take(geo.y, rows), height=take(geo.height, rows))
