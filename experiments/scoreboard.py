"""One table over all real pairs of a folder: how the shipped weights stand against doing nothing.

    python -m experiments.scoreboard --data ../shared/data
    python -m experiments.scoreboard --data ../shared/data --methods myruns/x/best.safetensors shen2013
    python -m experiments.scoreboard --data ../shared/data --append docs/RESULTS.md

`--data` holds any of shiq, shiq_figures, laboratory, mit_intrinsic, sshr; MIT Intrinsic is scored in sRGB.
"""

import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evaluation.datasets import PairSet, find_pairs
from evaluation.methods import weights_of
from evaluation.runner import Row, Settings, run
from evaluation.statistics import capped
from utils import cli
from utils.atomic import write_text
from utils.errors import UserError

GROUPS = {
    "shiq": {"dataset": "shiq"},
    "shiq_figures": {"dataset": "shiq"},
    "laboratory": {"dataset": "laboratory"},
    "mit_intrinsic": {"dataset": "mit_intrinsic", "transfer": "srgb"},
    "sshr": {"dataset": "sshr", "truth": "tone_corrected"},
}
COLUMNS = (("psnr.whole", 2), ("ssim.whole", 3), ("psnr.highlight", 2), ("psnr.rest", 2))
FAST_CLASSICAL = ("shen2009", "shen2013", "yang2010")


@dataclass
class Options:
    """Options of the scoreboard."""

    data: Path
    """folder with the data sets"""
    methods: list[str] = field(default_factory=list)
    """methods beside `input`; default: savedmodel/*.safetensors and the fast classical ones"""
    workers: int = 0
    """processes; 0 works in this one"""
    per_image: bool = False
    """a line per picture too (PSNR over the whole picture)"""
    append: Path | None = None
    """also append the table to this Markdown file"""


def main(argv: list[str] | None = None) -> int:
    options = cli.parse(
        Options, argv, prog="python -m experiments.scoreboard", description=__doc__.splitlines()[0]
    )
    groups = find_groups(options.data)
    methods = ["input", *(options.methods or default_methods())]
    rows = score_groups(groups, methods, options.workers)
    table = markdown(groups, methods, rows)
    print(table)
    if options.per_image:
        print(per_image(groups, methods, rows))
    if options.append:
        known = options.append.read_text(encoding="utf-8") if options.append.is_file() else ""
        write_text(options.append, f"{known.rstrip()}\n\n{table}\n".lstrip())
    failed = [
        row for group in rows.values() for of_method in group.values() for row in of_method if row.error
    ]
    for row in failed:
        print(f"{row.method} failed on {row.name}: {row.error}", file=sys.stderr)
    return 1 if failed else 0


def find_groups(data: Path) -> dict[str, PairSet]:
    """The data sets that `data` holds, by folder name."""
    groups = {name: find_pairs(data / name, **how) for name, how in GROUPS.items() if (data / name).is_dir()}
    if not groups:
        raise UserError(f"--data {data} has none of the folders {', '.join(GROUPS)}")
    return groups


def default_methods() -> list[str]:
    """Shipped weights, then the classical methods that need no more than a second a picture."""
    saved = Path(__file__).parent.parent / "savedmodel"
    return [*map(str, sorted(saved.glob("*.safetensors"))), *FAST_CLASSICAL]


def score_groups(
    groups: dict[str, PairSet], methods: list[str], workers: int = 0
) -> dict[str, dict[str, list[Row]]]:
    """Rows by data set and method."""
    with tempfile.TemporaryDirectory() as scratch:
        return {
            name: run(
                group.pairs,
                methods,
                Settings(metrics=("psnr", "ssim"), mask_results=group.masks_results),
                Path(scratch, name),
                workers=workers,
            )
            for name, group in groups.items()
        }


def markdown(groups: dict[str, PairSet], methods: list[str], rows: dict) -> str:
    """Rows are methods; a column a data set: means of PSNR / SSIM / highlight PSNR / rest PSNR."""
    head = ["method", *(f"{name} ({len(group.pairs)})" for name, group in groups.items())]
    lines = [head]
    lines += [
        [Path(spec).name if weights_of(spec) else spec, *(_cell(rows[name][spec]) for name in groups)]
        for spec in methods
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    caption = (
        "PSNR / SSIM / highlight PSNR / rest PSNR: means over the pairs (n) of each set; PSNR in dB and SSIM "
        "(11x11 Gaussian) of the whole picture, then PSNR inside and outside the highlight region (T, or "
        "two-pass Otsu of S or A - D). Original size, results rounded to the files' bit depth; MIT Intrinsic "
        "in sRGB values; SSHR against its tone-corrected truth."
    )
    return "\n".join([*text, "", caption])


def per_image(groups: dict[str, PairSet], methods: list[str], rows: dict) -> str:
    """PSNR of the whole picture, a line a picture, a column a method."""
    lines = []
    for name, group in groups.items():
        for i, pair in enumerate(group.pairs):
            values = [rows[name][spec][i].values.get("psnr.whole") for spec in methods]
            lines.append(
                f"{name}/{pair.name}: " + "  ".join("n/a" if v is None else f"{v:.2f}" for v in values)
            )
    return "\n".join(lines)


def _cell(rows: list[Row]) -> str:
    parts = []
    for key, decimals in COLUMNS:
        values = np.array([row.values[key] for row in rows if row.values.get(key) is not None])
        average = capped(values).mean() if values.size else None
        parts.append("n/a" if average is None else f"{average:.{decimals}f}")
    return " / ".join(parts)


if __name__ == "__main__":
    sys.exit(cli.run(main))
