"""A short cut of the long runs."""

import pytest

from tests.faults import long_runs


def open_more_and_more(folder, count, connection):
    held = []
    for number in range(long_runs.TENTHS):
        held.append(open(folder / str(number), "w", encoding="utf-8"))  # noqa: SIM115 (the fault)
        long_runs.look(connection, number + 1)


def stop_half_way(folder, count, connection):
    long_runs.look(connection, 1)


def test_files_that_stay_open_are_noticed():
    row = long_runs._row("files", long_runs.TENTHS, open_more_and_more)
    assert row.failed == 1
    assert "open files by +9" in row.outcome


def test_an_early_end_is_noticed():
    row = long_runs._row("half", long_runs.TENTHS, stop_half_way)
    assert (row.failed, row.outcome) == (1, "ended after 1")


@pytest.mark.slow
def test_a_short_cut_of_each():
    rows = long_runs.run(seed=0, count=20)
    assert [row.tried for row in rows] == [20, 10, 10]
    assert all("after the first tenth memory grew" in row.outcome for row in rows), rows
