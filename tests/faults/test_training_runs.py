"""A short cut of the kills of train.py."""

import pytest

from tests.faults import training_runs


@pytest.mark.slow
def test_a_killed_training_ends_as_one_that_nobody_touched(monkeypatch):
    monkeypatch.setattr(training_runs, "CONFIGURATIONS", {"two processes": {"processes": 2, "max_steps": 4}})
    rows = training_runs.run(seed=1, count=2)
    assert [row.tried for row in rows] == [2, 1, 1]
    assert [row.failed for row in rows] == [0, 0, 0], [row.outcome for row in rows]


@pytest.mark.slow
def test_another_end_is_noticed(monkeypatch):
    monkeypatch.setattr(training_runs, "CONFIGURATIONS", {"one process": {"max_steps": 2}})

    def differs(*_):
        raise AssertionError("/networks/model")

    monkeypatch.setattr(training_runs, "assert_same_run", differs)
    row, *_ = training_runs.run(seed=1, count=1)
    assert row.failed >= 1
    assert "another end: /networks/model" in row.outcome
