"""Separation of crops of pictures by one network or function: in which precision it computes, of how many
copies of a crop, and how several crops go side by side in threads."""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby, repeat
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import ModelSpec, Separation
from models.inference import prepare_for_inference
from models.parallel import Cores, in_parts
from restoration.defaults import InferenceDefaults, defaults_of
from restoration.tiling import NO_TILES
from utils.colour import FULL_SCALE, psnr
from utils.cores import usable_cores
from utils.devices import check_precision, choose_device, computes_in_bf16
from utils.errors import UserError
from weights.backends import OnnxNetwork

Result = TypeVar("Result")

Area = tuple[slice, slice]
"""Rows and columns of a crop."""
EVERYWHERE = (slice(None), slice(None))

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Type of the wide convolutions; None: as the weights are."""

CLOSE = 50
"""PSNR in dB from which bf16 is taken for fp32: on average they differ by less than an 8-bit level."""


def prepare(network: nn.Module, device: torch.device, precision: str) -> tuple[nn.Module, str]:
    """A copy of the network on `device`, prepared for inference, and its precision; `network` stays as it is.

    precision  "fp32", "bf16", "fp16", or "auto": bf16 on a GPU or a processor that computes in it, where the
               network allows it and the diffuse layer of a probe picture is within CLOSE of fp32's, else fp32

    Raises UserError for another precision, and for one that the CPU does not compute in.
    """
    if precision not in ("auto", *PRECISIONS):
        raise UserError(f"no precision {precision!r}: choose auto, {', '.join(PRECISIONS)}")
    check_precision(precision, device)
    if not any(True for _ in network.parameters()):
        return network.to(device).eval(), "fp32"  # a classical method: nothing to prepare

    def prepared(name: str) -> nn.Module:
        return prepare_for_inference(network, dtype=PRECISIONS[name]).to(device)

    if precision != "auto":
        return prepared(precision), precision
    exact = prepared("fp32")
    if defaults_of(network).bf16 and computes_in_bf16(device):
        close = prepared("bf16")
        if closeness(exact, close, device) >= CLOSE:
            return close, "bf16"
    return exact, "fp32"


def closeness(exact: nn.Module, close: nn.Module, device: torch.device) -> float:
    """PSNR in dB of the diffuse layer of one network against another's, on a probe picture; 0 where nothing
    is removed from it, which proves nothing."""
    probe = probe_picture().to(device)
    with torch.inference_mode(), arithmetic(device, "fp32"):
        wanted, found = exact(probe), close(probe)
    if not wanted.specular.any():
        return 0.0
    error = (wanted.diffuse - found.diffuse).double().square().mean().item()
    return psnr(error)


def arithmetic(device: torch.device, precision: str) -> AbstractContextManager:
    """The context in which a network runs in `precision` on `device`."""
    return EXACT_FP32 if precision == "fp32" and device.type == "cuda" else contextlib.nullcontext()


class ExactFP32:
    """While any thread is inside, cuDNN convolves float32 exactly; its default is TF32, 10 bits of mantissa.

    The flags are the process's, so that the last thread to leave restores what the first one found.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._flags = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
                self._flags.__enter__()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._flags.__exit__(None, None, None)


EXACT_FP32 = ExactFP32()


def probe_picture(side: int = 128) -> Tensor:
    """(1, 3, side, side) in [0, 1]: coloured gradients, texture and a few burnt-out highlights."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:side, 0:side] / side
    image = np.stack([0.2 + 0.5 * x, 0.6 - 0.4 * y, 0.3 + 0.3 * x * y]) + rng.normal(0, 0.02, (3, side, side))
    for centre_y, centre_x, radius in rng.random((6, 3)) * (1, 1, 0.08):
        image += np.exp(-((y - centre_y) ** 2 + (x - centre_x) ** 2) / (radius**2 + 1e-4))
    return torch.from_numpy(np.clip(image, 0, 1).astype(np.float32))[None]


class Located(Protocol):
    """What the first stage of a network found in a batch; indexed by samples, as a tensor is."""

    def __getitem__(self, samples: Any, /) -> Self: ...


@runtime_checkable
class TwoStageNetwork(Protocol):
    """A network that finds its highlight map first, as `models.aha.AHANet`: where the map is 0 the rest can
    be left out."""

    spec: ModelSpec

    def locate(self, image: Tensor) -> Any:
        """image (B, 3, H, W) in [0, 1] -> `Located`, which the other two methods take."""

    def highlight(self, image: Tensor, located: Any) -> Tensor:
        """A (B, 1, H, W)."""

    def separate(self, image: Tensor, located: Any) -> Separation:
        """All layers."""


class SingleStageAdapter(nn.Module):
    """A network that gives map and layers in one forward, as a TwoStageNetwork."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.spec = network.spec

    def locate(self, image: Tensor) -> Tensor:
        """image (B, 3, H, W) -> (B, specular 3 + highlight 1, H, W)."""
        found = self.network(image)
        return torch.cat([found.specular, found.highlight], dim=1)

    def highlight(self, image: Tensor, located: Tensor) -> Tensor:
        """A (B, 1, H, W)."""
        return located[:, 3:]

    def separate(self, image: Tensor, located: Tensor) -> Separation:
        """The layers that `locate` found, without its stages."""
        return Separation(image - located[:, :3], located[:, :3], located[:, 3:])


def as_two_stage(network: nn.Module) -> TwoStageNetwork:
    """The network itself where it is one, as AHA networks are; else an adapter around it."""
    return network if isinstance(network, TwoStageNetwork) else SingleStageAdapter(network)


COPIES = (1, 2, 4)


@dataclass(frozen=True)
class _LocatedInCopies:
    """What the first stage found in each copy of a batch."""

    copies: list[Located]

    def __getitem__(self, samples: Any) -> "_LocatedInCopies":
        return _LocatedInCopies([one[samples] for one in self.copies])


def check_augmentation(network: nn.Module, copies: int) -> None:
    """Raises UserError for another number than COPIES, and for networks without a highlight map."""
    if copies not in COPIES:
        raise UserError(f"test-time augmentation takes {', '.join(map(str, COPIES))} copies, not {copies}")
    if copies > 1 and not network.spec.has_map:
        raise UserError(f"test-time augmentation needs a highlight map, which {network.spec.name} lacks")


class AugmentedNetwork(nn.Module):
    """Test-time augmentation: only what a network also finds in altered copies of the picture is removed.

    White paint beside strong colours looks like a highlight at one scale or from one side, seldom from all;
    a highlight that the network is sure of does from all. So augmentation trades some of the removal for
    fewer mistakes. The result is the geometric mean over the copies: like the minimum it is zero where one
    copy shows nothing, but where all show a highlight it is not the weakest of them (docs/RESULTS.md has
    both, and the mean).

    copies  2: the picture and its mirror image; 4: both at half the size, too. Time grows 2 and 2.5 times
    """

    def __init__(self, network: nn.Module, copies: int):
        super().__init__()
        self.network = as_two_stage(network)
        self.copies = copies
        self.spec = network.spec

    def forward(self, image: Tensor) -> Separation:
        """image (B, 3, H, W) in [0, 1] -> S and A, the geometric mean over all copies, and D = I - S."""
        return self.separate(image, self.locate(image))

    def locate(self, image: Tensor) -> _LocatedInCopies:
        """What the network's own `locate` gives for each copy."""
        return _LocatedInCopies(in_parts(self.network.locate, self._copies(image)))

    def highlight(self, image: Tensor, located: _LocatedInCopies) -> Tensor:
        """A (B, 1, H, W) of what `locate` gave for the image, at least 0."""
        pairs = zip(self._copies(image), located.copies, strict=True)
        return self._mean(image, [_found(self.network.highlight(copy, one)) for copy, one in pairs])

    def separate(self, image: Tensor, located: _LocatedInCopies) -> Separation:
        """What `forward` gives, from what `locate` gave for the image."""

        def layers(pair: tuple[Tensor, Any]) -> Tensor:
            found = self.network.separate(*pair)
            # At most the picture: one copy's excess must not make up for what another does not show.
            specular = torch.minimum(found.specular, pair[0])
            return _found(torch.cat([specular, found.highlight], dim=1))

        pairs = list(zip(self._copies(image), located.copies, strict=True))
        found = self._mean(image, in_parts(layers, pairs))
        return Separation(image - found[:, :3], found[:, :3], found[:, 3:])

    def _copies(self, image: Tensor) -> list[Tensor]:
        """The picture, its mirror image, and both at half the size."""
        copies = [image]
        if self.copies == 4:
            half = [(side + 1) // 2 for side in image.shape[-2:]]
            copies.append(
                F.interpolate(image, size=half, mode="bilinear", antialias=True, align_corners=False)
            )
        return [turned for copy in copies for turned in (copy, copy.flip(-1))]

    def _mean(self, image: Tensor, layers: list[Tensor]) -> Tensor:
        """Geometric, of layers >= 0 of all copies, (B, C, H, W) each at the size of its copy."""
        sizes = [
            (one * mirrored.flip(-1)).sqrt() for one, mirrored in zip(layers[::2], layers[1::2], strict=True)
        ]
        if len(sizes) == 1:
            return sizes[0]
        enlarged = F.interpolate(sizes[1], size=image.shape[-2:], mode="bilinear", align_corners=False)
        return (sizes[0] * enlarged).sqrt()


def _found(layers: Tensor) -> Tensor:
    """Where the network would add light it found no highlight."""
    return layers.float().clamp_min(0)


class FunctionNetwork(nn.Module):
    """A function from (H, W, 3) float32 in [0, 1] to its diffuse layer of the same shape, as a network.

    It sees whole pictures, and has no map: `highlight` is the largest |specular|.
    """

    def __init__(self, function: Callable[[np.ndarray], np.ndarray]):
        super().__init__()
        self.function = function
        name = getattr(function, "__name__", "function")
        self.spec = ModelSpec(name, {}, multiple=1, has_map=False)
        # Four at once: each holds a whole picture several times over.
        self.defaults = InferenceDefaults(tile=NO_TILES, tiles_at_once=4)

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
    workers            crops at once on the CPU, and cores used; None: the default number of crops, all cores
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
        if isinstance(network, OnnxNetwork):
            self.device = network.choose_device(str(device))
            self.network, self.precision = network.eval(), network.checked_precision(precision)
        else:
            self.device = choose_device(str(device))
            # In one thread of torch, as the network itself: rounding depends on the number of threads.
            with ThreadPoolExecutor(1, "prepare", torch.set_num_threads, (1,)) as one:
                self.network, self.precision = one.submit(prepare, network, self.device, precision).result()
        on_cpu = self.device.type == "cpu"
        self.batch_size = 1 if on_cpu else batch_size
        self.cores = (workers or own_cores()) if on_cpu else 1
        self.workers = (workers or min(self.cores, defaults_of(network).tiles_at_once)) if on_cpu else 1
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
            if network.spec.has_map:
                layers = self._by_its_map(image, [area for _, area in batch], as_two_stage(network), faint)
            else:
                found = network(image)
                layers = torch.cat([found.specular, found.highlight], dim=1).float()
        return list(layers.permute(0, 2, 3, 1).cpu().numpy())

    def _by_its_map(self, image: Tensor, used: list[Area], network: TwoStageNetwork, faint: float) -> Tensor:
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
            specular[some] = network.separate(image[some], located[some]).specular.float()
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
