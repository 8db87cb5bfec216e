"""Separation of many crops of pictures by one network or function, several side by side in threads."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from itertools import groupby, repeat
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from models import ModelSpec, Separation
from models.parallel import Cores
from restoration.onnx_network import OnnxNetwork
from restoration.precision import arithmetic, ready
from restoration.tiling import NO_TILES
from restoration.two_steps import in_two_steps
from utils.colour import FULL_SCALE
from utils.cores import usable_cores
from utils.devices import choose_device
from utils.errors import UserError

Result = TypeVar("Result")

Area = tuple[slice, slice]
"""Rows and columns of a crop."""
EVERYWHERE = (slice(None), slice(None))


class FunctionNetwork(nn.Module):
    """A function from (H, W, 3) float32 in [0, 1] to its diffuse layer of the same shape, as a network.

    It sees whole pictures, and has no map: `highlight` is the largest |specular|.
    """

    def __init__(self, function: Callable[[np.ndarray], np.ndarray]):
        super().__init__()
        self.function = function
        name = getattr(function, "__name__", "function")
        # Four at once: each holds a whole picture several times over.
        self.spec = ModelSpec(name, {}, multiple=1, tile=NO_TILES, tiles_at_once=4, composes=False)

    def forward(self, image: Tensor) -> Separation:
        """image (B, 3, H, W) float32 in [0, 1], on any device."""
        pictures = np.ascontiguousarray(image.permute(0, 2, 3, 1).cpu().numpy())
        specular = np.stack([picture - self.function(picture) for picture in pictures])
        specular = torch.from_numpy(specular.astype(np.float32)).permute(0, 3, 1, 2).to(image.device)
        return Separation(image - specular, specular, specular.abs().amax(dim=1, keepdim=True))


class Separator:
    """A network, applied to crops in worker threads.

    network            of which a copy is prepared (models/inference.py) and used: `self.network`
    device, precision  what it runs on and in
    batch_size         crops of one size in one forward (1 on the CPU)
    workers            crops at once on the CPU, and cores used; None: `spec.tiles_at_once` crops, all cores
    skip_tiles         coarse and refine networks are left out where the highlight map can change no pixel

    On the CPU every crop goes through the network alone, several crops side by side, and heavy layers share
    the cores that are left (models/parallel.py). Bits do not depend on how many there are. Thread-safe. The
    threads start with the first crop and end with `close`, or when the separator is collected.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        device: str | torch.device = "cpu",
        precision: str = "auto",
        batch_size: int = 1,
        workers: int | None = None,
        skip_tiles: bool = True,
    ):
        if batch_size < 1 or (workers is not None and workers < 1):
            raise UserError("batch_size and workers must be at least 1")
        self._exported = isinstance(network, OnnxNetwork)
        if self._exported:
            self.device = network.choose_device(str(device))
            self.network, self.precision = network.eval(), network.checked_precision(precision)
        else:
            self.device = choose_device(str(device))
            # In one thread of torch, as the network itself: sums of several round by their number.
            with ThreadPoolExecutor(1, "prepare", torch.set_num_threads, (1,)) as one:
                self.network, self.precision = one.submit(ready, network, self.device, precision).result()
        on_cpu = self.device.type == "cpu"
        self.batch_size = 1 if on_cpu else batch_size
        self.cores = (workers or own_cores()) if on_cpu else 1
        self.workers = (workers or min(self.cores, network.spec.tiles_at_once)) if on_cpu else 1
        self.skip_tiles = skip_tiles
        self._cancelled = threading.Event()
        self._threads: _Threads | None = None
        self._closed = False
        self._lock = threading.Lock()

    def __call__(
        self,
        crops: Iterable[np.ndarray],
        network: nn.Module | None = None,
        faint: float = 0.0,
        used: Iterable[Area] | None = None,
    ) -> Iterator[np.ndarray]:
        """Layers (h, w, specular 3 + highlight 1) float32 of each crop, in order, few of them in memory.

        crops    (h, w) or (h, w, 3) uint8, uint16 or float32 in [0, 1]; consecutive ones of equal size
                 share a forward
        network  what to run instead of the own network, such as an augmented one
        faint    the specular layer is 0 where the highlight map is no larger: it could change nothing there
        used     the rows and columns of each crop that count, None: all; elsewhere the specular layer may
                 be missing

        Raises CancelledError after `cancel`.
        """
        running: deque[Future[list[np.ndarray]]] = deque()
        try:
            for batch in self._batches(zip(crops, used or repeat(EVERYWHERE), strict=False)):
                running.append(self._submit(self._separate_batch, batch, network or self.network, faint))
                # One more than the workers, so that none waits while the oldest result is used.
                if len(running) > self.workers:
                    yield from running.popleft().result()
            while running:
                yield from running.popleft().result()
        finally:
            for future in running:
                future.cancel()

    def run(self, work: Callable[..., Result], *arguments: object) -> Result:
        """`work(*arguments)` in one of the worker threads. Raises CancelledError after `cancel`."""
        return self._submit(work, *arguments).result()

    @torch.inference_mode()
    def separate(self, image: Tensor, network: nn.Module | None = None) -> Separation:
        """The layers of a batch (B, 3, h, w) float32 in [0, 1], in the calling thread."""
        with arithmetic(self.device, "fp32" if self._exported else self.precision):
            return (network or self.network)(image.to(self.device))

    @property
    def described(self) -> str:
        """What the network runs on and in: "cpu fp32"."""
        return f"{self.device} {self.precision}" + (" in ONNX Runtime" if self._exported else "")

    def cancel(self) -> None:
        """Makes running and later calls raise CancelledError at the next crop."""
        self._cancelled.set()

    def close(self) -> None:
        """Ends the threads once they have done what they were given; later calls raise UserError."""
        with self._lock:
            self._closed = True
            threads, self._threads = self._threads, None
        if threads is not None and threads.process == os.getpid():
            threads.close()

    def _batches(self, crops: Iterable[tuple[np.ndarray, Area]]) -> Iterator[list[tuple[np.ndarray, Area]]]:
        """Consecutive crops of equal size, at most `batch_size` together."""
        for _, group in groupby(crops, key=lambda crop: crop[0].shape):
            batch: list[tuple[np.ndarray, Area]] = []
            for crop in group:
                batch.append(crop)
                if len(batch) == self.batch_size:
                    yield batch
                    batch = []
            if batch:
                yield batch

    @torch.inference_mode()
    def _separate_batch(
        self, batch: list[tuple[np.ndarray, Area]], network: nn.Module, faint: float
    ) -> list[np.ndarray]:
        image = _to_tensor(np.stack([pixels for pixels, _ in batch]), self.device)
        with arithmetic(self.device, self.precision):
            if network.spec.composes:
                layers = self._composed(image, [area for _, area in batch], in_two_steps(network), faint)
            else:
                found = network(image)
                layers = torch.cat([found.specular, found.highlight], dim=1).float()
        return list(layers.permute(0, 2, 3, 1).cpu().numpy())

    def _composed(self, image: Tensor, used: list[Area], network: nn.Module, faint: float) -> Tensor:
        """Specular layer and map (B, 4, h, w) of a network whose map says where the layer is 0."""
        located = network.locate(image)
        # D = (1 - A) I + A N with A < 0 would add a highlight: such pixels are left as they are.
        highlight = network.highlight(image, located).float().clamp_min(0)
        lit = highlight > faint
        specular = torch.zeros_like(image, dtype=torch.float32)
        some = [not self.skip_tiles or bool(one[0][area].any()) for one, area in zip(lit, used, strict=True)]
        if all(some):
            specular = network.separate(image, located).specular.float()
        elif any(some):
            picked = [one[some] for one in located] if isinstance(located, list) else located[some]
            specular[some] = network.separate(image[some], picked).specular.float()
        return torch.cat([specular.where(lit, 0.0), highlight], dim=1)

    def _submit(self, work: Callable[..., Result], *arguments: object) -> "Future[Result]":
        if self._cancelled.is_set():
            raise CancelledError
        with self._lock:
            if self._closed:
                raise UserError("this remover is closed: make a new one")
            # A forked process inherits the pools but not their threads.
            if self._threads is None or self._threads.process != os.getpid():
                self._threads = _Threads(self.workers, self.cores, on_cpu=self.device.type == "cpu")
            return self._threads.submit(work, *arguments)


class _Threads:
    """The threads of a separator: `workers` that each take a core, and those that help them on free ones.

    Nothing that they run for long refers to the separator, so that it can be collected while they wait; its
    pools are collected with it, and end them.
    """

    def __init__(self, workers: int, cores: int, *, on_cpu: bool):
        self.process = os.getpid()
        self._cores = Cores(cores) if on_cpu else None
        # torch's number of threads is that of the calling thread.
        start = (torch.set_num_threads, (1,)) if on_cpu else (None, ())
        self._pool = ThreadPoolExecutor(workers, "separator", *start)

    def submit(self, work: Callable[..., Result], *arguments: object) -> "Future[Result]":
        if self._cores is None:
            return self._pool.submit(work, *arguments)
        return self._pool.submit(_on_a_core, self._cores, work, *arguments)

    def close(self) -> None:
        self._pool.shutdown()
        if self._cores is not None:
            self._cores.close()


def _on_a_core(cores: Cores, work: Callable[..., Result], *arguments: object) -> Result:
    with cores.one():
        return work(*arguments)


def own_cores() -> int:
    """Cores of this process; several processes of one torchrun share the machine's."""
    return max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def _to_tensor(images: np.ndarray, device: torch.device) -> Tensor:
    """(B, H, W) or (B, H, W, 3) of any picture type -> (B, 3, H, W) float32 in [0, 1] on `device`."""
    white = FULL_SCALE[images.dtype]
    # Bytes travel to an accelerator as they are; 16-bit integers are not known to all of torch.
    tensor = torch.from_numpy(images if images.dtype == np.uint8 else images.astype(np.float32))
    scaled = tensor.to(device).float() / white
    if scaled.ndim == 3:
        return scaled[:, None].expand(-1, 3, -1, -1)
    return scaled.permute(0, 3, 1, 2).contiguous()
