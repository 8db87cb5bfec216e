"""HighlightRemover: a network or a classical method, applied to pictures of any size, depth and kind."""

import difflib
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby
from typing import Any, Literal, Self, TypeAlias, overload

import numpy as np
import torch
from torch import nn

from restoration.composition import Restored, Strip, check_strength, subtract_layers
from restoration.defaults import defaults_of
from restoration.methods import Method, MethodSpec, find_method, push_network, save_network
from restoration.pictures import AnyPicture, check_picture, restore_pictures
from restoration.released_protocol import restore_as_released
from restoration.separator import AugmentedNetwork, FunctionNetwork, Separator, check_augmentation
from restoration.tiling import Tile, TileSize, blend, check_tile_memory, is_out_of_memory, smaller_tiles
from restoration.working_scale import STRIP_ROWS, Separate, brightened, exposure_gain, separate_at
from utils.colour import FULL_SCALE
from utils.errors import UserError
from weights.backends import choose_output

PROTOCOLS = ("native", "released")
Progress: TypeAlias = Callable[[int, int], None]


class HighlightRemover:
    """Takes a picture, gives it back without highlights.

    A picture is cut into overlapping tiles (restoration/tiling.py), each is separated (separator.py), the
    layers are blended to strips of the picture, and the result is composed from them in the picture's own
    numbers (composition.py).

    method        a network (`models.build_model`, `weights.model_files.load_model`) or a function from
                  (H, W, 3) float32 in [0, 1] to its diffuse layer of the same shape (`classical.METHODS`)
    device        "auto", "cpu", "cuda", "cuda:1", "mps"
    precision     "fp32", "bf16", "fp16", or "auto": bf16 where the device computes in it and a probe picture
                  proves it close, else fp32 (separator.py)
    tile          side in pixels up to which a picture goes in whole; None: the network's own, 0: no tiles.
                  Functions always see the whole picture
    tile_overlap  pixels shared by neighbouring tiles; None: a quarter of the tile
    protocol      "native": own resolution, untouched pixels stay bit for bit. "released": the authors'
                  arithmetic (square of 224 or 448, composite there, resize back, truncate to 8 bits)
    batch_size    tiles or same-sized pictures in one forward on an accelerator
    test_time_augmentation
                  2 or 4: only what is found in as many copies of the picture is removed
                  (separator.py); 1: all that is found; None: the
                  network's own (restoration/defaults.py; with "released" always 1)
    working_size  longer side in pixels to which larger pictures are reduced for the network
                  (restoration/working_scale.py); None: the network's own, where it has one;
                  0: full size. Nothing is reduced with "released", nor for functions
    exposure      what a picture is multiplied by for the network, >= 1; its layers are divided by it again
                  (working_scale.py). None: what brings dark pictures to the network's own
                  target brightness; 1: nothing. Always 1 with "released"
    strength      k in [0, MAX_STRENGTH]: D = I - k S, kept within [0, I] unless k is 1
    workers       tiles at once on the CPU, and the cores that they use; None: all cores, but no more tiles
                  than the network's default, which bounds memory
    skip_tiles    where the highlight map of a tile can change no pixel the rest of the network is left out;
                  the result is the same

    A copy of the network is prepared for inference: later changes of its weights have no effect. Raises
    UserError for options that do not fit the method or the machine. Thread-safe. Its threads end with
    `close`, at the end of a `with` block, or when it is collected.
    """

    def __init__(
        self,
        method: Method,
        *,
        device: str | torch.device = "cpu",
        precision: str = "auto",
        tile: int | None = None,
        tile_overlap: int | None = None,
        protocol: Literal["native", "released"] = "native",
        batch_size: int = 1,
        test_time_augmentation: int | None = None,
        working_size: int | None = None,
        exposure: float | None = None,
        strength: float = 1.0,
        workers: int | None = None,
        skip_tiles: bool = True,
    ):
        self._options = {name: value for name, value in locals().items() if name in _option_names()}
        if protocol not in PROTOCOLS:
            raise UserError(f"no protocol {protocol!r}: choose {' or '.join(PROTOCOLS)}")
        self.network = method if isinstance(method, nn.Module) else FunctionNetwork(method)
        self.defaults = defaults_of(self.network)
        copies = test_time_augmentation
        if copies is None:
            copies = 1 if protocol == "released" else self.defaults.tta_copies
        check_augmentation(self.network, copies)
        if working_size is not None and working_size < 0:
            raise UserError(f"a working size is a number of pixels, or 0 for full size, not {working_size}")
        if exposure is not None and not 1 <= exposure < float("inf"):
            raise UserError(f"the exposure must be a factor of at least 1, not {exposure}")
        check_strength(strength, protocol)
        self.protocol = protocol
        self.tta_copies = copies
        self.working_size = self.defaults.working_size if working_size is None else working_size
        self.exposure = exposure
        self.strength = strength
        self.tile = TileSize.choose(self.defaults, self.network.spec.multiple, tile, tile_overlap)
        self.separator = Separator(
            self.network,
            device=device,
            precision=precision,
            batch_size=batch_size,
            workers=workers,
            skip_tiles=skip_tiles,
        )
        prepared = self.separator.network
        self.inference_network = AugmentedNetwork(prepared, copies) if copies > 1 else prepared
        self.weights: str | None = None
        """the file or repository that the weights came from, where `from_pretrained` read them"""

    @property
    def device(self) -> torch.device:
        """What the network runs on."""
        return self.separator.device

    def __repr__(self) -> str:
        weights = f", weights {self.weights}" if self.weights else ""
        return f"{type(self).__name__}({self.network.spec.name}{weights}, {self.separator.described})"

    def __reduce__(self) -> tuple:
        """For pools of processes: the network and the options, from which the copy is prepared anew."""
        return _rebuild, (type(self), self.network, self._options, self.weights)

    @classmethod
    def from_pretrained(
        cls,
        name: MethodSpec | str | os.PathLike,
        *,
        device: str | torch.device = "auto",
        output: Literal["diffuse", "tone_corrected"] | None = None,
        backend: Literal["torch", "onnxruntime"] | None = None,
        revision: str | None = None,
        token: str | None = None,
        **options: Any,
    ) -> Self:
        """A remover with trained weights, or of a classical method.

        name             "aha-lite", the shipped network; "shen2013" or another classical method; "input",
                         which removes nothing; a weight file or run folder, or NETWORK:PATH of one; a file of
                         export.py, NAME.onnx; a folder of `save_pretrained`; "OWNER/NAME" of the Hugging
                         Face Hub. "@2" behind a name or path asks for test-time augmentation
        output           which stage of TSHRNet is the result
        backend          what runs a network: "torch", or "onnxruntime", for which other weights than an ONNX
                         file are exported when first used; None: as the file is
        revision, token  of the repository on the Hub: branch, tag or commit; the right to read a private one
        options          as of the class

        Raises UserError where there is no such method and for weights that cannot be read or downloaded,
        TypeError for an option that does not exist.
        """
        for option in options.keys() - _option_names():
            similar = difflib.get_close_matches(
                option, [*_option_names(), "output", "backend", "revision"], n=1
            )
            hint = f"did you mean {similar[0]}?" if similar else f"there are {', '.join(_option_names())}"
            raise TypeError(f"HighlightRemover has no option {option!r}: {hint}")
        spec = name if isinstance(name, MethodSpec) else MethodSpec.parse(os.fspath(name))
        if spec.test_time_augmentation is not None:
            options["test_time_augmentation"] = spec.test_time_augmentation
        method = find_method(name, output=output, backend=backend, revision=revision, token=token)
        remover = cls(method, device=device, **options)
        if isinstance(method, nn.Module):
            remover.weights = os.fspath(spec.weights or spec.name or "")
        return remover

    def save_pretrained(self, folder: str | os.PathLike, card: str | os.PathLike | None = None) -> None:
        """Writes `model.safetensors` and a model card, README.md, into a folder; `card`: the file of one.

        Raises UserError for methods without weights and where the files cannot be written.
        """
        save_network(self.network, folder, card)

    def push_to_hub(self, repository: str, **options: Any) -> str:
        """Uploads the same to "OWNER/NAME" of the Hugging Face Hub and returns its URL.

        options  card, private, token, message, as `restoration.methods.push_network` takes them

        Raises UserError where that fails.
        """
        return push_network(self.network, repository, **options)

    @overload
    def __call__(
        self, picture: AnyPicture, progress: Progress | None = None, *, strength: float | None = None
    ) -> Restored: ...

    @overload
    def __call__(
        self,
        picture: list[Any] | tuple[Any, ...],
        progress: Progress | None = None,
        *,
        strength: float | None = None,
    ) -> list[Restored]: ...

    def __call__(
        self,
        picture: AnyPicture | list[Any] | tuple[Any, ...],
        progress: Progress | None = None,
        *,
        strength: float | None = None,
    ) -> Restored | list[Restored]:
        """The picture without highlights, its specular layer and its highlight map, in the picture's type.

        picture   path of a file; its content as bytes, or a file open for reading them; Pillow image;
                  array (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA, of uint8 [0, 255], uint16 [0, 65535]
                  or floats in [0, 1]; alpha is kept. A list or tuple of these gives a list: side by side on
                  the CPU, on an accelerator those of one size together, `batch_size` at a time
        progress  called after each tile, or strip of a reduced picture, with the number done and of all; not
                  of a list
        strength  for this call

        Raises UserError for what is no picture, and as `restore`.
        """
        if isinstance(picture, list | tuple):
            return restore_pictures(
                picture, lambda arrays: self.restore_all(arrays, strength=strength), self.protocol
            )

        def restore(arrays: list[np.ndarray]) -> list[Restored]:
            return [self.restore(array, progress, strength=strength) for array in arrays]

        return restore_pictures([picture], restore, self.protocol)[0]

    def restore(
        self, image: np.ndarray, progress: Progress | None = None, *, strength: float | None = None
    ) -> Restored:
        """The picture without highlights and its highlight map, without what `__call__` does beside.

        image     (H, W) or (H, W, 3) uint8, uint16 or float32 in [0, 1], H, W >= 1
        progress  called after each tile, or strip of a reduced picture, with the number done and of all
        strength  for this call

        Where memory does not suffice, on an accelerator above all, tiles of half the side are tried. Raises
        UserError for what is no picture, for tiles larger than the machine's memory, and where a value of
        the result is not finite.
        """
        check_picture(image)
        strength = self._strength(strength)
        if self.protocol == "released":
            return self.separator.run(restore_as_released, image, self.separator, self.inference_network)
        if self.separator.device.type == "cpu" and not self._reduces(image.shape):
            check_tile_memory(self.tile, self.defaults, image.shape, self.separator.workers)
        size = self.tile
        notes: tuple[str, ...] = ()
        while True:
            try:
                restored = subtract_layers(image, self._separate(image, size, progress, strength), strength)
                return replace(restored, notes=notes)
            except (MemoryError, RuntimeError) as error:
                smaller = smaller_tiles(size, self.defaults, image.shape)
                if smaller is None or not is_out_of_memory(error):
                    raise
                size, notes = smaller, (f"memory was full: cut into tiles of {smaller.side} pixels",)

    def restore_all(self, images: Sequence[np.ndarray], *, strength: float | None = None) -> list[Restored]:
        """The same as `restore` of each image, side by side on the CPU; on an accelerator equal sizes share a
        forward."""
        strength = self._strength(strength)
        at_once = min(len(images), self.separator.workers)
        if at_once > 1 and self.separator.batch_size == 1:
            with ThreadPoolExecutor(at_once, "restore") as pool:
                futures = [pool.submit(self.restore, image, strength=strength) for image in images]
                try:
                    return [future.result() for future in futures]
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        results: dict[int, Restored] = {}

        def kind(index: int) -> tuple:
            return images[index].shape, images[index].dtype.str

        for (shape, _), group in groupby(sorted(range(len(images)), key=kind), key=kind):
            alike = [(index, images[index]) for index in group]
            together = self.protocol == "native" and self.separator.batch_size > 1
            together &= all(self._gain(image) == 1 for _, image in alike)
            if together and max(shape[:2]) <= self.tile.side and not self._reduces(shape):
                for _, image in alike:
                    check_picture(image)
                faint = self._faintest(alike[0][1], strength)
                layers = self.separator((image for _, image in alike), self.inference_network, faint)
                for (index, image), whole in zip(alike, layers, strict=True):
                    results[index] = subtract_layers(image, [(0, shape[0], whole)], strength)
            else:
                for index, image in alike:
                    results[index] = self.restore(image, strength=strength)
        return [results[index] for index in range(len(images))]

    def choose_output(self, name: str) -> None:
        """Which of TSHRNet's stages is the result: "diffuse" or "tone_corrected".

        Raises UserError for networks with one result.
        """
        for network in (self.network, self.separator.network):
            choose_output(network, name)

    def cancel(self) -> None:
        """Makes running and later calls raise CancelledError at the next tile."""
        self.separator.cancel()

    def close(self) -> None:
        """Ends the threads, once they have done what they were given. Later calls raise UserError."""
        self.separator.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _separate(
        self, image: np.ndarray, size: TileSize, progress: Progress | None, strength: float
    ) -> Iterator[Strip]:
        """The layers of the picture, strip by strip from top to bottom."""
        if self._reduces(image.shape):
            # The enlargement fits the layers to the picture, so faint ones count, too. The second pass gains
            # nothing from test-time augmentation (docs/RESULTS.md).
            closer = self._separate_pieces(image, network=self.separator.network)
            strips = separate_at(image, self.working_size, self._separate_pieces(image), closer)
            return strips if progress is None else _counted(strips, image.shape[0], progress)
        rows, columns = (size.spans(length) for length in image.shape[:2])
        used = [Tile(row, column).used for row in rows for column in columns]
        separate = self._separate_pieces(image, faint=self._faintest(image, strength), used=used)

        def run(tiles: Iterable[Tile]) -> Iterator[np.ndarray]:
            layers = separate(tile.cut(image) for tile in tiles)
            for done, of_tile in enumerate(layers, 1):
                if progress is not None:
                    progress(done, len(rows) * len(columns))
                yield of_tile

        return blend(run, rows, columns, channels=4)

    def _separate_pieces(self, image: np.ndarray, **options: Any) -> Separate:
        """The network, with test-time augmentation unless the separator's `options` name another, for pieces
        of this picture."""
        options = {"network": self.inference_network} | options
        return brightened(lambda crops: self.separator(crops, **options), self._gain(image))

    def _gain(self, image: np.ndarray) -> float:
        if self.exposure is not None:
            return self.exposure
        target = self.defaults.target_brightness
        return exposure_gain(image, target) if target else 1.0

    def _strength(self, strength: float | None) -> float:
        if strength is None:
            return self.strength
        check_strength(strength, self.protocol)
        return strength

    def _faintest(self, image: np.ndarray, strength: float) -> float:
        """The highlight map A up to which no pixel of an integer picture changes.

        |S| = A |I - N| <= A: half a level rounds to none. A little less, for the rounding of the products.
        """
        if image.dtype.kind == "f":
            return 0.0
        return 0.499 / FULL_SCALE[image.dtype] / max(strength, 1)

    def _reduces(self, shape: tuple[int, ...]) -> bool:
        return bool(self.working_size) and max(shape[:2]) > self.working_size


def _counted(strips: Iterator[Strip], height: int, progress: Progress) -> Iterator[Strip]:
    """The strips of a picture of so many rows; `progress` is called when the next one is asked for."""
    of_all = -(-height // STRIP_ROWS)
    for done, strip in enumerate(strips, 1):
        yield strip
        progress(done, of_all)


def _option_names() -> list[str]:
    return [
        name
        for name in inspect.signature(HighlightRemover.__init__).parameters
        if name not in ("self", "method")
    ]


def _rebuild(
    kind: type[HighlightRemover], network: nn.Module, options: dict[str, Any], weights: str | None
) -> HighlightRemover:
    """What pickle calls in another process."""
    method = network.function if isinstance(network, FunctionNetwork) else network
    remover = kind(method, **options)
    remover.weights = weights
    return remover
