"""HighlightRemover: a network or a classical method, applied to pictures of any size, depth and kind."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from restoration.composition import as_rgb, subtract_specular
from restoration.precision import arithmetic, choose_device, choose_precision
from restoration.released_protocol import from_square, to_square, truncate
from restoration.test_time_augmentation import AugmentedNetwork, check_augmentation
from restoration.tiling import Tile, blend, check_sizes, spans
from utils.errors import UserError
from utils.image_files import FULL_SCALE

PROTOCOLS = ("native", "released")

# Of functions: each holds a whole picture several times over.
MAX_WORKERS = 4


@dataclass(frozen=True)
class Restored:
    """What comes back for a picture (H, W) or (H, W, 3)."""

    diffuse: np.ndarray
    """the picture without highlights: same shape and type (with protocol "released": (H, W, 3) uint8)"""
    highlight: np.ndarray
    """(H, W) float32, 0 where nothing was removed; the network's map A, which need not be bounded, or for
    methods without a map the largest channel of |specular|"""


class HighlightRemover:
    """Takes a picture, gives it back without highlights.

    method        a network (`models.build_model`, `weights.model_files.load_model`) or a function from
                  (H, W, 3) float32 in [0, 1] to its diffuse layer of the same shape (`classical.METHODS`)
    device        "auto", "cpu", "cuda", "cuda:1", "mps"
    precision     "auto" (fp32 on the CPU; bf16 on CUDA where a probe proves it close), "fp32", "bf16", "fp16"
    tile          side in pixels up to which a picture goes in whole; None: the network's own, 0: no tiles.
                  Functions always see the whole picture
    tile_overlap  pixels shared by neighbouring tiles; None: a quarter of the tile
    protocol      "native": own resolution, untouched pixels stay bit for bit. "released": the authors'
                  arithmetic (square of 224 or 448, composite there, resize back, truncate to 8 bits)
    batch_size    tiles or same-sized pictures in one forward on an accelerator
    test_time_augmentation
                  2 or 4: only what is found in as many copies of the picture is removed
                  (restoration/test_time_augmentation.py); 1: all that is found; None: 4 where a side is
                  longer than the network's `spec.augment_above`, else 1 (always 1 with "released")
    workers       tiles at once on the CPU; None: one for each core, but no more than `spec.tiles_at_once`,
                  which bounds memory

    On the CPU every tile goes through the network alone and in one thread, several tiles side by side:
    convolutions split over threads or batches round differently, and pixels would depend on the machine's
    core count. It also is faster than one tile in many threads. Thread-safe.
    """

    def __init__(
        self,
        method: nn.Module | Callable[[np.ndarray], np.ndarray],
        *,
        device: str | torch.device = "cpu",
        precision: str = "auto",
        tile: int | None = None,
        tile_overlap: int | None = None,
        protocol: Literal["native", "released"] = "native",
        batch_size: int = 1,
        test_time_augmentation: int | None = None,
        workers: int | None = None,
    ):
        if protocol not in PROTOCOLS:
            raise UserError(f"no protocol {protocol!r}: choose {' or '.join(PROTOCOLS)}")
        if batch_size < 1 or (workers is not None and workers < 1):
            raise UserError("batch_size and workers must be at least 1")
        self.device = choose_device(str(device))
        self.protocol = protocol
        self.network = method.to(self.device).eval() if isinstance(method, nn.Module) else None
        self.function = None if isinstance(method, nn.Module) else method
        self.test_time_augmentation = test_time_augmentation
        if test_time_augmentation is not None:
            check_augmentation(self.network, test_time_augmentation)
        self.precision = choose_precision(self.network, self.device, precision) if self.network else "fp32"
        self.tile, self.overlap, self.multiple = self._tile_sizes(tile, tile_overlap)
        on_cpu = self.device.type == "cpu"
        self.batch_size = 1 if on_cpu else batch_size
        most = self.network.spec.tiles_at_once if self.network else MAX_WORKERS
        self.workers = (workers or min(usable_cores(), most)) if on_cpu else 1
        self._cancelled = threading.Event()
        self._pool: ThreadPoolExecutor | None = None
        self._pool_process = 0
        self._lock = threading.Lock()

    def __call__(self, image: np.ndarray) -> Restored:
        """image (H, W) or (H, W, 3) uint8, uint16 or float32 in [0, 1], H, W >= 1."""
        check_picture(image)
        if self.protocol == "released":
            return self._released(image)
        diffuse = np.empty_like(image)
        highlight = np.empty(image.shape[:2], np.float32)
        for top, bottom, strip in self._strips(image):
            self._compose(image[top:bottom], strip, diffuse[top:bottom], highlight[top:bottom])
        return Restored(diffuse, highlight)

    def restore_all(self, images: Sequence[np.ndarray]) -> list[Restored]:
        """The same as one call for each image; on an accelerator equal sizes share a forward."""
        whole = self.protocol == "native" and self.batch_size > 1 and self.network
        results: list[Restored | None] = [None] * len(images)

        def kind(index: int) -> tuple:
            return images[index].shape, images[index].dtype.str

        for (shape, _), group in groupby(sorted(range(len(images)), key=kind), key=kind):
            indices = list(group)
            if whole and max(shape[:2]) <= self.tile:
                network = self._network_for(shape)
                stripes = self._map(self._batches([images[i] for i in indices]), network)
                for index, values in zip(indices, stripes, strict=True):
                    check_picture(images[index])
                    restored = Restored(np.empty_like(images[index]), np.empty(shape[:2], np.float32))
                    self._compose(images[index], values, restored.diffuse, restored.highlight)
                    results[index] = restored
            else:
                for index in indices:
                    results[index] = self(images[index])
        return results

    def cancel(self) -> None:
        """Makes running and later calls raise CancelledError at the next tile."""
        self._cancelled.set()

    def _tile_sizes(self, tile: int | None, overlap: int | None) -> tuple[int, int, int]:
        """(side, overlap, multiple); a side of 2^31 where pictures always go in whole."""
        if self.network is None or tile == 0:
            return 2**31, 0, 1
        multiple = self.network.spec.multiple
        side = self.network.spec.tile if tile is None else tile
        overlap = side // 4 if overlap is None else overlap
        check_sizes(side, overlap, multiple)
        return side, overlap, multiple

    def _strips(self, image: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
        rows, columns = (spans(length, self.tile, self.overlap, self.multiple) for length in image.shape[:2])
        network = self._network_for(image.shape)

        def run(tiles: Iterable[Tile]) -> Iterator[np.ndarray]:
            return self._map(self._batches(tile.cut(image) for tile in tiles), network)

        return blend(run, rows, columns, channels=4)

    @staticmethod
    def _compose(image, values: np.ndarray, diffuse: np.ndarray, highlight: np.ndarray) -> None:
        """Writes into `diffuse` and `highlight` what (rows, W, specular 3 + highlight 1) makes of `image`."""
        highlight[...] = values[..., 3]
        diffuse[...] = subtract_specular(image, values[..., :3], values[..., 3])

    def _batches(self, crops: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """Consecutive crops of equal size, at most `batch_size` together."""
        for _, group in groupby(crops, key=lambda crop: crop.shape):
            waiting: list[np.ndarray] = []
            for crop in group:
                waiting.append(crop)
                if len(waiting) == self.batch_size:
                    yield waiting
                    waiting = []
            if waiting:
                yield waiting

    def _network_for(self, shape: tuple[int, ...]) -> nn.Module | None:
        """The network, augmented where that was asked for or is usual, for a picture (H, W, ...)."""
        copies = self.test_time_augmentation
        if copies is None:
            enough = self.network.spec.augment_above if self.network else None
            copies = 4 if enough is not None and max(shape[:2]) > enough else 1
        return self.network if copies == 1 else AugmentedNetwork(self.network, copies)

    def _map(self, batches: Iterable[list[np.ndarray]], network: nn.Module | None) -> Iterator[np.ndarray]:
        """`_separate` over all batches in the worker threads; results in order, few of them in memory."""
        pool, running = self._threads(), deque()
        try:
            for batch in batches:
                if self._cancelled.is_set():
                    raise CancelledError
                running.append(pool.submit(self._separate, batch, network))
                # One more than the workers, so that none waits while the oldest result is blended in.
                if len(running) > self.workers:
                    yield from running.popleft().result()
            while running:
                yield from running.popleft().result()
        finally:
            for future in running:
                future.cancel()

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            # A forked process inherits the pool but not its threads.
            if self._pool is None or self._pool_process != os.getpid():
                self._pool = ThreadPoolExecutor(self.workers, "highlight-remover", self._start_thread)
                self._pool_process = os.getpid()
            return self._pool

    def _start_thread(self) -> None:
        if self.device.type == "cpu":
            torch.set_num_threads(1)  # of this thread only

    @torch.inference_mode()
    def _separate(self, crops: list[np.ndarray], network: nn.Module | None) -> list[np.ndarray]:
        """Equal-sized crops -> (h, w, specular 3 + highlight 1) float32 each."""
        if network is None:
            return [self._apply_function(as_rgb(crop)) for crop in crops]
        image = _to_tensor(np.stack(crops), self.device)
        with arithmetic(self.device, self.precision):
            separation = network(image)
        values = torch.cat([separation.specular, separation.highlight], dim=1).float()
        return list(values.permute(0, 2, 3, 1).cpu().numpy())

    def _apply_function(self, image: np.ndarray) -> np.ndarray:
        specular = image - self.function(image)
        return np.dstack([specular, np.abs(specular).max(axis=2)]).astype(np.float32)

    def _released(self, image: np.ndarray) -> Restored:
        if self._cancelled.is_set():
            raise CancelledError
        return self._threads().submit(self._released_in_thread, image).result()

    @torch.inference_mode()
    def _released_in_thread(self, image: np.ndarray) -> Restored:
        square = to_square(image).to(self.device)
        if self.network is None:
            values = self._apply_function(square[0].permute(1, 2, 0).numpy())
            specular, highlight = torch.from_numpy(values).permute(2, 0, 1)[None].split([3, 1], dim=1)
            diffuse = square - specular
        else:
            augmented = self.test_time_augmentation is not None
            network = self._network_for(image.shape) if augmented else self.network
            with arithmetic(self.device, self.precision):
                separation = network(square)
            diffuse, highlight = separation.diffuse, separation.highlight
        height, width = image.shape[:2]
        return Restored(
            truncate(from_square(diffuse, height, width)), from_square(highlight, height, width)[..., 0]
        )


def check_picture(image: np.ndarray) -> None:
    """Raises UserError for an array that is no picture."""
    if image.dtype not in FULL_SCALE:
        raise UserError(f"a picture is uint8, uint16 or float32, not {image.dtype}")
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or 0 in image.shape:
        raise UserError(f"a picture has the shape (H, W) or (H, W, 3), not {image.shape}")


def usable_cores() -> int:
    """Cores of this process; several processes of one torchrun share the machine's."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def _to_tensor(images: np.ndarray, device: torch.device) -> Tensor:
    """(B, H, W) or (B, H, W, 3) of any picture type -> (B, 3, H, W) float32 in [0, 1] on `device`."""
    white = FULL_SCALE[images.dtype]
    # Bytes travel to an accelerator as they are; 16-bit integers are not known to all of torch.
    tensor = torch.from_numpy(images if images.dtype == np.uint8 else images.astype(np.float32))
    scaled = tensor.to(device).float() / white
    if scaled.ndim == 3:
        return scaled[:, None].expand(-1, 3, -1, -1)
    return scaled.permute(0, 3, 1, 2).contiguous()
