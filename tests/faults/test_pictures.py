"""A short cut of the fault test of picture files."""

import numpy as np
import pytest

from tests.faults import pictures
from tests.faults.attempts import Outcome


@pytest.mark.slow
def test_damaged_pictures_are_read_or_refused():
    rows = pictures.run(seed=3, count=50)
    assert len(rows) > 40
    assert sum(row.tried for row in rows) == 100  # in the last row all go through infer.py again
    assert [row for row in rows if row.failed] == []


def test_memory_beyond_the_allowance_is_a_failure(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(pictures._files()["PNG 8 bits"])
    held = pictures.SPARE_MEBIBYTES
    assert pictures._judged(Outcome("fine", "", 0, held), path).kind == "fine"
    assert pictures._judged(Outcome("fine", "", 0, held + 1), path).kind == "failed"


def test_equal_seeds_try_equal_files():
    kinds = pictures._kinds()
    first, second = ([kind.make(np.random.default_rng(1)) for kind in kinds] for _ in range(2))
    assert first == second
    assert len({kind.what for kind in kinds}) == len(kinds)
