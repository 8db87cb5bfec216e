"""evaluate.py killed, with another one in its folder, with its folder gone, and over many pictures.

Whatever happens, the same command again finishes with the table of a run that nobody touched, and leaves no
temporary file.
"""

import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from evaluation.datasets import find_pairs
from evaluation.runner import run as score
from evaluation.settings import EvaluateOptions, Settings
from faults.attempts import Row
from tests.evaluation.shiq_pairs import write
from utils.folder_lock import locked

COUNT = 30
"""Kills; the other rows have a part of it, the long run 2,000 pairs for 30 kills."""

PAIRS = 20
SOAK = 2_000
ALLOWED_GROWTH = 32  # MiB of resident memory between the first tenth of the long run and its end


def run(seed: int, count: int = COUNT) -> list[Row]:
    """A row for each kind of trouble."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["evaluation.report", "classical"])
    rng = random.Random(seed)
    few = max(1, count // 10)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write(place / "data", [f"{number:03d}" for number in range(PAIRS)])
        began = time.monotonic()
        if _ended(_start(context, place, "whole")) != 0:
            return [Row("evaluate.py", 1, 1, "the run that nobody touched failed")]
        seconds = time.monotonic() - began
        return [
            _killed(context, place, rng, seconds, count),
            _shared(context, place, few),
            _vanished(context, place, rng, seconds, few),
            _soak(context, place, max(100, SOAK * count // COUNT)),
        ]


def _killed(context: ForkServerContext, place: Path, rng: random.Random, seconds: float, count: int) -> Row:
    failed, detail = 0, "the same command again: the table of an untouched run, no temporary file"
    for _ in range(count):
        process = _start(context, place, "parts")
        process.join(rng.uniform(0, seconds))
        process.kill()
        process.join()
        problem = _problem(_ended(_start(context, place, "parts")), place)
        if problem:
            failed, detail = failed + 1, problem
        shutil.rmtree(place / "parts", ignore_errors=True)
    return Row("evaluate.py killed (SIGKILL) at a random moment", count, failed, detail)


def _shared(context: ForkServerContext, place: Path, count: int) -> Row:
    failed, detail = 0, "the second one is refused with exit code 2"
    for _ in range(count):
        with locked(place / "parts"):
            code = _ended(_start(context, place, "parts"))
        if code != 2:
            failed, detail = failed + 1, f"the second one ended with exit code {code}"
    return Row("two evaluate.py write into one folder", count, failed, detail)


def _vanished(context: ForkServerContext, place: Path, rng: random.Random, seconds: float, count: int) -> Row:
    failed, detail = 0, "an exit code, and the same command again finishes"
    for _ in range(count):
        process = _start(context, place, "parts")
        time.sleep(rng.uniform(0, seconds))
        shutil.rmtree(place / "parts", ignore_errors=True)
        first = _ended(process)
        problem = _problem(_ended(_start(context, place, "parts")), place)
        if first not in (0, 1, 2) or problem:
            failed, detail = failed + 1, problem or f"ended with exit code {first}"
        shutil.rmtree(place / "parts", ignore_errors=True)
    return Row("the output folder of evaluate.py vanishes midway", count, failed, detail)


def _soak(context: ForkServerContext, place: Path, count: int) -> Row:
    write(place / "many", [f"{number:05d}" for number in range(count)])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_score_many, args=(place, count, sender))
    process.start()
    sender.close()
    try:
        growth, files = receiver.recv()
    except EOFError:
        return Row("evaluate.py over many pairs", count, count, f"ended with exit code {_ended(process)}")
    process.join()
    outcome = f"{growth:+.0f} MiB and {files:+d} open files between the first tenth and the end"
    return Row("evaluate.py over many pairs", count, int(growth > ALLOWED_GROWTH or files > 0), outcome)


def _score_many(place: Path, count: int, sender) -> None:
    pairs = find_pairs(place / "many").pairs
    states = []
    for last in (count // 10, count):
        score(pairs[:last], ["input", "shen2013"], Settings(), place / "many_scores", progress=False)
        status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        resident = next(int(line.split()[1]) / 2**10 for line in status if line.startswith("VmRSS"))
        states.append((resident, len(os.listdir("/proc/self/fd"))))
    sender.send((states[1][0] - states[0][0], states[1][1] - states[0][1]))


def _start(context: ForkServerContext, place: Path, out: str) -> BaseProcess:
    options = EvaluateOptions(place / "data", methods=["shen2013"], out=place / out)
    process = context.Process(target=_work, args=(options,))
    process.start()
    return process


def _work(options: EvaluateOptions) -> None:
    from evaluation.report import evaluate
    from utils.errors import run as ended

    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)
    sys.exit(ended(lambda: evaluate(options)))


def _ended(process: BaseProcess) -> int | None:
    process.join()
    return process.exitcode


def _problem(code: int | None, place: Path) -> str:
    if code != 0:
        return f"the same command again ended with exit code {code}"
    if left := [path.name for path in (place / "parts").rglob(".tmp-*")]:
        return f"left {left[0]}"
    return "" if _means(place / "parts") == _means(place / "whole") else "another table"


def _means(out: Path) -> list:
    content = json.loads((out / "table.json").read_text(encoding="utf-8"))
    return [(method["method"], method["n"], method["means"]) for method in content["methods"]]
