"""evaluate.py killed, with another one in its folder, and with its folder gone.

Whatever happens, the same command again finishes with the table of a run that nobody touched, and leaves no
temporary file.
"""

import json
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from evaluation.settings import EvaluateOptions
from tests.evaluation.shiq_pairs import write
from tests.faults.attempts import Row, scratch
from tests.faults.killing import Command, Kill, commands, measured
from utils.folder_lock import locked

COUNT = 30
"""Kills; the other rows have a part of it."""

PAIRS = 20


def run(seed: int, count: int = COUNT) -> list[Row]:
    """A row for each kind of trouble."""
    few = max(1, count // 5)
    with (
        scratch() as folder,
        commands("tests.faults.evaluate_runs", "evaluation.report", "classical") as start,
    ):
        write(folder / "data", [f"{number:03d}" for number in range(PAIRS)])
        runs = _Runs(start, folder, random.Random(seed))
        return [runs.killed(count), runs.shared(few), runs.vanished(few), runs.without_room(few)]


def evaluate(options: EvaluateOptions) -> int:
    """Body of a process; returns its exit code."""
    from evaluation.report import evaluate

    return evaluate(options)


class _Runs:
    """Attempts in one folder."""

    def __init__(self, start: Callable[..., Command], folder: Path, rng: random.Random):
        self.start, self.rng = start, rng
        self.folder, self.parts, self.said = folder, folder / "parts", folder / "said"
        usual = measured(start, self._main("whole"), folder / "whole")
        assert usual is not None, "the run that nobody touched failed"
        self.usual = usual

    def killed(self, count: int) -> Row:
        problems, kills = [], 0
        while kills < count:
            command = self._begin(self.usual.kill(kills, self.rng))
            if command.killed(self.rng):
                kills += 1
                if not command.orphans_end():
                    problems.append("processes of a killed run went on")
                command = self._begin()
            problems += self._problems(command.wait())
            shutil.rmtree(self.parts, ignore_errors=True)
        outcome = "the same command again: the table of an untouched run, no temporary file"
        return _row("evaluate.py killed (SIGKILL)", count, problems, outcome)

    def shared(self, count: int) -> Row:
        codes = []
        for _ in range(count):
            with locked(self.parts):
                codes.append(self._begin().wait())
        problems = [f"the second one ended with exit code {code}" for code in codes if code != 2]
        what, outcome = "two evaluate.py write into one folder", "the second one is refused with exit code 2"
        return _row(what, count, problems, outcome)

    def vanished(self, count: int) -> Row:
        problems = []
        for _ in range(count):
            command = self._begin()
            command.processes[0].join(self.rng.uniform(0, self.usual.seconds))
            shutil.rmtree(self.parts, ignore_errors=True)
            code = command.wait()
            if code not in (0, 1, 2):
                problems.append("it hung" if code is None else f"ended with exit code {code}")
            if "Traceback" in (said := self.said.read_text(encoding="utf-8")):
                problems.append(said[-300:].replace("\n", " "))
            problems += self._problems(self._begin().wait())
            shutil.rmtree(self.parts, ignore_errors=True)
        outcome = "an exit code, and the same command again finishes"
        return _row("the output folder of evaluate.py vanishes midway", count, problems, outcome)

    def without_room(self, count: int) -> Row:
        problems = []
        for _ in range(count):
            code = self._begin(room=self.rng.randint(100, 1500)).wait()  # the scores have more
            if code != 1:
                problems.append("it hung" if code is None else f"ended with exit code {code}")
            problems += self._problems(self._begin().wait())
            shutil.rmtree(self.parts, ignore_errors=True)
        outcome = "exit code 1, and with room again the table of an untouched run"
        return _row("evaluate.py: files that may not grow, as on a full disk", count, problems, outcome)

    def _main(self, out: str) -> Callable[[], int]:
        options = EvaluateOptions(self.folder / "data", methods=["shen2013"], out=self.folder / out)
        return partial(evaluate, options)

    def _begin(self, kill: Kill | None = None, room: int = 0) -> Command:
        output = None if room else self.said
        return self.start(self._main("parts"), folder=self.parts, kill=kill, output=output, room=room)

    def _problems(self, code: int | None) -> list[str]:
        if code != 0:
            return [f"the same command again {'hung' if code is None else f'ended with exit code {code}'}"]
        if left := [path.name for path in self.parts.rglob(".tmp-*")]:
            return [f"left {left[0]}"]
        same = _means(self.parts) == _means(self.folder / "whole")
        return [] if same else ["another table"]


def _row(what: str, count: int, problems: list[str], outcome: str) -> Row:
    return Row(what, count, len(problems), f"first failure: {problems[0]}" if problems else outcome)


def _means(out: Path) -> list:
    content = json.loads((out / "table.json").read_text(encoding="utf-8"))
    return [(method["method"], method["n"], method["means"]) for method in content["methods"]]
