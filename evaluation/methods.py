"""Methods by name: "input", a classical one, a network with weights, or another program's pictures.

input                      the picture as it is
shen2013, yang2010, ...    classical.METHODS
aha:savedmodel/x.safetensors, or a bare path of weights
x.safetensors@4            the same with test-time augmentation by 4 copies (or @1, @2)
results:FOLDER             pictures that some program wrote, found by the name of the input
"""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from evaluation.datasets import Pair, Sample, to_unit
from restoration import HighlightRemover, load_method
from restoration.methods import MethodSpec
from utils.errors import UserError
from utils.image_files import list_pictures, read_picture

RESULTS = "results:"
SOURCE_ROOMS = ("classical", "evaluation", "models", "restoration")


@dataclass(frozen=True)
class Output:
    """A method's answer: diffuse layer (H, W, 3) in the type of the input, highlight map (H, W) in [0, 1]."""

    diffuse: np.ndarray
    highlight: np.ndarray


class Method(Protocol):
    """What the runner asks of a method. `timed` is False where no computation is measured or kept."""

    timed: bool

    def prepare(self) -> None:
        """Loads what is needed; raises UserError where that fails."""

    def files(self, pair: Pair) -> dict[str, Path]:
        """Files beside the pair's own that decide the result; "result" is the result itself."""

    def __call__(self, pair: Pair, sample: Sample) -> Output:
        """Separates one picture."""


class Input:
    """`input`: nothing is removed."""

    timed = False

    def prepare(self) -> None:
        pass

    def files(self, pair: Pair) -> dict[str, Path]:
        return {"result": pair.input_file}

    def __call__(self, pair: Pair, sample: Sample) -> Output:
        return Output(sample.image, np.zeros(sample.image.shape[:2]))


@dataclass
class Results:
    """`results:FOLDER`: the picture named (without suffix) like the input or the pair, or NAME-removed."""

    folder: Path
    timed = False

    def prepare(self) -> None:
        pass

    def files(self, pair: Pair) -> dict[str, Path]:
        try:
            return {"result": self.find(pair)}
        except UserError:
            return {}

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        by_name: dict[str, list[Path]] = {}
        for path in list_pictures(self.folder, recursive=True):
            relative = path.relative_to(self.folder).with_suffix("").as_posix()
            for name in {relative, path.stem}:
                by_name.setdefault(name, []).append(path)
        return by_name

    def find(self, pair: Pair) -> Path:
        """The picture of `pair`. Raises UserError where there is none, or more than one."""
        stems = dict.fromkeys((pair.name, pair.input_file.stem, pair.name.replace("/", "_")))
        for name in [stem + suffix for suffix in ("", "-removed", "_removed") for stem in stems]:
            paths = self._by_name.get(name, [])
            if len(paths) > 1:
                raise UserError(f"{self.folder} has several pictures for {pair.name}: {paths[0]}, {paths[1]}")
            if paths:
                return paths[0]
        raise UserError(f"{self.folder} has no picture named {' or '.join(stems)} (or NAME-removed)")

    def __call__(self, pair: Pair, sample: Sample) -> Output:
        path = self.find(pair)
        pixels = read_picture(path).pixels
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[..., None], 3, axis=2)
        if pixels.shape != sample.image.shape:
            raise UserError(
                f"{path} is {pixels.shape[1]}x{pixels.shape[0]} but {pair.input_file} is "
                f"{sample.image.shape[1]}x{sample.image.shape[0]}: results must have the input's size"
            )
        return Output(pixels, removed(sample.image, pixels))


@dataclass
class Remover:
    """Any method of `restoration`; the highlight map is the network's own, or what was removed.

    `output` is the stage that TSHRNet gives ("diffuse" or "tone_corrected").
    """

    spec: str
    output: str = "tone_corrected"
    options: dict = field(default_factory=dict)
    timed = True

    def prepare(self) -> None:
        _ = self._remover

    def files(self, pair: Pair) -> dict[str, Path]:
        return {}

    @cached_property
    def _remover(self) -> HighlightRemover:
        remover = load_method(self.spec, **self.options)
        if hasattr(remover.network, "output"):
            remover.network.output = self.output
        return remover

    def __call__(self, pair: Pair, sample: Sample) -> Output:
        restored = self._remover(sample.image)
        return Output(restored.diffuse, np.clip(to_unit(restored.highlight), 0, 1))


def removed(image: np.ndarray, diffuse: np.ndarray) -> np.ndarray:
    """A highlight map for methods without one: the largest |image - diffuse| over the channels, (H, W)."""
    return np.abs(to_unit(image) - to_unit(diffuse)).max(axis=2)


def load(spec: str, output: str = "tone_corrected", options: dict | None = None) -> Method:
    """The method named `spec`. `options` go to restoration.load_method, `output` to TSHRNet."""
    if spec == "input":
        return Input()
    if spec.startswith(RESULTS):
        folder = Path(spec.removeprefix(RESULTS))
        if not folder.is_dir():
            raise UserError(f"--methods {spec}: there is no folder {folder}")
        return Results(folder)
    return Remover(spec, output, options or {})


def weights_of(spec: str) -> Path | None:
    """The file or folder of weights in a method's name, or None."""
    if spec.startswith(RESULTS):
        return None
    path = MethodSpec.parse(spec).weights
    return path if path is not None and path.exists() else None


def weights_hash(spec: str) -> str | None:
    """First 12 hexadecimal digits of the SHA-256 of the weights (of all files of a folder, by name)."""
    path = weights_of(spec)
    if path is None:
        return None
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        with open(file, "rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:12]


def source_hash() -> str:
    """Hash of the code that produces and scores results: cached scores of older code are not taken."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for file in sorted(path for room in SOURCE_ROOMS for path in (root / room).rglob("*.py")):
        digest.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:12]
