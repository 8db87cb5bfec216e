"""A short cut of each fault test, and the bounds that they set, on actions that break each of them."""

import os
import time

import numpy as np
import pytest

from tests.faults import files, runs
from tests.faults.attempts import attempt_all, mutate, summary
from utils.errors import UserError


def action(given: str) -> str:
    """Does what its input says."""
    if given == "refuse":
        raise UserError("a.png is damaged")
    if given == "lines":
        raise UserError("a\nb")
    if given == "raise":
        raise KeyError("width")
    if given == "sleep":
        time.sleep(60)
    if given == "exit":
        os._exit(3)
    if given == "allocate":
        bytearray(100 * 2**20)
    return "done"


def test_what_counts_as_a_failure():
    wanted = {
        "work": ("fine", "done"),
        "refuse": ("refused", "a.png is damaged"),
        "lines": ("failed", "no sentence"),
        "raise": ("failed", "KeyError in test_faults.py: 'width'"),
        "exit": ("failed", "its process ended (3)"),
        "allocate": ("failed", "took 100 MiB"),
    }
    outcomes = list(attempt_all(action, wanted, seconds=30, mebibytes=50))
    for (given, (kind, words)), outcome in zip(wanted.items(), outcomes, strict=True):
        assert outcome.kind == kind, given
        assert outcome.detail.startswith(words), given
    row = summary("actions", outcomes)
    assert (row.tried, row.failed) == (6, 4)
    assert "1 fine, 1 refused" in row.outcome


def test_what_takes_too_long_is_ended():
    (slept,) = attempt_all(action, ["sleep"], seconds=0.1, mebibytes=50)
    assert (slept.kind, slept.detail) == ("failed", "not done after 1.2 s")


def test_mutations_are_repeatable_and_bounded():
    content = bytes(range(256)) * 40
    changed = [mutate(content, np.random.default_rng(seed)) for seed in range(100)]
    assert changed == [mutate(content, np.random.default_rng(seed)) for seed in range(100)]
    assert sum(of != content for of in changed) > 85
    assert max(map(len, changed)) <= 2 * len(content) + 64
    for seed in range(200):  # however short the file
        for size in range(4):
            mutate(b"abc"[:size], np.random.default_rng(seed))


def open_more_and_more(folder, count, look):
    held = []
    for number in range(count):
        held.append(open(folder / str(number), "w", encoding="utf-8"))  # noqa: SIM115 (the fault)
        look(number + 1)


def test_files_that_stay_open_are_noticed():
    row = runs.long_run("files", runs.TENTHS, open_more_and_more)
    assert row.failed == 1
    assert "open files by +9" in row.outcome


@pytest.mark.slow
@pytest.mark.parametrize(
    ("test", "count"),
    [(files.pictures, 50), (files.weight_files, 55), (files.clips, 12), (runs.long_runs, 20)],
)
def test_damaged_files_and_long_runs(test, count):
    if test is files.clips:
        pytest.importorskip("av")
    rows = test(seed=3, count=count)
    assert sum(row.tried for row in rows) >= count
    assert test is runs.long_runs or [row for row in rows if row.failed] == []


@pytest.mark.slow
def test_kills_and_what_else_can_happen_to_commands(monkeypatch):
    monkeypatch.setattr(runs, "PICTURES", 6)
    monkeypatch.setattr(runs, "TRAININGS", {"two processes": {"processes": 2, "max_steps": 4}})
    rows = runs.disturbed(seed=0, count=2)
    assert (len(rows), [row for row in rows if row.failed]) == (13, [])
