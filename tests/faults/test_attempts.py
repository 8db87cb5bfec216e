"""The bounds of fault tests, on actions that break each of them."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from tests.faults import __main__ as command
from tests.faults.attempts import Row, attempt_all, summary
from tests.faults.mutations import mutate
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
    if given == "spin":
        start = time.process_time()
        while time.process_time() - start < 0.4:
            pass
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
        "raise": ("failed", "KeyError in test_attempts.py: 'width'"),
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
    assert "first failure: no sentence" in row.outcome


def test_what_takes_too_long_is_ended():
    slept, after, spun = attempt_all(action, ["sleep", "work", "spin"], seconds=0.1, mebibytes=50)
    assert (slept.kind, slept.detail) == ("failed", "not done after 1.2 s")
    assert after.detail in ("done", slept.detail)  # the latter on a machine that is busy with other things
    assert spun.kind == "failed"


def test_mutations_are_repeatable_and_bounded():
    content = bytes(range(256)) * 40
    changed = [mutate(content, np.random.default_rng(seed)) for seed in range(100)]
    assert changed == [mutate(content, np.random.default_rng(seed)) for seed in range(100)]
    assert sum(of != content for of in changed) > 90
    assert max(map(len, changed)) <= 2 * len(content) + 64
    for seed in range(200):  # however short the file
        for size in range(4):
            mutate(b"abc"[:size], np.random.default_rng(seed))


def test_the_page_keeps_what_stands_around_the_table(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{command.START}\nold\n{command.END}\n\nEnd.\n")
    text = command.report([Row("files", 5, 1, "4 fine")], "seed 0")
    command.insert(page, text)
    assert page.read_text().startswith("# Title\n")
    assert page.read_text().endswith("\n\nEnd.\n")
    assert "old" not in page.read_text()
    assert "| files | 5 | 1 | 4 fine |" in page.read_text()
    page.write_text("no place")
    with pytest.raises(UserError, match="no place for the table"):
        command.insert(page, text)


def test_every_module_with_cases_takes_part():
    modules = Path(command.__file__).parent.glob("*.py")
    assert {path.stem for path in modules if "\ndef run(" in path.read_text()} == command.TESTS.keys()
