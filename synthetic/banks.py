"""What scenes choose from: procedural tiles and rooms, and those of a user's own folders.

Folders are decoded once, at a reduced size, into files of the user's cache folder (see `folders.cached`).
"""

import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from synthetic import environment, procedural, tiles
from synthetic.folders import (
    AssetFiles,
    cached,
    find_assets,
    read_environment,
    read_photo,
    read_relief,
    read_tile,
)
from synthetic.scene_options import AssetFolders

RELIEF_STEP = 1 / 31
"""Slopes and roughness offsets of [-4, 4] in steps of a byte."""


@dataclass(frozen=True)
class Banks:
    """Everything the renderer looks up, on one device."""

    albedo: Tensor
    """Packed tiles (see `tiles`), display values; the first `procedural_albedos` are ours."""
    albedo_count: int
    albedo_mean: np.ndarray
    """float32 (N, 3), of the display values in [0, 1]."""
    albedo_relief: np.ndarray
    """int64 (N,): the relief that belongs to an albedo tile, 0 where none does."""
    procedural_albedos: int
    relief: Tensor
    """Packed tiles, (value / RELIEF_STEP + 128): slope along x, along y, roughness offset; tile 0 is flat."""
    relief_count: int
    procedural_reliefs: int
    photos: Tensor | None
    """uint8 (P, 3, 288, 288)."""
    environments: Tensor
    """float16 (E, 1, levels * height, width): grey radiance, see `environment`."""
    procedural_environments: int


def load_banks(folders: AssetFolders | None = None, device: str | torch.device = "cpu") -> Banks:
    """Banks of the given folders on `device`; decoded and built once, then kept.

    Raises UserError where a folder is missing, holds nothing of its kind, or a file cannot be read.
    """
    assets = find_assets(folders or AssetFolders())
    device = torch.device(device)
    return _host_banks(assets) if device.type == "cpu" else _device_banks(assets, device)


@lru_cache(maxsize=2)
def _device_banks(assets: AssetFiles, device: torch.device) -> Banks:
    host = vars(_host_banks(assets))
    return Banks(**{k: v.to(device) if isinstance(v, Tensor) else v for k, v in host.items()})


@lru_cache(maxsize=2)
def _host_banks(assets: AssetFiles) -> Banks:
    def albedo_bank() -> np.ndarray:
        ours = [procedural.albedo_tiles()]
        return tiles.pack(np.concatenate(ours + [read_tile(path)[None] for path in assets.albedos]))

    def relief_bank() -> np.ndarray:
        users = [read_relief(*pair)[None] for pair in assets.reliefs]
        stack = np.concatenate([procedural.relief_tiles(), *users])
        return tiles.pack((stack / RELIEF_STEP + 128.5).clip(0, 255).astype(np.uint8))

    def environment_bank() -> np.ndarray:
        ours = [environment.stack(radiance) for radiance in environment.procedural_maps()]
        return np.stack(ours + [read_environment(path) for path in assets.envmaps])

    def photo_bank() -> np.ndarray:
        return np.stack([read_photo(path) for path in assets.photos])

    relief_files = [path for pair in assets.reliefs for path in pair if path is not None]
    albedo = cached("albedo", assets.albedos, albedo_bank)
    relief = cached("relief", relief_files, relief_bank)
    environments = cached("rooms", assets.envmaps, environment_bank)
    count, relief_count = len(albedo) // procedural.SIDE**2, len(relief) // procedural.SIDE**2
    own_albedos, own_reliefs = count - len(assets.albedos), relief_count - len(assets.reliefs)
    links = np.zeros(count, np.int64)
    for material, number in enumerate(assets.relief_of):
        links[own_albedos + material] = 0 if number is None else own_reliefs + number
    return Banks(
        albedo=_tensor(albedo),
        albedo_count=count,
        albedo_mean=cached("means", assets.albedos, lambda: tiles.means(albedo)),
        albedo_relief=links,
        procedural_albedos=own_albedos,
        relief=_tensor(relief),
        relief_count=relief_count,
        procedural_reliefs=own_reliefs,
        photos=_tensor(cached("photos", assets.photos, photo_bank)) if assets.photos else None,
        environments=_tensor(environments),
        procedural_environments=len(environments) - len(assets.envmaps),
    )


def _tensor(mapped: np.ndarray) -> Tensor:
    """A tensor over a read-only memory map. Nothing here writes to it, which torch warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.from_numpy(mapped)
