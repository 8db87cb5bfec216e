"""Methods: parsed from the command line, and what the runner does with each.

input                      the picture as it is
shen2013, yang2010, ...    classical.METHODS
aha:savedmodel/x.safetensors, or a bare path of weights; x.safetensors@4 with test-time augmentation
results:FOLDER             pictures that some program wrote, found by the name of the input
results:FOLDER:PATTERN     the same, named PATTERN, in which {} stands for the name: '{}_out.png', '{}_D'
NAME=METHOD                METHOD under another name in the tables
"""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from evaluation.datasets import Pair, Sample
from restoration import HighlightRemover, Restored
from restoration.methods import INPUT, MethodSpec
from utils.colour import FULL_SCALE, grey_to_rgb
from utils.errors import UserError
from utils.image_files import list_pictures, read_picture

RESULTS = "results:"


@dataclass(frozen=True)
class ResultsSpec:
    """Pictures of another program: their folder, and the pattern of their names (None: see `Results`)."""

    folder: Path
    pattern: str | None = None


@dataclass(frozen=True)
class ScoredMethod:
    """One row of the tables.

    text  the method as the user wrote it, without a display name; kept scores go by it
    spec  what that means
    name  the display name, where one was given
    """

    text: str
    spec: MethodSpec | ResultsSpec
    name: str | None = None

    @classmethod
    def parse(cls, text: str) -> "ScoredMethod":
        """Of a word of the command line. Raises UserError where the pattern of results is none; whether there
        is such a method is for `load` to say."""
        match = re.fullmatch(r"([^/\\:=@]+)=(.+)", text)
        if match and not Path(text).exists():
            return cls(match[2], _meaning(match[2]), match[1].strip())
        return cls(text, _meaning(text))

    @property
    def weights(self) -> Path | None:
        """The file or folder of its weights, where there is one."""
        path = self.spec.weights if isinstance(self.spec, MethodSpec) else None
        return path if path is not None and path.exists() else None

    def weights_hash(self) -> str | None:
        """First 12 hexadecimal digits of the SHA-256 of the weights (of all files of a folder, by name)."""
        path = self.weights
        if path is None:
            return None
        digest = hashlib.sha256()
        for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
            with open(file, "rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()[:12]

    @property
    def short_name(self) -> str:
        """The display name; else the name of the file or folder behind it; else what was written."""
        if self.name is not None:
            return self.name
        if isinstance(self.spec, ResultsSpec):
            return f"{RESULTS}{self.spec.folder.name}"
        return Path(self.text).name if self.weights else self.text


def labels(methods: Sequence[ScoredMethod]) -> dict[str, str]:
    """Short names by text; the whole text where two without a display name would be called alike."""
    short = {method.text: method.short_name for method in methods}
    taken = list(short.values())
    given = {method.text for method in methods if method.name is not None}
    return {
        text: label if text in given or taken.count(label) == 1 else text for text, label in short.items()
    }


def _meaning(text: str) -> MethodSpec | ResultsSpec:
    if not text.startswith(RESULTS):
        return MethodSpec.parse(text)
    rest = text.removeprefix(RESULTS)
    folder, separator, pattern = rest.rpartition(":")
    if not separator or Path(rest).is_dir():
        return ResultsSpec(Path(rest))
    if pattern.count("{}") != 1:
        raise UserError(f"{text}: the pattern {pattern!r} must hold {{}} once, which stands for the name")
    return ResultsSpec(Path(folder), pattern)


class Method(ABC):
    """What the runner asks of a method, in this order: `files` for each pair, `prepare` once if any pair has
    to be computed, then a call for each of those pairs."""

    timed = False
    """whether a computation is measured and its result kept"""

    def prepare(self) -> None:  # noqa: B027 (most have nothing to load)
        """Loads what is needed; raises UserError where that fails."""

    def files(self, pair: Pair) -> dict[str, Path]:
        """Files beside the pair's own that decide the result, by any key; "result" is the result itself."""
        return {}

    @abstractmethod
    def __call__(self, pair: Pair, sample: Sample) -> Restored:
        """Separates the picture of `sample`, which is `pair` in memory; the diffuse layer has its shape and
        type. Raises UserError, or anything, where that fails for this picture."""


class Input(Method):
    """`input`: nothing is removed."""

    def files(self, pair: Pair) -> dict[str, Path]:
        return {"result": pair.input_file}

    def __call__(self, pair: Pair, sample: Sample) -> Restored:
        return Restored(sample.image, np.zeros(sample.image.shape[:2], np.float32))


@dataclass
class Results(Method):
    """`results:FOLDER[:PATTERN]`: pictures on disk.

    Without a pattern a picture is NAME-removed or NAME_removed, or else NAME, where NAME is the name of the
    pair or of its input without suffix.
    """

    folder: Path
    pattern: str | None = None

    def files(self, pair: Pair) -> dict[str, Path]:
        try:
            return {"result": self.find(pair)}
        except UserError:
            return {}

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        """Pictures by path and by name, each with and without its suffix."""
        by_name: dict[str, list[Path]] = {}
        for path in list_pictures(self.folder, recursive=True):
            relative = path.relative_to(self.folder)
            for name in {relative.as_posix(), relative.with_suffix("").as_posix(), path.name, path.stem}:
                by_name.setdefault(name, []).append(path)
        return by_name

    def find(self, pair: Pair) -> Path:
        """The picture of `pair`. Raises UserError where there is none, or more than one."""
        names = dict.fromkeys((pair.name, pair.input_file.stem, pair.name.replace("/", "_")))
        patterns = [self.pattern] if self.pattern else ["{}-removed", "{}_removed", "{}"]
        wanted = [pattern.replace("{}", name) for pattern in patterns for name in names]
        for name in wanted:
            paths = self._by_name.get(name, [])
            if len(paths) > 1:
                raise UserError(f"{self.folder} has several pictures for {pair.name}: {paths[0]}, {paths[1]}")
            if paths:
                return paths[0]
        raise UserError(f"{self.folder} has no picture named {' or '.join(dict.fromkeys(wanted))}")

    def __call__(self, pair: Pair, sample: Sample) -> Restored:
        path = self.find(pair)
        pixels = grey_to_rgb(read_picture(path).pixels)
        if pixels.shape != sample.image.shape:
            raise UserError(
                f"{path} is {pixels.shape[1]}x{pixels.shape[0]} but {pair.input_file} is "
                f"{sample.image.shape[1]}x{sample.image.shape[0]}: results must have the input's size"
            )
        return Restored(pixels, largest_change(sample.image, pixels))


@dataclass
class Remover(Method):
    """Any method of `restoration`; the highlight map is the network's own, or what was removed.

    `output` is the stage that TSHRNet gives ("diffuse" or "tone_corrected").
    """

    spec: MethodSpec
    output: str = "tone_corrected"
    options: dict = field(default_factory=dict)
    timed = True

    def prepare(self) -> None:
        _ = self._remover

    @cached_property
    def _remover(self) -> HighlightRemover:
        remover = HighlightRemover.from_pretrained(self.spec, **{"device": "cpu"} | self.options)
        with suppress(UserError):  # a method with one result
            remover.choose_output(self.output)
        return remover

    def __call__(self, pair: Pair, sample: Sample) -> Restored:
        return self._remover.restore(sample.image)


def largest_change(image: np.ndarray, diffuse: np.ndarray) -> np.ndarray:
    """A highlight map for methods without one: the largest |image - diffuse| of the channels, (H, W) float32
    in [0, 1]."""
    change = np.zeros(image.shape[:2], np.float32)
    white = [np.float32(FULL_SCALE[layer.dtype]) for layer in (image, diffuse)]
    for channel in range(image.shape[2]):  # one at a time: large pictures would take gigabytes
        difference = image[..., channel] / white[0] - diffuse[..., channel] / white[1]
        np.maximum(change, np.abs(difference), out=change)
    return change


def load(method: ScoredMethod, output: str = "tone_corrected", options: dict | None = None) -> Method:
    """The method to run. `options` are of HighlightRemover.from_pretrained, `output` of TSHRNet.

    Raises UserError for a folder of results that is not there.
    """
    if isinstance(method.spec, ResultsSpec):
        if not method.spec.folder.is_dir():
            raise UserError(f"{method.text}: there is no folder {method.spec.folder}")
        return Results(method.spec.folder, method.spec.pattern)
    return Input() if method.spec.name == INPUT else Remover(method.spec, output, options or {})
