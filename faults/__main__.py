"""All fault tests, as one table.

python -m faults                          every test in full, with seed 0
python -m faults --seed 7 --share 0.1     a tenth of the cases, others than before
python -m faults --only weight_files
python -m faults --out docs/RELIABILITY.md
"""

import importlib
import pkgutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import faults
from faults.attempts import Row
from utils.atomic import write_text
from utils.cli import parse, run
from utils.errors import UserError
from utils.markdown import markdown_table

START, END = "<!-- fault test: start -->", "<!-- fault test: end -->"


@dataclass
class Options:
    """Options of python -m faults."""

    seed: int = 0
    """of every mutation and every moment: equal seeds try equal cases"""
    share: float = 1.0
    """part of each test's cases, above 0 and at most 1"""
    only: list[str] = field(default_factory=list)
    """tests by name; default: all"""
    out: Path | None = None
    """a Markdown page whose table, between two comments, is replaced by this one"""


def main() -> int:
    """Entry point; returns 0, or 1 where a case failed."""
    options = parse(Options, prog="python -m faults", description=__doc__)
    if not 0 < options.share <= 1:
        raise UserError("the share must be above 0 and at most 1")
    names = tests()
    unknown = set(options.only) - set(names)
    if unknown:
        raise UserError(f"no fault test {sorted(unknown)[0]!r}: there are {', '.join(names)}")
    rows: list[Row] = []
    start = time.perf_counter()
    for name in options.only or names:
        module = importlib.import_module(f"faults.{name}")
        began = time.perf_counter()
        found = module.run(options.seed, max(1, round(module.COUNT * options.share)))
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
        rows += found
    minutes = (time.perf_counter() - start) / 60
    text = report(rows, f"seed {options.seed}, share {options.share:g}, {minutes:.1f} minutes")
    print(text)
    if options.out is not None:
        insert(options.out, text)
    return 1 if any(row.failed for row in rows) else 0


def tests() -> list[str]:
    """Names of the modules of this package that have tests."""
    names = [info.name for info in pkgutil.iter_modules(faults.__path__) if not info.name.startswith("_")]
    return sorted(name for name in names if hasattr(importlib.import_module(f"faults.{name}"), "run"))


def report(rows: list[Row], words: str) -> str:
    """A Markdown table with a line for each row, and what was run."""
    table = markdown_table(
        ["what was tried", "tried", "failed", "what happened"],
        [[row.what, row.tried, row.failed, row.outcome] for row in rows],
    )
    failed = sum(row.failed for row in rows)
    return (
        f"{sum(row.tried for row in rows)} cases, {failed} failed (`python -m faults`, {words}).\n\n{table}"
    )


def insert(page: Path, text: str) -> None:
    """Puts `text` between the two comments of `page`. Raises UserError where it has none."""
    try:
        before, rest = page.read_text(encoding="utf-8").split(START)
        _, after = rest.split(END)
    except (OSError, ValueError) as error:
        raise UserError(f"{page} has no place for the table: {START} and {END}, each once") from error
    write_text(page, f"{before}{START}\n\n{text}\n\n{END}{after}")


if __name__ == "__main__":
    sys.exit(run(main))
