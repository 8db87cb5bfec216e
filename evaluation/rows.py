"""A row of scores of one method on one picture, and where results lie on disk."""

import hashlib
import math
import os
import re
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from utils.errors import UserError

LONGEST = 100
"""Letters of a folder's name that come from a method's: file systems take 255 bytes."""


@dataclass
class Row:
    """Scores of one method on one picture; `values`: "psnr.whole", "ber", ... -> a number or None (n/a)."""

    method: str
    name: str
    values: dict[str, float | None] = field(default_factory=dict)
    seconds: float | None = None
    size: tuple[int, int] | None = None
    """height and width in pixels"""
    region: str | None = None
    """where the highlight region came from: "T", "S" or "A-D" """
    clean: bool = False
    """whether the picture has no highlight (its highlight region is empty)"""
    unchanged: bool = False
    """whether another program's result equals the input, although that has a highlight"""
    bits: int | None = None
    """bits a channel of the files"""
    kept: tuple[int, int] | None = None
    """size and time of the kept result"""
    error: str | None = None
    bad_pair: bool = False
    """whether the error is the pair's: no method can be scored on it"""

    def to_json(self) -> dict:
        """Plain JSON values: infinite becomes "inf"."""
        record = asdict(self)
        record["values"] = {key: "inf" if v == math.inf else v for key, v in self.values.items()}
        return record

    @classmethod
    def from_json(cls, record: dict) -> "Row":
        """The inverse of `to_json`. Raises KeyError, TypeError or AttributeError where it is no row."""
        values = shared_names({key: math.inf if v == "inf" else v for key, v in record["values"].items()})
        pairs = {key: record[key] and tuple(record[key]) for key in ("size", "kept")}
        return cls(**record | pairs | {"values": values})


def shared_names(values: dict[str, float | None]) -> dict[str, float | None]:
    """The same values under names that all rows share: all rows of an evaluation are in memory at once, and
    each has some fifty names."""
    return {sys.intern(name): value for name, value in values.items()}


def slug(spec: str) -> str:
    """A folder name for a method: its letters and digits, and a hash where others had to go."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", spec).strip("_.")[-LONGEST:]
    return plain if plain == spec else f"{plain}-{hashlib.sha256(spec.encode()).hexdigest()[:6]}"


def method_folder(out: Path, protocol: str, spec: str) -> Path:
    """Where the results and rows of a method lie."""
    return out / protocol / slug(spec)


def result_path(out: Path, protocol: str, spec: str, name: str) -> Path:
    """The picture that a method makes of the pair `name`. Raises UserError where it would lie elsewhere."""
    folder = method_folder(out, protocol, spec)
    path = folder / f"{name}.png"
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"the pair {name} cannot be written below {folder}: rename its files")
    return path


def stamp(path: Path) -> tuple[int, int]:
    """Size in bytes and time of change in nanoseconds; (0, 0) where there is no file."""
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0)
    return (status.st_size, status.st_mtime_ns)
