"""Large pictures by overlapping tiles, in memory that grows with the width of the picture only.

Along each axis neighbouring tiles overlap, and their results are blended by a ramp in the middle of the
overlap, a quarter of it long. So no pixel is taken from nearer than 3/8 of the overlap to a cut: with an
overlap of at least 8/3 of a network's receptive-field radius, tiles give what the whole picture would.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from restoration.defaults import InferenceDefaults
from utils.errors import UserError

# Beyond this the same pixel would be computed many times over for no gain.
MAX_OVERLAP = 0.75

NO_TILES = 2**31
"""The side of tiles where pictures always go in whole."""


@dataclass(frozen=True)
class Span:
    """One tile along one axis: the pixels it sees, and the weight of those that it gives."""

    start: int
    stop: int
    first: int
    """first pixel with a weight above 0"""
    weight: np.ndarray
    """(last - first) float32 in (0, 1]; over all tiles the weights of a pixel add up to 1"""

    @property
    def last(self) -> int:
        """One past the last pixel with a weight above 0."""
        return self.first + len(self.weight)


@dataclass(frozen=True)
class Tile:
    """A rectangle of the picture."""

    rows: Span
    columns: Span

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The pixels that the tile sees, of an image (H, W, ...)."""
        return image[self.rows.start : self.rows.stop, self.columns.start : self.columns.stop]

    @property
    def used(self) -> tuple[slice, slice]:
        """Rows and columns of what it sees that have a weight above 0."""
        rows, columns = self.rows, self.columns
        return (
            slice(rows.first - rows.start, rows.last - rows.start),
            slice(columns.first - columns.start, columns.last - columns.start),
        )


@dataclass(frozen=True)
class TileSize:
    """How pictures are cut for a network."""

    side: int
    """pixels up to which a picture goes in whole; 2^31 where it always does"""
    overlap: int = 0
    """pixels that neighbours share"""
    multiple: int = 1
    """tiles start at multiples of this"""

    @classmethod
    def choose(
        cls, defaults: InferenceDefaults, multiple: int, side: int | None, overlap: int | None
    ) -> "TileSize":
        """As `HighlightRemover` takes them: None for the network's own, a side of 0 for no tiles.

        Raises UserError where tiles of this side cannot advance by the network's stride.
        """
        if side == 0 or defaults.tile >= NO_TILES:
            return cls(NO_TILES, multiple=multiple)
        side = defaults.tile if side is None else side
        size = cls(side, side // 4 if overlap is None else overlap, multiple)
        check_sizes(size.side, size.overlap, size.multiple)
        return size

    def spans(self, length: int) -> list[Span]:
        """The tiles along an axis of `length` pixels."""
        return spans(length, self.side, self.overlap, self.multiple)


def check_sizes(tile: int, overlap: int, multiple: int) -> None:
    """Raises UserError where tiles of this side cannot advance by the network's stride."""
    if tile < multiple:
        raise UserError(f"a tile of {tile} pixels is too small: this network needs at least {multiple}")
    if not 0 <= overlap <= MAX_OVERLAP * tile or overlap > tile - multiple:
        raise UserError(
            f"an overlap of {overlap} pixels does not fit tiles of {tile}: choose at most "
            f"{min(int(MAX_OVERLAP * tile), tile - multiple)}"
        )


def spans(length: int, tile: int, overlap: int, multiple: int) -> list[Span]:
    """Tiles of at most `tile` pixels over `length` pixels, overlapping by at least `overlap`.

    They start at multiples of `multiple`, so that the strides of the network fall as they would in the
    whole picture, and the last ends where the picture ends. All but the last are `tile` long.
    """
    if length <= tile:
        return [Span(0, length, 0, np.ones(length, np.float32))]
    tile -= tile % multiple
    last = -(-(length - tile) // multiple) * multiple
    step = tile - overlap
    count = -(-last // step) + 1
    # A start is rounded down, which could widen a step beyond tile - overlap: one more tile then.
    while True:
        starts = [i * last // (count - 1) // multiple * multiple for i in range(count)]
        if all(b - a <= max(step, multiple) for a, b in itertools.pairwise(starts)):
            break
        count += 1
    starts = sorted(set(starts))
    stops = [min(start + tile, length) for start in starts]
    weights = np.ones((len(starts), length))
    for i, weight in enumerate(weights):
        weight[: starts[i]] = weight[stops[i] :] = 0
        if i > 0:
            weight *= _ramp(length, (starts[i] + stops[i - 1]) / 2, overlap)
        if i + 1 < len(starts):
            weight *= 1 - _ramp(length, (starts[i + 1] + stops[i]) / 2, overlap)
    weights /= weights.sum(axis=0)
    return [_span(start, stop, weight) for start, stop, weight in zip(starts, stops, weights, strict=True)]


def _ramp(length: int, centre: float, overlap: int) -> np.ndarray:
    """From 0 to 1 over `length` pixels, linear over a quarter of the overlap around `centre`."""
    return np.clip((np.arange(length) + 0.5 - centre) / max(overlap / 4, 1) + 0.5, 0, 1)


def _span(start: int, stop: int, weight: np.ndarray) -> Span:
    (given,) = np.nonzero(weight)
    first, last = int(given[0]), int(given[-1]) + 1
    return Span(start, stop, first, weight[first:last].astype(np.float32))


def blend(
    run: Callable[[Iterable[Tile]], Iterable[np.ndarray]],
    rows: list[Span],
    columns: list[Span],
    channels: int,
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Runs all tiles row by row and yields finished strips (top, bottom, values (bottom - top, W, channels)).

    `run` maps tiles to their results, in the same order: (rows, columns, channels) float32 over all that
    the tile sees. One strip of the picture's width is in memory at a time.
    """
    width = columns[-1].stop
    results = iter(run(Tile(row, column) for row in rows for column in columns))
    carried = np.zeros((0, width, channels), np.float32)
    for index, row in enumerate(rows):
        strip = np.zeros((len(row.weight), width, channels), np.float32)
        strip[: len(carried)] = carried
        for column in columns:
            values = next(results)
            weight = row.weight[:, None, None] * column.weight[:, None]
            strip[:, column.first : column.last] += values[Tile(row, column).used] * weight
        final = rows[index + 1].first - row.first if index + 1 < len(rows) else len(strip)
        yield row.first, row.first + final, strip[:final]
        carried = strip[final:]


# `InferenceDefaults.tiles_at_once` tiles of the network's own size stay below 4 GB, the libraries included;
# half of it is what the tiles themselves take.
_OWN_TILES_BYTES = 2**31


def check_tile_memory(
    size: TileSize, defaults: InferenceDefaults, shape: tuple[int, ...], workers: int
) -> None:
    """Raises UserError where tiles larger than the network's own would take more memory than is free.

    Without this the system would end the process, or other ones, without a word.

    shape    of the picture, (H, W, ...)
    workers  tiles at once, on the CPU
    """
    if size.side <= defaults.tile or defaults.tile >= NO_TILES:
        return
    free = free_memory()
    bytes_per_pixel = _OWN_TILES_BYTES / (defaults.tiles_at_once * defaults.tile**2)
    pixels = min(size.side, shape[0]) * min(size.side, shape[1])
    at_once = min(workers, -(-shape[0] // size.side) * -(-shape[1] // size.side))
    needed = pixels * bytes_per_pixel * at_once
    if free is None or needed <= free:
        return
    fits = int((free / workers / bytes_per_pixel) ** 0.5) // size.multiple * size.multiple
    raise UserError(
        f"tiles of {min(size.side, max(shape[:2]))} pixels need about {needed / 1e9:.1f} GB of memory, and "
        f"{free / 1e9:.1f} GB are free: choose at most {max(fits, size.multiple)}"
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


def smaller_tiles(size: TileSize, defaults: InferenceDefaults, shape: tuple[int, ...]) -> TileSize | None:
    """Tiles of half the side, for a picture (H, W, ...); None where they would be too small to be cut."""
    side = min(size.side, max(shape[:2])) // 2 // size.multiple * size.multiple
    overlap = side // 4 // size.multiple * size.multiple
    if defaults.tile >= NO_TILES or side < 4 * size.multiple:
        return None
    return TileSize(side, overlap, size.multiple)
