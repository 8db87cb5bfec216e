"""All fault tests, as one table: hostile and damaged files, kills and long runs, repeatable by seed.

python -m tests.faults                          every test in full, with seed 0
python -m tests.faults --seed 7 --share 0.1     a tenth of the cases, others than before
python -m tests.faults --only weight_files
"""

import importlib
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.attempts import Row
from utils.atomic import write_text
from utils.cli import parse, run
from utils.errors import UserError
from utils.markdown import markdown_table
from utils.signals import interruptible

TESTS = ("runs", "pictures", "long_runs", "weight_files", "clips")
"""Modules of this package with `run(seed, count) -> list[Row]` and `COUNT`, the longest first."""


@dataclass
class Options:
    """Options of python -m tests.faults."""

    seed: int = 0
    """of every mutation and every moment: equal seeds try equal cases"""
    share: float = 1.0
    """part of each test's cases, above 0 and at most 1"""
    only: list[str] = field(default_factory=list)
    """tests by name; default: all"""
    jobs: int = 0
    """tests side by side, each in a process; default: as many as there are cores"""
    out: Path | None = None
    """a Markdown file for the table"""


def main() -> int:
    """Entry point; returns 0, or 1 where a case failed."""
    options = parse(Options, prog="python -m tests.faults", description=__doc__)
    if not 0 < options.share <= 1:
        raise UserError("the share must be above 0 and at most 1")
    unknown = set(options.only) - set(TESTS)
    if unknown:
        raise UserError(f"no fault test {sorted(unknown)[0]!r}: there are {', '.join(TESTS)}")
    names, jobs = options.only or TESTS, options.jobs or os.cpu_count() or 1
    start = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with interruptible(), ProcessPoolExecutor(jobs, context, max_tasks_per_child=1) as pool:
        futures = [pool.submit(rows_of, name, options.seed, options.share) for name in names]
        rows = [row for future in futures for row in future.result()]
    minutes = (time.perf_counter() - start) / 60
    text = report(rows, f"seed {options.seed}, share {options.share:g}: {minutes:.1f} minutes")
    print(text)
    if options.out is not None:
        write_text(options.out, text + "\n")
    return 1 if any(row.failed for row in rows) else 0


def rows_of(name: str, seed: int, share: float) -> list[Row]:
    """The rows of one test."""
    module = importlib.import_module(f"tests.faults.{name}")
    began = time.perf_counter()
    rows = module.run(seed, max(1, round(module.COUNT * share)))
    print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return rows


def report(rows: list[Row], words: str) -> str:
    """A Markdown table with a line for each row, and what was run."""
    tried, failed = sum(row.tried for row in rows), sum(row.failed for row in rows)
    table = markdown_table(
        ["what was tried", "tried", "failed", "what happened"],
        [[row.what, row.tried, row.failed, row.outcome] for row in rows],
    )
    return f"{tried} cases, {failed} failed (`python -m tests.faults`, {words}).\n\n{table}"


if __name__ == "__main__":
    sys.exit(run(main))
