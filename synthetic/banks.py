"""What scenes choose from: procedural tiles and rooms, and those of a user's own folders.

Folders are decoded once, at a reduced size, into files of the user's cache folder (see `folders.cached`).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from synthetic import environment, folders, procedural, tiles
from synthetic.options import Folders

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


def load_banks(
    textures: Folders = None,
    photos: Folders = None,
    materials: Folders = None,
    envmaps: Folders = None,
    device: str | torch.device = "cpu",
) -> Banks:
    """Banks of the given folders on `device`; decoded and built once, then kept."""
    key = tuple(folders.as_folders(given) for given in (textures, photos, materials, envmaps))
    device = torch.device(device)
    host = _host_banks(*key)
    return host if device.type == "cpu" else _device_banks(key, device)


@lru_cache(maxsize=2)
def _device_banks(key: tuple[tuple[Path, ...], ...], device: torch.device) -> Banks:
    host = _host_banks(*key)
    moved = {
        name: value.to(device) if isinstance(value, Tensor) else value for name, value in vars(host).items()
    }
    return Banks(**moved)


@lru_cache(maxsize=2)
def _host_banks(textures: tuple, photos: tuple, materials: tuple, envmaps: tuple) -> Banks:
    sets = folders.material_sets(materials) if materials else []
    reliefs = [(normal, rough) for _, normal, rough in sets if normal is not None]
    albedo_files = [albedo for albedo, _, _ in sets] + (folders.pictures(textures) if textures else [])
    relief_files = [path for pair in reliefs for path in pair if path is not None]
    room_files = folders.files(envmaps, folders.ENVIRONMENTS, "environment maps") if envmaps else []
    photo_files = folders.pictures(photos) if photos else []

    def albedo_bank() -> np.ndarray:
        ours = [procedural.albedo_tiles()]
        return tiles.pack(np.concatenate(ours + [folders.read_tile(path)[None] for path in albedo_files]))

    def relief_bank() -> np.ndarray:
        users = [folders.read_relief(*pair)[None] for pair in reliefs]
        stack = np.concatenate([procedural.relief_tiles(), *users])
        return tiles.pack((stack / RELIEF_STEP + 128.5).clip(0, 255).astype(np.uint8))

    def rooms() -> np.ndarray:
        ours = [environment.stack(radiance) for radiance in environment.procedural_maps()]
        return np.stack(ours + [folders.read_environment(path) for path in room_files])

    albedo = folders.cached("albedo", albedo_files, albedo_bank)
    relief = folders.cached("relief", relief_files, relief_bank)
    count, relief_count = len(albedo) // procedural.SIDE**2, len(relief) // procedural.SIDE**2
    own_reliefs = relief_count - len(reliefs)
    own_albedos = count - len(albedo_files)
    numbers = iter(range(own_reliefs, relief_count))
    links = [0] * own_albedos + [0 if normal is None else next(numbers) for _, normal, _ in sets]
    environments = folders.cached("rooms", room_files, rooms)
    pictures = None
    if photo_files:
        pictures = folders.cached(
            "photos", photo_files, lambda: np.stack([folders.read_photo(path) for path in photo_files])
        )
    return Banks(
        albedo=_tensor(albedo),
        albedo_count=count,
        albedo_mean=folders.cached("means", albedo_files, lambda: tiles.means(albedo)),
        albedo_relief=np.array(links + [0] * (count - len(links)), np.int64),
        procedural_albedos=own_albedos,
        relief=_tensor(relief),
        relief_count=relief_count,
        procedural_reliefs=own_reliefs,
        photos=None if pictures is None else _tensor(pictures),
        environments=_tensor(environments),
        procedural_environments=len(environments) - len(room_files),
    )


def _tensor(mapped: np.ndarray) -> Tensor:
    """A tensor over a read-only memory map. Nothing here writes to it: torch's warning is idle."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.from_numpy(mapped)
