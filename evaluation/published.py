"""Figures that others published (published.yaml), with their sources: beside ours, never ranked with it."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

FILE = Path(__file__).with_name("published.yaml")


@dataclass(frozen=True)
class Published:
    """One published row, its figures with the digits that were printed.

    `pictures` and `pictures_ssim` are PSNR in dB and SSIM by picture, `ours` our method of the same row, `n`
    the number of pictures of the mean, where it is stated.
    """

    method: str
    source: str
    protocol: str
    psnr: str | None = None
    ssim: str | None = None
    seconds: str | None = None
    n: str | None = None
    ours: str | None = None
    pictures: dict[str, str] = field(default_factory=dict)
    pictures_ssim: dict[str, str] = field(default_factory=dict)


@cache
def published() -> dict[str, tuple[Published, ...]]:
    """Rows by table: "shiq", "psd", "sshr", "laboratory"."""
    # The base loader keeps numbers as text, and with it a final 0.
    content = yaml.load(FILE.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    sources = content["sources"]
    return {
        table: tuple(
            Published(
                **row
                | {
                    "source": sources[row["source"]]["text"],
                    "protocol": sources[row["source"]]["protocol"],
                }
            )
            for row in rows
        )
        for table, rows in content["tables"].items()
    }


def computable(table: str) -> list[str]:
    """Our methods that compute a published row of `table`, `input` first, each once."""
    return list(dict.fromkeys(["input", *(row.ours for row in published()[table] if row.ours)]))
