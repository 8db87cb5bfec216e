"""Reads a user's folders of textures, materials, photographs, environment maps, and caches the result."""

import contextlib
import hashlib
import itertools
import os
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from synthetic import environment, procedural, tiles
from synthetic.scene_options import AssetFolders
from utils.atomic import atomic_path
from utils.errors import UserError

PHOTO_SIDE = 288
UNUSED_SECONDS = 24 * 3600
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
ENVIRONMENTS = frozenset({".npz", ".npy", ".hdr", ".exr"})
ALBEDO_NAMES = ("_albedo", "_basecolor", "_diffuse", "_color")


@dataclass(frozen=True)
class AssetFiles:
    """The files below a user's folders; hashable."""

    albedos: tuple[Path, ...] = ()
    """Albedo maps of the materials, then textures."""
    reliefs: tuple[tuple[Path, Path | None], ...] = ()
    """Normal and roughness map of the materials that have a normal map."""
    relief_of: tuple[int | None, ...] = ()
    """Which of `reliefs` belongs to each material."""
    photos: tuple[Path, ...] = ()
    envmaps: tuple[Path, ...] = ()


def find_assets(folders: AssetFolders) -> AssetFiles:
    """The files; raises UserError where a folder is missing or holds nothing of its kind."""
    textures, materials = resolved(folders.textures), resolved(folders.materials)
    photos, envmaps = resolved(folders.photos), resolved(folders.envmaps)
    sets = material_sets(materials) if materials else []
    numbers = itertools.count()
    return AssetFiles(
        albedos=(*(albedo for albedo, _, _ in sets), *(pictures(textures) if textures else ())),
        reliefs=tuple((normal, rough) for _, normal, rough in sets if normal is not None),
        relief_of=tuple(None if normal is None else next(numbers) for _, normal, _ in sets),
        photos=tuple(pictures(photos)) if photos else (),
        envmaps=tuple(files(envmaps, ENVIRONMENTS, "environment maps")) if envmaps else (),
    )


def resolved(folders: str | Path | Sequence[str | Path]) -> tuple[Path, ...]:
    """Folders, single files and patterns as absolute paths; raises UserError where one is missing."""
    listed = [folders] if isinstance(folders, str | Path) else folders
    paths = tuple(Path(folder).expanduser().resolve() for folder in listed)
    for path in paths:
        if not path.exists() and not (_is_pattern(path) and path.parent.is_dir()):
            raise UserError(f"{path} is not a folder: give one that holds pictures, or leave the option out")
    return paths


def _is_pattern(path: Path) -> bool:
    return any(sign in path.name for sign in "*?[")


def files(folders: Sequence[Path], suffixes: set[str] | frozenset[str], what: str) -> list[Path]:
    """All files of the suffixes below the folders, sorted; UserError without any."""
    within = (folder.rglob("*") if folder.is_dir() else folder.parent.glob(folder.name) for folder in folders)
    found = sorted(p for picked in within for p in picked if p.suffix.lower() in suffixes)
    if not found:
        raise UserError(f"{', '.join(map(str, folders))} holds no {what}")
    return found


def pictures(folders: Sequence[Path]) -> list[Path]:
    """All pictures below the folders."""
    return files(folders, PICTURES, "pictures (.png, .jpg, .webp ...)")


def material_sets(folders: Sequence[Path]) -> list[tuple[Path, Path | None, Path | None]]:
    """(albedo, normal, roughness) of each NAME_albedo, NAME_normal, NAME_roughness in the folders."""
    sets = []
    for path in pictures(folders):
        suffix = next((name for name in ALBEDO_NAMES if path.stem.lower().endswith(name)), None)
        if suffix is None:
            continue
        stem = path.stem[: -len(suffix)]

        def partner(name: str, path: Path = path, stem: str = stem) -> Path | None:
            same = [path.with_name(f"{stem}{name}{ending}") for ending in (path.suffix, *sorted(PICTURES))]
            return next((file for file in same if file.exists()), None)

        sets.append((path, partner("_normal"), partner("_roughness")))
    if not sets:
        raise UserError(
            f"{', '.join(map(str, folders))} holds no material: name its pictures NAME_albedo.jpg, "
            "NAME_normal.jpg, NAME_roughness.jpg"
        )
    return sets


def cache_folder() -> Path:
    """Where built banks are kept: $XDG_CACHE_HOME (default ~/.cache)/specular-highlight-removal."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return base / "specular-highlight-removal"


def cached(kind: str, paths: Sequence[Path], build: Callable[[], np.ndarray]) -> np.ndarray:
    """build()'s array, memory-mapped from the cache when it was built before from the same files and code.

    Worker processes and later runs then share one copy. Where the cache cannot be written the array stays
    in memory.
    """
    stamp = hashlib.sha256()
    for module in (procedural.__file__, environment.__file__, tiles.__file__, __file__):
        stamp.update(Path(module).read_bytes())
    for path in paths:
        status = path.stat()
        stamp.update(f"{path}|{status.st_size}|{status.st_mtime_ns}".encode())
    source = hashlib.sha256("|".join(sorted({str(path.parent) for path in paths})).encode()).hexdigest()[:12]
    file = cache_folder() / f"{kind}-{source}-{stamp.hexdigest()[:20]}.npy"
    if not file.exists():
        array = build()
        try:
            with atomic_path(file) as temporary:
                np.save(temporary, array)
        except UserError as error:
            warnings.warn(f"scene banks are rebuilt in each process: {error}", stacklevel=2)
            return array
        _remove_unused(file.parent.glob(f"{kind}-{source}-*.npy"))
    with contextlib.suppress(OSError):  # the cache of another user
        file.touch()
    return np.load(file, mmap_mode="r")


def _remove_unused(banks: Iterable[Path]) -> None:
    """Removes what was not loaded for a day; another version of the code may use what was."""
    for bank in banks:
        with contextlib.suppress(OSError):
            if time.time() - bank.stat().st_mtime > UNUSED_SECONDS:
                bank.unlink()


def _read(path: Path, flag: int = cv2.IMREAD_COLOR) -> np.ndarray:
    picture = cv2.imread(str(path), flag)
    if picture is None:
        raise UserError(f"{path} cannot be read as a picture: remove or repair it")
    return picture


def read_tile(path: Path) -> np.ndarray:
    """A picture as an albedo tile, uint8 (3, 256, 256); small ones are repeated, not enlarged."""
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


def read_relief(normal_path: Path, roughness_path: Path | None) -> np.ndarray:
    """A tile as of `procedural.slopes_of` from an OpenGL (Y up) normal map and a roughness map."""
    side = procedural.SIDE
    normal = _square(_read(normal_path)[..., ::-1], side).astype(np.float32) / 127.5 - 1
    slope = -normal[..., :2] / normal[..., 2:].clip(0.2, None)
    slope -= slope.mean((0, 1))
    # Unit deviation, so that a material's strength means the same for all; nearly flat maps stay nearly flat.
    slope /= max(float(np.sqrt((slope**2).mean())), 0.05)
    rough = np.zeros((side, side), np.float32)
    if roughness_path is not None:
        rough = _square(_read(roughness_path), side)[..., 0].astype(np.float32) / 127.5
        rough -= rough.mean()
    return np.stack([slope[..., 0], slope[..., 1], rough]).clip(-4, 4)


def read_environment(path: Path) -> np.ndarray:
    """The prefiltered stack of an environment map: linear (H, W, 3), .npz with "rgb", .npy, .hdr or .exr."""
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
