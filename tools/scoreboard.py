"""One table over all real pairs of a folder: shipped weights compared with the untouched input.

    python -m tools.scoreboard --data ../shared/data
    python -m tools.scoreboard --data ../shared/data --methods myruns/x/best.safetensors shen2013
    python -m tools.scoreboard --data ../shared/data --half choose
    python -m tools.scoreboard --data ../shared/data --append docs/RESULTS.md

`--data` holds any of the folders of GROUPS; MIT Intrinsic is scored in sRGB. tools/halves.json says which
pairs may be looked at to choose weights and constants, and which are scored once a release.
"""

import json
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from evaluation.datasets import PairSet, find_pairs
from evaluation.settings import RemovalOptions, Settings
from evaluation.statistics import capped, mean
from utils import cli
from utils.atomic import write_text
from utils.errors import UserError
from utils.markdown import markdown_table

if TYPE_CHECKING:
    from evaluation.scoring import Row

GROUPS = {
    "shiq": {"dataset": "shiq"},
    "shiq_figures": {"dataset": "shiq"},
    "laboratory": {"dataset": "laboratory"},
    "mit_intrinsic": {"dataset": "mit_intrinsic", "transfer": "srgb"},
    "sshr": {"dataset": "sshr", "compared_layer": "tone_corrected"},
    "books": {"dataset": "shiq"},
    "documents": {"dataset": "shiq"},
    "shiq_small": {"dataset": "shiq"},
    "polarised": {"dataset": "shiq"},
    "metal": {"dataset": "shiq"},
}
HALVES = Path(__file__).with_name("halves.json")
COLUMNS = (("psnr.whole", 2), ("ssim.whole", 3), ("psnr.highlight", 2), ("psnr.rest", 2))
CAPTION = (
    "PSNR / SSIM / highlight PSNR / rest PSNR: means over the pairs (n) of each set; PSNR in dB and SSIM "
    "(11x11 Gaussian) of the whole picture, then PSNR inside and outside the highlight region (T, or one "
    "Otsu pass on S or A - D). Original size, results rounded to the files' bit depth; MIT Intrinsic in sRGB "
    "values; SSHR against its tone-corrected ground truth."
)
SEEN_COLUMNS = (
    ("chroma_error.highlight", 2),
    ("greyer.highlight", 0),
    ("residual.highlight", 0),
    ("chroma_error.clipped", 2),
    ("residual.clipped", 0),
    ("contour.clipped", 0),
)
SEEN_CAPTION = (
    "Chroma error / of it greyer than the surroundings, % / highlight left, % (below 0: too much was taken) "
    "in the highlight region; then chroma error / highlight left, % / contour, % where the input is clipped. "
    "Means over the pairs that have such pixels; docs/EVALUATION.md defines each."
)
GAINS_CAPTION = (
    "PSNR of the result above that of the input, dB: mean over the pairs, its 95 % bootstrap interval over "
    'pictures, and the least; "all" is the mean over pairs, whatever their set.'
)
METRICS = ("psnr", "ssim", "chroma_error", "greyer", "residual", "contour")
FAST_CLASSICAL = ("shen2009", "shen2013", "yang2010")


@dataclass
class Options(RemovalOptions):
    """Options of the scoreboard."""

    data: Path
    """folder with the data sets"""
    methods: list[str] = field(default_factory=list)
    """methods beside the input; default: savedmodel/*.safetensors and the fast classical ones"""
    half: Literal["all", "choose", "score"] = "all"
    """pairs of tools/halves.json: choose: what may choose weights and constants; score: what may not"""
    workers: int = 0
    """number of processes; 0 works in this one"""
    per_image: bool = False
    """also print the PSNR of each picture"""
    append: Path | None = None
    """also append the table to this Markdown file"""


def main(argv: list[str] | None = None) -> int:
    options = cli.parse(Options, argv, prog="python -m tools.scoreboard", description=__doc__.splitlines()[0])
    groups = find_groups(options.data, options.half)
    methods = ["input", *(options.methods or default_methods())]
    settings = Settings(metrics=METRICS, **options.removal)
    rows = score_groups(groups, methods, settings, options.workers)
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


def find_groups(data: Path, half: str = "all") -> dict[str, PairSet]:
    """The data sets that `data` holds, by folder name; of each one half ("choose", "score") or all pairs.

    Raises UserError where there are none.
    """
    groups = {name: find_pairs(data / name, **how) for name, how in GROUPS.items() if (data / name).is_dir()}
    if half != "all":
        wanted = json.loads(HALVES.read_text(encoding="utf-8"))[half]
        groups = {
            name: replace(group, pairs=[p for p in group.pairs if {p.name, "*"} & set(wanted.get(name, []))])
            for name, group in groups.items()
        }
        groups = {name: group for name, group in groups.items() if group.pairs}
    if not groups:
        raise UserError(f"`data={data}` has no pairs of the folders {', '.join(GROUPS)} in the half {half!r}")
    return groups


def default_methods() -> list[str]:
    """Shipped weights, then the classical methods that need no more than a second a picture."""
    saved = Path(__file__).parent.parent / "savedmodel"
    return [*map(str, sorted(saved.glob("*.safetensors"))), *FAST_CLASSICAL]


def score_groups(
    groups: dict[str, PairSet], methods: list[str], settings: Settings, workers: int = 0
) -> "dict[str, dict[str, list[Row]]]":
    """Rows by data set and method."""
    from evaluation.methods import ScoredMethod  # imports torch, for which --help should not wait
    from evaluation.runner import run

    with tempfile.TemporaryDirectory() as scratch:
        return {
            name: run(
                group.pairs,
                [ScoredMethod.parse(text) for text in methods],
                replace(settings, mask_results=group.masks_results),
                Path(scratch, name),
                workers=workers,
            )
            for name, group in groups.items()
        }


def markdown(groups: dict[str, PairSet], methods: list[str], rows: dict) -> str:
    """Two tables of means, a row per method and a column per data set: PSNR and SSIM, perceptual measures."""
    head = ["method", *(f"{name} ({len(group.pairs)})" for name, group in groups.items())]
    tables = [
        markdown_table(
            head,
            [[_label(spec), *(_cell(rows[name][spec], columns) for name in groups)] for spec in methods],
            aligned=True,
        )
        for columns in (COLUMNS, SEEN_COLUMNS)
    ]
    return "\n\n".join([tables[0], CAPTION, tables[1], SEEN_CAPTION, gains(methods, rows), GAINS_CAPTION])


def gains(methods: list[str], rows: dict) -> str:
    """A row per method, a column per data set and one over all pairs: gain over the first method."""
    reference, others = methods[0], methods[1:]

    def values(name: str, spec: str) -> np.ndarray:
        found = [[row.values.get("psnr.whole") for row in rows[name][of]] for of in (spec, reference)]
        return np.subtract(*(capped(np.array(column, dtype=np.float64)) for column in found))

    def cell(of_set: np.ndarray) -> str:
        m = mean(of_set)
        if m is None:
            return "n/a"
        interval = "" if m.low is None else f" [{m.low:+.1f}, {m.high:+.1f}]"
        return f"{m.value:+.2f}{interval} ({np.nanmin(of_set):+.1f})"

    table = []
    for spec in others:
        sets = [values(name, spec) for name in rows]
        table.append([_label(spec), *map(cell, sets), cell(np.concatenate(sets))])
    return markdown_table(["method", *rows, "all"], table, aligned=True)


def per_image(groups: dict[str, PairSet], methods: list[str], rows: dict) -> str:
    """PSNR of the whole picture, a line per picture, a column per method."""
    lines = []
    for name, group in groups.items():
        for i, pair in enumerate(group.pairs):
            values = [rows[name][spec][i].values.get("psnr.whole") for spec in methods]
            lines.append(
                f"{name}/{pair.name}: " + "  ".join("n/a" if v is None else f"{v:.2f}" for v in values)
            )
    return "\n".join(lines)


def _label(spec: str) -> str:
    from evaluation.methods import ScoredMethod

    return ScoredMethod.parse(spec).short_name


def _cell(rows: "list[Row]", columns: tuple[tuple[str, int], ...]) -> str:
    parts = []
    for key, decimals in columns:
        values = np.array([row.values[key] for row in rows if row.values.get(key) is not None])
        average = (capped(values) if key.startswith("psnr") else values).mean() if values.size else None
        parts.append("n/a" if average is None else f"{average:.{decimals}f}")
    return " / ".join(parts)


if __name__ == "__main__":
    sys.exit(cli.run(main))
