"""What is scored under which name: the methods of `restoration`, and pictures that other programs made.

input                      the picture as it is
shen2013, yang2010, ...    classical.METHODS
aha:savedmodel/x.safetensors, or a bare path of weights; x.safetensors@4 with test-time augmentation
results:FOLDER             pictures that some program wrote, found by the name of the input
results:FOLDER:PATTERN     the same, named PATTERN, in which {} stands for the name: '{}_out.png', '{}_D'
NAME=METHOD                METHOD under another name in the tables
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from restoration.methods import MethodSpec
from utils.errors import UserError

RESULTS = "results:"


@dataclass(frozen=True)
class ResultsSpec:
    """Pictures of another program: their folder, and how they are named (None: the usual ways)."""

    folder: Path
    pattern: str | None = None


@dataclass(frozen=True)
class ScoredMethod:
    """One row of the tables.

    text  the method as the user wrote it, without a display name; kept scores go by it
    what  what it means
    name  the display name, where one was given
    """

    text: str
    what: MethodSpec | ResultsSpec
    name: str | None = None

    @classmethod
    def parse(cls, text: str) -> "ScoredMethod":
        """Of a word of the command line. Raises UserError where the pattern of results is none; whether there
        is such a method is for `evaluation.adapters.load` to say."""
        match = re.fullmatch(r"([^/\\:=@]+)=(.+)", text)
        if match and not Path(text).exists():
            return cls(match[2], _meaning(match[2]), match[1].strip())
        return cls(text, _meaning(text))

    @property
    def weights(self) -> Path | None:
        """The file or folder of its weights, where there is one."""
        path = self.what.weights if isinstance(self.what, MethodSpec) else None
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
        if isinstance(self.what, ResultsSpec):
            return f"{RESULTS}{self.what.folder.name}"
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
