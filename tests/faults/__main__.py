"""All fault tests, as one table.

python -m tests.faults                          every test in full, with seed 0
python -m tests.faults --seed 7 --share 0.1     a tenth of the cases, others than before
python -m tests.faults --only weight_files
python -m tests.faults --out docs/RELIABILITY.md
"""

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.faults.attempts import Row
from utils.atomic import write_text
from utils.cli import parse, run
from utils.errors import UserError
from utils.markdown import markdown_table
from utils.signals import interruptible

TESTS = {
    "clips": 60,
    "evaluate_runs": 60,
    "infer_runs": 120,
    "long_runs": 200,
    "pictures": 300,
    "training_runs": 250,
    "weight_files": 90,
}
"""Modules of this package, with about how many seconds each takes on one core: the longest begin."""

START, END = "<!-- fault test: start -->", "<!-- fault test: end -->"


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
    """a Markdown page whose table, between two comments, is replaced by this one"""
    json: Path | None = None
    """a file for the rows"""


def main() -> int:
    """Entry point; returns 0, or 1 where a case failed."""
    options = parse(Options, prog="python -m tests.faults", description=__doc__)
    if not 0 < options.share <= 1:
        raise UserError("the share must be above 0 and at most 1")
    unknown = set(options.only) - TESTS.keys()
    if unknown:
        raise UserError(f"no fault test {sorted(unknown)[0]!r}: there are {', '.join(TESTS)}")
    names, jobs = options.only or list(TESTS), options.jobs or os.cpu_count() or 1
    start = time.perf_counter()
    with interruptible():
        found = _side_by_side(names, options, jobs) if len(names) > 1 else _here(names[0], options)
    rows = [row for name in names for row in found[name]]
    minutes = (time.perf_counter() - start) / 60
    where = f"{os.cpu_count()} cores, {min(len(names), jobs)} tests at a time"
    text = report(rows, f"seed {options.seed}, share {options.share:g}: {minutes:.1f} minutes on {where}")
    print(text)
    if options.json is not None:
        write_text(options.json, json.dumps({name: [asdict(row) for row in found[name]] for name in names}))
    if options.out is not None:
        insert(options.out, text)
    return 1 if any(row.failed for row in rows) else 0


def _here(name: str, options: Options) -> dict[str, list[Row]]:
    """The rows of one test."""
    module = importlib.import_module(f"tests.faults.{name}")
    began = time.perf_counter()
    rows = module.run(options.seed, max(1, round(module.COUNT * options.share)))
    print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return {name: rows}


def _side_by_side(names: list[str], options: Options, jobs: int) -> dict[str, list[Row]]:
    """The rows of each test, `jobs` tests at a time, each in a process of its own; the longest begin."""
    waiting = sorted(names, key=TESTS.__getitem__)
    running: dict[str, subprocess.Popen] = {}
    found: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        while waiting or running:
            while waiting and len(running) < jobs:
                name = waiting.pop()
                words = ["--only", name, "--seed", str(options.seed), "--share", str(options.share)]
                words += ["--json", f"{folder}/{name}.json"]
                process = subprocess.Popen(
                    [sys.executable, "-m", "tests.faults", *words],
                    stdout=subprocess.DEVNULL,
                    cwd=Path(__file__).parents[2],
                )
                stack.callback(process.wait)
                stack.callback(process.terminate)
                running[name] = process
            time.sleep(0.2)
            for name in [name for name, process in running.items() if process.poll() is not None]:
                found[name] = _rows(name, Path(folder), running.pop(name).returncode)
    return found


def _rows(name: str, folder: Path, code: int) -> list[Row]:
    """What the process of a test wrote."""
    path = folder / f"{name}.json"
    if not path.exists():
        return [Row(f"python -m tests.faults --only {name}", 1, 1, f"ended with exit code {code}")]
    return [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))[name]]


def report(rows: list[Row], words: str) -> str:
    """A Markdown table with a line for each row, and what was run."""
    table = markdown_table(
        ["what was tried", "tried", "failed", "what happened"],
        [[row.what, row.tried, row.failed, row.outcome] for row in rows],
    )
    failed = sum(row.failed for row in rows)
    tried = sum(row.tried for row in rows)
    return f"{tried} cases, {failed} failed (`python -m tests.faults`, {words}).\n\n{table}"


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
