"""Trainings in one process, one after the other, leave nothing behind."""

import pytest

from tests.flat import assert_flat
from training.loop import train


@pytest.mark.slow
def test_fifty_trainings_leave_no_thread_and_no_memory(tiny, tmp_path):
    def run(number):
        assert train(tiny(runs_name=str(tmp_path / str(number)), max_steps=2, val_every=2)) == 0

    assert_flat(run)
