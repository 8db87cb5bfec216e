"""A short cut of the fault test of evaluate.py."""

import pytest

from tests.faults import evaluate_runs


@pytest.mark.slow
def test_a_kill_of_evaluate_and_what_else_can_happen(monkeypatch):
    monkeypatch.setattr(evaluate_runs, "PAIRS", 6)
    rows = evaluate_runs.run(seed=0, count=1)
    assert [row.tried for row in rows] == [1, 1, 1, 1]
    assert [row.failed for row in rows] == [0] * 4, [row.outcome for row in rows]
