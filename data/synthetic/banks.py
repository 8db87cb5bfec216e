"""Tiles and pictures that scenes choose from: procedural ones, and those of a user's own folders.

Folders are decoded once at a reduced size into .npy files in the user's cache folder and mapped into memory, so
that worker processes share one copy; within a process a bank is built once per set of folders and device.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from data.synthetic import environment, procedural, tiles
from data.synthetic.options import Folders
from utils.atomic import atomic_path
from utils.errors import UserError

PHOTO_SIDE = 288
RELIEF_STEP = 1 / 31
"""Slopes and roughness offsets of [-4, 4] in steps of a byte."""
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
ALBEDO_NAMES = ("_albedo", "_basecolor", "_diffuse", "_color")


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


def as_folders(folders: Folders) -> tuple[Path, ...]:
    """The folders as absolute paths; raises UserError where one is missing."""
    if folders is None:
        return ()
    listed = [folders] if isinstance(folders, str | Path) else list(folders)
    paths = tuple(Path(folder).expanduser().resolve() for folder in listed)
    for path in paths:
        if not path.is_dir():
            raise UserError(f"{path} is not a folder: give one that holds pictures, or leave the option out")
    return paths


def load_banks(
    textures: Folders = None,
    photos: Folders = None,
    materials: Folders = None,
    envmaps: Folders = None,
    device: str | torch.device = "cpu",
) -> Banks:
    """Banks of the given folders on `device`; decoded and built once, then kept."""
    key = tuple(as_folders(folders) for folders in (textures, photos, materials, envmaps))
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
    ours = procedural.albedo_tiles()
    reliefs = procedural.relief_tiles()
    albedos, links = [ours], [np.zeros(len(ours), np.int64)]
    all_reliefs = [reliefs]
    if materials:
        sets = _material_sets(materials)
        albedo = _cached("material-albedo", [s[0] for s in sets], read_tile, np.uint8)
        with_normal = [s for s in sets if s[1] is not None]
        paths = [path for _, normal, rough in with_normal for path in (normal, rough) if path is not None]
        relief = _cached("relief", paths, _relief_reader(with_normal), np.float16, count=len(with_normal))
        numbers = {s[0]: len(reliefs) + k for k, s in enumerate(with_normal)}
        albedos.append(albedo)
        links.append(np.array([numbers.get(s[0], 0) for s in sets], np.int64))
        all_reliefs.append(relief)
    if textures:
        pictured = _cached("textures", _pictures(textures), read_tile, np.uint8)
        albedos.append(pictured)
        links.append(np.zeros(len(pictured), np.int64))
    mean = np.concatenate([stack.mean((2, 3), dtype=np.float64) / 255 for stack in albedos])
    maps = environment.procedural_maps()
    stacks = [environment.stack(radiance) for radiance in maps]
    ours_environments = len(stacks)
    if envmaps:
        paths = _files(envmaps, {".npz", ".npy", ".hdr", ".exr"}, "HDR environment maps (.npz, .hdr)")
        stacks += list(_cached("envmaps", paths, _read_environment, np.float16))
    pictures = None
    if photos:
        pictures = _shared(_cached("photos", _pictures(photos), read_photo, np.uint8))
    return Banks(
        albedo=torch.cat([tiles.pack(stack) for stack in albedos]),
        albedo_count=len(mean),
        albedo_mean=mean.astype(np.float32),
        albedo_relief=np.concatenate(links),
        procedural_albedos=len(ours),
        relief=torch.cat([tiles.pack(_relief_bytes(stack)) for stack in all_reliefs]),
        relief_count=sum(map(len, all_reliefs)),
        procedural_reliefs=len(reliefs),
        photos=pictures,
        environments=torch.from_numpy(np.stack(stacks)),
        procedural_environments=ours_environments,
    )


def _shared(mapped: np.ndarray) -> Tensor:
    """A tensor over a read-only memory map; nothing here writes to it, so torch's warning is beside the point."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.from_numpy(mapped)


def _relief_bytes(relief: np.ndarray) -> np.ndarray:
    return (relief.astype(np.float32) / RELIEF_STEP + 128.5).clip(0, 255).astype(np.uint8)


def _files(folders: Sequence[Path], suffixes: set[str] | frozenset[str], what: str) -> list[Path]:
    found = sorted(p for folder in folders for p in folder.rglob("*") if p.suffix.lower() in suffixes)
    if not found:
        raise UserError(f"{', '.join(map(str, folders))} holds no {what}")
    return found


def _pictures(folders: Sequence[Path]) -> list[Path]:
    return _files(folders, PICTURES, "pictures (.png, .jpg, .webp ...)")


def _material_sets(folders: Sequence[Path]) -> list[tuple[Path, Path | None, Path | None]]:
    """(albedo, normal, roughness) of each NAME_albedo, NAME_normal, NAME_roughness in the folders."""
    sets = []
    for path in _pictures(folders):
        suffix = next((name for name in ALBEDO_NAMES if path.stem.lower().endswith(name)), None)
        if suffix is None:
            continue
        stem = path.stem[: -len(suffix)]

        def partner(name: str, path: Path = path, stem: str = stem) -> Path | None:
            same = [path.with_name(f"{stem}{name}{ending}") for ending in (path.suffix, *sorted(PICTURES))]
            return next((file for file in same if file.exists()), None)

        sets.append((path, partner("_normal"), partner("_roughness")))
    if not sets:
        raise UserError(f"{', '.join(map(str, folders))} holds no material: name its pictures NAME_albedo.jpg, "
                        "NAME_normal.jpg, NAME_roughness.jpg")  # fmt: skip
    return sets


def _cache_folder() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    return base / "specular-highlight-removal"


def _cached(
    kind: str,
    paths: Sequence[Path],
    read: Callable[[Path | int], np.ndarray],
    dtype: type,
    count: int | None = None,
) -> np.ndarray:
    """Stacks read(path) (or read(0..count-1)) in a memory-mapped file named by the files' paths, sizes and dates."""
    stamp = hashlib.sha256(f"3{kind}".encode())
    for path in paths:
        status = path.stat()
        stamp.update(f"{path}|{status.st_size}|{status.st_mtime_ns}".encode())
    file = _cache_folder() / f"{kind}-{stamp.hexdigest()[:20]}.npy"
    if not file.exists():
        items = range(count) if count is not None else paths
        stacked = np.stack([read(item) for item in items]).astype(dtype)
        with atomic_path(file) as temporary:
            np.save(temporary, stacked)
    return np.load(file, mmap_mode="r")


def _read(path: Path, flag: int = cv2.IMREAD_COLOR) -> np.ndarray:
    picture = cv2.imread(str(path), flag)
    if picture is None:
        raise UserError(f"{path} cannot be read as a picture: remove it from the folder or mend it")
    return picture


def read_tile(path: Path) -> np.ndarray:
    """A picture as an albedo tile, uint8 (3, 256, 256); small tileable ones are repeated instead of enlarged."""
    picture = _read(path)[..., ::-1]
    side = procedural.SIDE
    if max(picture.shape[:2]) <= side // 2:
        small = cv2.resize(picture, (side // 2, side // 2), interpolation=cv2.INTER_AREA)
        picture = np.tile(small, (2, 2, 1))
    else:
        picture = _square(picture, side)
    return np.ascontiguousarray(picture.transpose(2, 0, 1))


def read_photo(path: Path) -> np.ndarray:
    """The central square of a photograph, uint8 (3, 288, 288)."""
    return np.ascontiguousarray(_square(_read(path)[..., ::-1], PHOTO_SIDE).transpose(2, 0, 1))


def _square(picture: np.ndarray, side: int) -> np.ndarray:
    height, width = picture.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    crop = picture[top : top + edge, left : left + edge]
    return cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA if edge > side else cv2.INTER_CUBIC)


def _relief_reader(sets: Sequence[tuple[Path, Path | None, Path | None]]) -> Callable[[int], np.ndarray]:
    def read(number: int) -> np.ndarray:
        _, normal_path, roughness_path = sets[number]
        side = procedural.SIDE
        normal = _square(_read(normal_path)[..., ::-1], side).astype(np.float32) / 127.5 - 1
        depth = normal[..., 2].clip(0.2, None)
        # OpenGL convention (Y up): the slope is -n_x / n_z; unit deviation, so that a material sets the strength.
        slope = -normal[..., :2] / depth[..., None]
        slope -= slope.mean((0, 1))
        slope /= max(float(np.sqrt((slope**2).mean())), 0.05)
        rough = np.zeros((side, side), np.float32)
        if roughness_path is not None:
            rough = _square(_read(roughness_path), side)[..., 0].astype(np.float32) / 127.5
            rough -= rough.mean()
        return np.stack([slope[..., 0], slope[..., 1], rough]).clip(-4, 4)

    return read


def _read_environment(path: Path) -> np.ndarray:
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            if "rgb" not in arrays:
                raise UserError(
                    f'{path} has no array "rgb": an environment map is an npz with linear "rgb" (H, W, 3)'
                )
            radiance = arrays["rgb"].astype(np.float32)
    elif path.suffix == ".npy":
        radiance = np.load(path).astype(np.float32)
    else:
        radiance = _read(path, cv2.IMREAD_UNCHANGED)[..., :3].astype(np.float32)
    if radiance.ndim != 3 or radiance.shape[2] < 3:
        raise UserError(f"{path} holds an array of shape {radiance.shape}, an environment map is (H, W, 3)")
    return environment.stack(radiance[..., :3].mean(-1))
