"""Memory for tiles: what is free, what they need, and tiles small enough where they did not fit."""

from pathlib import Path

import torch

from models import ModelSpec
from restoration.tiling import NO_TILES, TileSize
from utils.errors import UserError

# `ModelSpec.tiles_at_once` tiles of the network's own size stay below 4 GB, the libraries included; half of
# it is what the tiles themselves take.
_OWN_TILES_BYTES = 2**31


def check_tile_memory(size: TileSize, spec: ModelSpec, shape: tuple[int, ...], workers: int) -> None:
    """Raises UserError where tiles larger than the network's own would take more memory than is free.

    Without this the system would end the process, or other ones, without a word.

    shape    of the picture, (H, W, ...)
    workers  tiles at once, on the CPU
    """
    if size.side <= spec.tile or spec.tile >= NO_TILES:
        return
    free = free_memory()
    bytes_per_pixel = _OWN_TILES_BYTES / (spec.tiles_at_once * spec.tile**2)
    pixels = min(size.side, shape[0]) * min(size.side, shape[1])
    at_once = min(workers, -(-shape[0] // size.side) * -(-shape[1] // size.side))
    needed = pixels * bytes_per_pixel * at_once
    if free is None or needed <= free:
        return
    fits = int((free / workers / bytes_per_pixel) ** 0.5) // spec.multiple * spec.multiple
    raise UserError(
        f"tiles of {min(size.side, max(shape[:2]))} pixels need about {needed / 1e9:.1f} GB of memory, and "
        f"{free / 1e9:.1f} GB are free: choose at most {max(fits, spec.multiple)}"
    )


def free_memory() -> int | None:
    """Bytes that this process may still take: of the machine, and of its container; None where unknown."""
    free = []
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free.append(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")))
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii").strip()
        if limit.isdigit():
            free.append(int(limit) - int(used))
    except (OSError, StopIteration, ValueError):
        pass
    return min(free, default=None)


def is_out_of_memory(error: Exception) -> bool:
    """True for what torch and numpy raise where memory, of the machine or an accelerator, is full."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)


def smaller_tiles(size: TileSize, spec: ModelSpec, shape: tuple[int, ...]) -> TileSize | None:
    """Tiles of half the side, for a picture (H, W, ...); None where they would be too small to be cut."""
    side = min(size.side, max(shape[:2])) // 2 // spec.multiple * spec.multiple
    overlap = side // 4 // spec.multiple * spec.multiple
    if spec.tile >= NO_TILES or side < 4 * spec.multiple:
        return None
    return TileSize(side, overlap, spec.multiple)
