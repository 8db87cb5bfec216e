"""A short cut of the fault test of infer.py."""

import pytest

from tests.faults import infer_runs


@pytest.mark.slow
def test_a_kill_of_infer_and_what_else_can_happen(monkeypatch):
    monkeypatch.setattr(infer_runs, "PICTURES", 5)
    rows = infer_runs.run(seed=0, count=1)
    assert [row.tried for row in rows] == [1] * 6
    assert [row.failed for row in rows] == [0] * 6, [row.outcome for row in rows]
