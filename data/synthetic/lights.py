"""Lamps, windows and strips: diffuse shading and specular reflection of the visible surfaces."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from data.synthetic import environment, geometry
from data.synthetic.banks import Banks
from data.synthetic.draws import Draws
from data.synthetic.geometry import Geometry
from data.synthetic.materials import Surface
from data.synthetic.options import SceneOptions

LIGHTS = 4


class Lights:
    """The lamps of a batch of scenes."""

    def __init__(self, draws: Draws, kinds: np.ndarray, device: torch.device) -> None:
        n = LIGHTS
        batch = len(kinds)
        count = 1 + draws.choice("lights", weights=(0.35, 0.3, 0.2, 0.15))
        active = np.arange(n)[None] < count[:, None]
        azimuth = draws.uniform("light.azimuth", n, low=-0.35 * np.pi, high=1.35 * np.pi)
        rise = draws.uniform("light.rise", n, low=0.25, high=1.45)
        towards = np.stack([np.cos(azimuth) * np.cos(rise), np.sin(azimuth) * np.cos(rise), np.sin(rise)], -1)
        distance = draws.log_uniform("light.distance", n, low=1.3, high=12.0)
        warmth = draws.normal("light.warmth", n) * 0.12 + draws.normal("light.cast")[:, None] * 0.05
        tint = np.stack([1 + warmth, np.ones_like(warmth), 1 - warmth], -1).clip(0.6, 1.4)
        power = draws.log_uniform("light.power", n, low=0.3, high=1.0) * active
        turn = draws.uniform("light.turn", n, low=-0.5, high=0.5) + (np.pi / 2) * draws.chance(
            "light.side", n, share=0.5
        )
        side = np.cross(towards, np.broadcast_to([0.0, 0.3, 1.0], towards.shape))
        side /= np.linalg.norm(side, axis=-1, keepdims=True) + 1e-6
        up = np.cross(side, towards)
        across = np.cos(turn)[..., None] * side + np.sin(turn)[..., None] * up
        along = -np.sin(turn)[..., None] * side + np.cos(turn)[..., None] * up
        self.is_panel = draws.chance("light.panel", n, share=0.4)
        self.active = active
        width = draws.log_uniform("panel.width", n, low=0.04, high=0.7)
        columns = np.concatenate(
            [
                towards * distance[..., None],
                tint,
                power[..., None],
                draws.log_uniform("light.size", n, low=0.01, high=0.35)[..., None],
                across,
                along,
                np.stack(
                    [
                        width,
                        np.maximum(width, draws.log_uniform("panel.height", n, low=0.05, high=1.5)),
                        draws.integers("panel.bars", n, high=4),
                        draws.chance("panel.framed", n, share=0.5),
                    ],
                    -1,
                ),
            ],
            -1,
        )
        self._table = torch.from_numpy(columns.astype(np.float32)).to(device)[..., None, None]
        ambient = draws.uniform("ambient", low=0.12, high=0.7)
        ambient = np.where(kinds == geometry.STUDIO, ambient * 0.35, ambient)
        scene = np.stack(
            [
                ambient,
                draws.uniform("wrap", low=0.0, high=0.4),
                draws.uniform("perspective", low=0.05, high=0.5),
                draws.chance("lobe", share=0.6),
                draws.uniform("env.turn"),
                draws.chance("env", share=1.0) * draws.log_uniform("env.power", low=0.1, high=0.6),
            ],
            -1,
        )
        self._scene = torch.from_numpy(scene.astype(np.float32)).to(device)[..., None, None]
        self._batch = batch

    def towards_viewer(self, geo: Geometry) -> tuple[Tensor, Tensor, Tensor]:
        """Unit vectors from the surface to the camera: mild perspective."""
        lens = self._scene[:, 2]
        return geometry.shapes.unit(-geo.x * lens, -geo.y * lens, torch.ones_like(geo.x))

    def shading(self, geo: Geometry, surface: Surface) -> Tensor:
        """Diffuse shading (B, 3, H, W), linear, of arbitrary scale."""
        nx, ny, nz = surface.normal
        ambient, wrap = self._scene[:, 0], self._scene[:, 1]
        base = ambient * (0.7 + 0.2 * ny + 0.1 * nz)
        planes = [base, base, base]
        for number in range(LIGHTS):
            light = self._table[:, number]
            lx, ly, lz, fall = self._direction(geo, light)
            facing = ((nx * lx + ny * ly + nz * lz + wrap) / (1 + wrap)).clamp_min(0)
            lit = facing * fall * light[:, 6]
            planes = [plane + lit * light[:, 3 + k] for k, plane in enumerate(planes)]
        return torch.stack(planes, 1) * geo.shade.unsqueeze(1)

    def _direction(self, geo: Geometry, light: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Unit direction to a lamp and its fall-off."""
        dx, dy, dz = light[:, 0] - geo.x, light[:, 1] - geo.y, light[:, 2] - geo.height.clamp(-1, 1)
        squared = dx * dx + dy * dy + dz * dz
        inverse = torch.rsqrt(squared + 1e-6)
        reach = light[:, 0] ** 2 + light[:, 1] ** 2 + light[:, 2] ** 2
        return dx * inverse, dy * inverse, dz * inverse, (reach / squared.clamp_min(0.2)).clamp_max(3.0)

    def specular(
        self, geo: Geometry, surface: Surface, banks: Banks, draws: Draws, options: SceneOptions
    ) -> Tensor:
        """Specular reflection (B, H, W), linear grey, of arbitrary scale."""
        nx, ny, nz = surface.normal
        view = self.towards_viewer(geo)
        vx, vy, vz = view
        cosine = (nx * vx + ny * vy + nz * vz).clamp(0, 1)
        fresnel = 1 + surface.edge * (1 - cosine) ** 5
        mirror = (2 * cosine * nx - vx, 2 * cosine * ny - vy, 2 * cosine * nz - vz)
        total = torch.zeros_like(geo.x)
        for number in range(LIGHTS):
            for panel in (False, True):
                chosen = np.flatnonzero(self.active[:, number] & (self.is_panel[:, number] == panel))
                if not len(chosen):
                    continue
                rows = torch.from_numpy(chosen).to(geo.x.device)
                light = self._table[:, number].index_select(0, rows)
                part = self._panel if panel else self._lamp
                total.index_add_(0, rows, part(rows, light, geo, surface, view, mirror))
        total = total * fresnel
        lit = np.flatnonzero(draws.chance("env.use", share=options.environment_share))
        if len(lit):
            rows = torch.from_numpy(lit).to(geo.x.device)
            which = self._environments(draws, banks)[lit]
            reflected = environment.look_up(
                banks.environments,
                torch.from_numpy(which).to(geo.x.device),
                tuple(m.index_select(0, rows) for m in mirror),
                self._scene[:, 4].index_select(0, rows),
                surface.alpha.index_select(0, rows),
            )
            gain = (surface.mirror * fresnel).index_select(0, rows) * self._scene[:, 5].index_select(0, rows)
            total.index_add_(0, rows, reflected.clamp_max(12.0) * gain)
        return total * (0.4 + 0.6 * geo.shade)

    def _environments(self, draws: Draws, banks: Banks) -> np.ndarray:
        ours, total = banks.procedural_environments, len(banks.environments)
        own = draws.integers("env.own", high=ours)
        if total == ours:
            return own
        users = ours + draws.integers("env.users", high=total - ours)
        return np.where(draws.chance("env.source", share=0.75), users, own)

    def _lamp(
        self, rows: Tensor, light: Tensor, geo: Geometry, surface: Surface, view: tuple, _: tuple
    ) -> Tensor:
        """Round lamp: (anisotropic) GGX or Gaussian lobe of the half vector, widened by the lamp's size."""
        part = _rows(geo, rows)
        nx, ny, nz = (n.index_select(0, rows) for n in surface.normal)
        vx, vy, vz = (v.index_select(0, rows) for v in view)
        gx, gy = (g.index_select(0, rows) for g in surface.grain)
        lx, ly, lz, fall = self._direction(part, light)
        hx, hy, hz = geometry.shapes.unit(lx + vx, ly + vy, lz + vz)
        along_n = (nx * hx + ny * hy + nz * hz).clamp_min(0.05)
        # Components of h in the tangent plane along and across the grain.
        ex, ey, ez = hx - along_n * nx, hy - along_n * ny, hz - along_n * nz
        along_g = ex * gx + ey * gy
        rest = (ex * ex + ey * ey + ez * ez - along_g * along_g).clamp_min(0)
        alpha = surface.alpha.index_select(0, rows)
        stretch = surface.stretch.index_select(0, rows)
        size = light[:, 7] * 0.5
        wide = (alpha * stretch) ** 2 + size * size
        narrow = (alpha / stretch) ** 2 + size * size
        q = (along_g * along_g / narrow + rest / wide) / (along_n * along_n)
        ggx = self._scene[:, 3].index_select(0, rows)
        lobe = torch.lerp(torch.exp(-q.clamp_max(40)), 1 / (1 + q) ** 2, ggx)
        coat = 1 / (1 + q * (wide / (0.0016 + size * size)).clamp_min(1.0)) ** 2
        strength = lobe * surface.gloss.index_select(0, rows) + coat * surface.coat.index_select(0, rows)
        facing = (nx * lx + ny * ly + nz * lz).clamp(0, 0.2) * 5
        return strength * facing * fall * light[:, 6]

    def _panel(
        self, rows: Tensor, light: Tensor, geo: Geometry, surface: Surface, _: tuple, mirror: tuple
    ) -> Tensor:
        """Window, strip or soft box: its outline in the mirror direction, softened by roughness."""
        part = _rows(geo, rows)
        rx, ry, rz = (m.index_select(0, rows) for m in mirror)
        lx, ly, lz, fall = self._direction(part, light)
        ahead = rx * lx + ry * ly + rz * lz
        p = (rx * light[:, 8] + ry * light[:, 9] + rz * light[:, 10]) / ahead.clamp_min(0.08)
        q = (rx * light[:, 11] + ry * light[:, 12] + rz * light[:, 13]) / ahead.clamp_min(0.08)
        alpha = surface.alpha.index_select(0, rows)
        soft = 0.02 + 1.6 * alpha
        width, height, bars, framed = light[:, 14], light[:, 15], light[:, 16], light[:, 17]

        def extent(place: Tensor, half: Tensor) -> Tensor:
            ramp = ((half - place.abs()) / soft + 0.5).clamp(0, 1)
            return ramp * ramp * (3 - 2 * ramp) * (half / (half + 0.35 * soft))

        bar = (torch.frac((p / width * 0.5 + 0.5) * (bars + 1)) - 0.5).abs() > 0.46
        cross = (q / height).abs() < 0.03
        sharp = (1 - soft * 4).clamp(0, 1) * framed
        shape = extent(p, width) * extent(q, height) * (1 - sharp * (bar | cross).float())
        strength = surface.gloss.index_select(0, rows) + surface.coat.index_select(0, rows)
        return shape * strength * fall * light[:, 6] * (ahead > 0)


def _rows(geo: Geometry, rows: Tensor) -> Geometry:
    pick = lambda values: values.index_select(0, rows)  # noqa: E731
    return Geometry(
        normal=geo.normal, texture=geo.texture, slot=geo.slot, shade=geo.shade,
        x=pick(geo.x), y=pick(geo.y), height=pick(geo.height),
    )  # fmt: skip
