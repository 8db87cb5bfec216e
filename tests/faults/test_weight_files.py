"""A short cut of the fault test of weight files."""

import pytest

from tests.faults import weight_files


@pytest.mark.slow
def test_damaged_forged_and_foreign_weight_files():
    rows = weight_files.run(seed=11, count=55)
    assert sum(row.tried for row in rows) == 55
    assert len(rows) == 11
    assert [row for row in rows if row.failed] == []
