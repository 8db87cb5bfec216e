"""SyntheticScenes, a map-style data set of rendered scenes, and render_batch, its engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from data.synthetic import compose, geometry, shapes
from data.synthetic import materials as surfaces
from data.synthetic.banks import Banks, load_banks
from data.synthetic.draws import Draws
from data.synthetic.lights import Lights
from data.synthetic.options import Composition, Folders, SceneOptions

KEYS = ("input", "diffuse", "specular", "mask", "albedo", "shading", "tone_corrected", "object_mask")


@torch.no_grad()
def render_batch(
    indices: Sequence[int],
    *,
    size: int = 224,
    seed: int = 0,
    textures: Folders = None,
    photos: Folders = None,
    materials: Folders = None,
    envmaps: Folders = None,
    composition: Composition | None = None,
    options: SceneOptions | None = None,
    device: str | torch.device = "cpu",
    banks: Banks | None = None,
) -> dict[str, Tensor | list[str]]:
    """Renders scenes `indices` of data set `seed` as a batch on `device`.

    Returns float32 tensors in [0, 1], on 8-bit steps: input, diffuse, specular, albedo, shading, tone_corrected
    (B, 3, size, size), mask and object_mask (B, 1, size, size), and name, a list of B strings. A scene depends on
    (seed, index, size, options, folders) alone, not on its batch. `composition` overrides the options' own.
    `banks` (see `load_banks`) spares the look-up of the folders.
    """
    options = with_composition(options, composition)
    device = torch.device(device)
    if banks is None:
        banks = load_banks(textures, photos, materials, envmaps, device)
    # Single scenes on the CPU: their planes stay in the cache, and the same loops run over the same shapes whatever
    # the batch, so that results agree to the last bit (vectorised and scalar loops of torch differ in it).
    groups = [[index] for index in indices] if device.type == "cpu" else [list(indices)]
    parts = [_render(group, size, seed, options, device, banks) for group in groups]
    sample: dict[str, Tensor | list[str]] = {key: torch.cat([part[key] for part in parts]) for key in KEYS}
    sample["name"] = [f"synthetic_{seed}_{int(index):07d}" for index in indices]
    return sample


def _render(
    indices: Sequence[int],
    size: int,
    seed: int,
    options: SceneOptions,
    device: torch.device,
    banks: Banks,
) -> dict[str, Tensor]:
    draws = Draws(seed, indices)
    kinds = geometry.scene_kinds(draws, options, banks.photos is not None)
    geo = geometry.build(draws, kinds, size, device)
    surface = surfaces.build(draws, kinds, geo, banks, options)
    photo = _photographs(draws, kinds, banks, size, device)
    from_photo = torch.from_numpy(kinds == geometry.PHOTO).to(device).view(-1, 1, 1) & (geo.slot < 2)
    if photo is not None:
        # Print and edges of a photographed surface stand out of it a little, as those of a rendered one.
        surface.normal = _relief_of(photo, from_photo, surface.normal, draws)
    lights = Lights(draws, kinds, device)
    shading = lights.shading(geo, surface)
    shading = torch.lerp(shading, shading.new_tensor(3.0), surface.glow.unsqueeze(1))
    specular = lights.specular(geo, surface, banks, draws, options)
    if photo is not None:
        specular = specular * _same_colour(photo, from_photo, draws)
    albedo = surface.albedo
    dark = torch.from_numpy(kinds == geometry.STUDIO).to(device).view(-1, 1, 1) & (geo.slot < 2)
    level = (
        torch.from_numpy(draws.log_uniform("studio.level", low=0.002, high=0.12)).to(device).view(-1, 1, 1, 1)
    )
    albedo = torch.where(dark.unsqueeze(1), albedo * level, albedo)
    specular = specular * (1 - 0.97 * dark.float())
    layers = compose.Layers(albedo, shading, specular, photo, from_photo)
    sample = compose.compose(draws, kinds, layers, options)
    sample["object_mask"] = (geo.slot >= 2).float().unsqueeze(1)
    return sample


def with_composition(options: SceneOptions | None, composition: Composition | None) -> SceneOptions:
    """The options (default ones where None), with another composition where one is given."""
    options = options or SceneOptions()
    if composition is None:
        return options
    values = {name: getattr(options, name) for name in options.__dataclass_fields__}
    return SceneOptions(**(values | {"composition": composition}))


def _photographs(
    draws: Draws, kinds: np.ndarray, banks: Banks, size: int, device: torch.device
) -> Tensor | None:
    """Crops of photographs (B, 3, size, size), zeros for the scenes of other kinds; None without any."""
    chosen = np.flatnonzero(kinds == geometry.PHOTO)
    if not len(chosen):
        return None
    rows = torch.from_numpy(chosen).to(device)
    which = draws.integers("photo", high=len(banks.photos))[chosen]
    pictures = banks.photos.index_select(0, torch.from_numpy(which).to(device)).float() / 255
    zoom = draws.uniform("photo.zoom", low=0.45, high=1.0)[chosen]
    flip = np.where(draws.chance("photo.flip", share=0.5), -1.0, 1.0)[chosen]
    shift = draws.uniform("photo.shift", 2, low=-1, high=1)[chosen] * (1 - zoom)[:, None]
    theta = np.zeros((len(chosen), 2, 3), np.float32)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = zoom * flip, zoom, shift
    grid = F.affine_grid(
        torch.from_numpy(theta).to(device), [len(chosen), 3, size, size], align_corners=False
    )
    crops = F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    gain = draws.uniform("photo.gain", low=0.45, high=1.05)[chosen].astype(np.float32)
    crops = (crops * torch.from_numpy(gain).to(device).view(-1, 1, 1, 1)).clamp(0, 1)
    return torch.zeros(len(kinds), 3, size, size, device=device).index_copy(0, rows, crops)


def _relief_of(
    photo: Tensor, where: Tensor, normal: tuple[Tensor, Tensor, Tensor], draws: Draws
) -> tuple[Tensor, Tensor, Tensor]:
    strength = draws.log_uniform("photo.bump", low=0.05, high=4.0)
    gain = torch.from_numpy(strength.astype(np.float32)).to(photo.device).view(-1, 1, 1) * where
    brightness = photo.mean(1)
    slope_x, slope_y = surfaces.difference(brightness, 2), -surfaces.difference(brightness, 1)
    nx, ny, nz = normal
    return shapes.unit(nx - gain * slope_x, ny - gain * slope_y, nz)


def _same_colour(photo: Tensor, where: Tensor, draws: Draws) -> Tensor:
    """Gain (B, H, W) that keeps a highlight on the pixels whose colour is that of a drawn one: on its object."""
    batch, _, height, width = photo.shape
    at = draws.uniform("photo.seed", 2)
    index = (at[:, 0] * height).astype(np.int64) * width + (at[:, 1] * width).astype(np.int64)
    place = torch.from_numpy(index).to(photo.device).view(batch, 1, 1).expand(-1, 3, 1)
    colour = photo.flatten(2).gather(2, place).unsqueeze(-1)
    distance = (photo - colour).square().sum(1).sqrt()
    reach = torch.from_numpy(draws.uniform("photo.reach", low=0.08, high=0.5)).to(photo.device).view(-1, 1, 1)
    confined = torch.from_numpy(draws.chance("photo.confined", share=0.65)).to(photo.device).view(-1, 1, 1)
    gain = ((reach - distance) * 12 + 0.5).clamp(0.0, 1.0)
    return torch.where(where & confined, gain, torch.ones_like(gain))


class SyntheticScenes(Dataset):
    """`length` scenes of side `size`; sample i depends on (seed, i, size, options, folders) and nothing else.

    Samples are dicts of float32 CHW tensors in [0, 1] (see `render_batch`) and "name". `textures`, `photos`,
    `materials`, `envmaps` take a folder or several. A DataLoader fetches whole batches through `__getitems__`,
    which renders them together; on a GPU call `render_batch` instead of using workers.
    """

    def __init__(
        self,
        length: int,
        size: int = 224,
        seed: int = 0,
        textures: Folders = None,
        photos: Folders = None,
        device: str | torch.device = "cpu",
        composition: Composition | None = None,
        *,
        materials: Folders = None,
        envmaps: Folders = None,
        options: SceneOptions | None = None,
    ) -> None:
        if length < 0 or size < 8:
            raise ValueError(f"length must be at least 0 and size at least 8, got {length} and {size}")
        self.length, self.size, self.seed = length, size, seed
        self.device = torch.device(device)
        self.options = with_composition(options, composition)
        self.banks = load_banks(textures, photos, materials, envmaps, self.device)

    def __len__(self) -> int:
        return self.length

    def render(self, indices: Sequence[int]) -> dict[str, Tensor | list[str]]:
        """The scenes as one batch, on the data set's device."""
        return render_batch(
            indices,
            size=self.size,
            seed=self.seed,
            options=self.options,
            device=self.device,
            banks=self.banks,
        )

    def __getitem__(self, index: int) -> dict[str, Tensor | str]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Tensor | str]]:
        wanted = []
        for index in indices:
            if not -self.length <= index < self.length:
                raise IndexError(f"scene {index} of {self.length}")
            wanted.append(index % self.length)
        batch = self.render(wanted)
        return [{key: values[row] for key, values in batch.items()} for row in range(len(wanted))]
