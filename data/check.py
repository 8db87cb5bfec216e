"""Verifies a data set before hours are spent on it: `python -m data.check --dataroot SHIQ_tiny`.

Reads every picture of every pair; names each bad file; writes a contact sheet (never into the data set).
Exit code 0 when all is well, 1 when there are bad files, 2 when nothing could be checked.
"""

import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from data.layouts import LayoutName, find
from data.records import Record, partial_layers
from utils.cli import parse, run
from utils.errors import UserError
from utils.image_files import write_rgb
from utils.signals import end_with_parent

if TYPE_CHECKING:
    from data.inspection import PairFacts

SHEET_ROWS = 8
CHUNK = 16  # records handed to a worker at a time


@dataclass
class CheckOptions:
    """Options of `python -m data.check`."""

    dataroot: str
    """folder of the data set"""
    train_dir: str = "train"
    """folder of the training pictures, inside --dataroot"""
    test_dir: str = "test"
    """folder of the test pictures, inside --dataroot"""
    layout: LayoutName = "auto"
    """how the pictures lie on disk (docs/DATASETS.md); auto: found by looking; pairs: by --input_glob and
    --target_glob"""
    input_glob: str = "input/*"
    """layout pairs: the inputs"""
    target_glob: str = "target/*"
    """layout pairs: the diffuse pictures"""
    sixteen_bit: str = "refuse"
    """refuse: 16-bit pictures are bad files, as they are for train.py; scale: they are not"""
    sheet: str = "data_check.png"
    """contact sheet of some pairs: input, diffuse, four times the difference, and what else there is"""
    workers: int = 2
    """processes that read"""


@dataclass
class Report:
    """What the check found in one folder."""

    folder: Path
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: "list[PairFacts]" = field(default_factory=list)
    layers: Counter = field(default_factory=Counter)


def check(options: CheckOptions) -> list[Report]:
    """Checks the folders of a data set and writes the contact sheet; raises UserError where none is there."""
    root = Path(options.dataroot)
    if not root.is_dir():
        raise UserError(f"`dataroot={root}`: there is no such folder")
    if options.sixteen_bit not in ("refuse", "scale"):
        raise UserError(f"`sixteen_bit={options.sixteen_bit}`: choose refuse or scale")
    sheet = Path(options.sheet)
    if root.resolve() in sheet.resolve().parents:
        raise UserError(
            f"`sheet={sheet}` lies in the data set, where nothing is written; choose another folder"
        )
    folders = [root / name for name in (options.train_dir, options.test_dir) if (root / name).is_dir()]
    reports, rows = [], []
    for folder in folders or [root]:
        found = find(folder, options.layout, options.input_glob, options.target_glob)
        report = Report(folder, list(found.problems), list(found.notes))
        report.notes += [
            f"{len(names)} of {len(found.records)} samples have no {layer} layer, such as {names[0]}: "
            "training uses a layer only where all have it"
            for layer, names in partial_layers(found.records).items()
        ]
        report.layers = Counter(key for record in found.records for key in record.files)
        good = _inspect_all(found.records, report, options)
        rows += [good[i] for i in np.linspace(0, len(good) - 1, min(SHEET_ROWS, len(good))).astype(int)]
        reports.append(report)
    if rows:
        from data.inspection import contact_sheet

        write_rgb(sheet, contact_sheet(rows[: 2 * SHEET_ROWS], options.sixteen_bit))
    return reports


def _inspect_all(records: list[Record], report: Report, options: CheckOptions) -> list[Record]:
    from data.inspection import inspect  # torch: not for --help

    good = []
    look = partial(inspect, sixteen_bit=options.sixteen_bit)
    with ProcessPoolExecutor(max(1, options.workers), initializer=end_with_parent) as pool:
        results = pool.map(look, records, chunksize=CHUNK)
        for record, result in zip(
            records, tqdm(results, total=len(records), desc=str(report.folder), disable=None), strict=True
        ):
            if isinstance(result, str):
                report.problems.append(result)
            else:
                good.append(record)
                report.facts.append(result)
    return good


def describe(report: Report) -> str:
    """The report as text."""
    lines = [f"{report.folder}: {len(report.facts)} good pairs, {len(report.problems)} bad files"]
    lines += [f"  bad: {problem}" for problem in report.problems]
    lines += [f"  note: {note}" for note in report.notes]
    if not report.facts:
        return "\n".join(lines)
    lines.append("  layers: " + ", ".join(f"{key} {count}" for key, count in sorted(report.layers.items())))
    sizes = Counter(fact.size for fact in report.facts)
    common = ", ".join(f"{w}x{h} ({n})" for (w, h), n in sizes.most_common(5))
    lines.append(f"  sizes: {common}" + (f" and {len(sizes) - 5} more" if len(sizes) > 5 else ""))
    for name, text in (
        ("untouched", "pixels where input and diffuse are equal"),
        ("darker", "pixels where the input is darker than the diffuse picture by more than 2 levels"),
        ("achromatic", "unsaturated pixels whose difference is equal in R, G, B within 1 level"),
    ):
        values = np.array([getattr(fact, name) for fact in report.facts])
        low, high = np.percentile(values, [5, 95])
        lines.append(
            f"  {text}: {values.mean():.1%} (5th to 95th percentile of pictures {low:.1%} to {high:.1%})"
        )
    lines.append(
        f"  PSNR of the input: {np.mean([fact.psnr for fact in report.facts]):.2f} dB, mean over pictures"
    )
    odd = [fact for fact in report.facts if fact.suspicious]
    lines += [f"  suspicious: {fact.name}: {fact.suspicious}" for fact in odd]
    return "\n".join(lines)


def main() -> int:
    options = parse(CheckOptions, prog="python -m data.check", description=__doc__)
    reports = check(options)
    for report in reports:
        print(describe(report))
    if any(report.facts for report in reports):
        print(f"contact sheet: {options.sheet}")
    return 1 if any(report.problems for report in reports) else 0


if __name__ == "__main__":
    sys.exit(run(main))
