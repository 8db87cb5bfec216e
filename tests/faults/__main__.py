"""All fault tests, as one table: hostile and damaged files, kills and long runs, repeatable by seed.

python -m tests.faults                          every test in full, with seed 0
python -m tests.faults --seed 7 --share 0.1     a tenth of the cases, others than before
python -m tests.faults --only weight_files
"""

import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.faults import files, runs
from tests.faults.attempts import Row
from utils.cli import parse, run
from utils.errors import UserError
from utils.markdown import markdown_table
from utils.signals import interruptible

TESTS = {
    "runs": (runs.disturbed, 30),
    "pictures": (files.pictures, 5000),
    "long_runs": (runs.long_runs, 20_000),
    "weight_files": (files.weight_files, 500),
    "clips": (files.clips, 600),
}
"""The longest first: a function of a seed and a number of cases, and how many there are in full."""


@dataclass
class Options:
    """Options of python -m tests.faults."""

    seed: int = 0
    """of every mutation and every moment: equal seeds try equal cases"""
    share: float = 1.0
    """part of each test's cases, above 0 and at most 1"""
    only: list[str] = field(default_factory=list)
    """tests by name; default: all"""


def main() -> int:
    """Entry point; returns 0, or 1 where a case failed."""
    options = parse(Options, prog="python -m tests.faults", description=__doc__)
    if not 0 < options.share <= 1:
        raise UserError("the share must be above 0 and at most 1")
    if unknown := set(options.only) - set(TESTS):
        raise UserError(f"no fault test {min(unknown)!r}: there are {', '.join(TESTS)}")
    start, context = time.perf_counter(), multiprocessing.get_context("spawn")
    with interruptible(), ProcessPoolExecutor(os.cpu_count(), context, max_tasks_per_child=1) as pool:
        chosen = [TESTS[name] for name in options.only or TESTS]
        share = options.share
        futures = [pool.submit(test, options.seed, max(1, round(share * count))) for test, count in chosen]
        rows: list[Row] = [row for future in futures for row in future.result()]
    tried, failed = sum(row.tried for row in rows), sum(row.failed for row in rows)
    print(f"{tried} cases, {failed} failed, {(time.perf_counter() - start) / 60:.1f} minutes.\n")
    lines = [[row.what, row.tried, row.failed, row.outcome] for row in rows]
    print(markdown_table(["what was tried", "tried", "failed", "what happened"], lines))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run(main))
