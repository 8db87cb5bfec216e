"""A short cut of the fault test of clips."""

import pytest

pytest.importorskip("av")

from tests.faults import clips
from tests.faults.attempts import Outcome


@pytest.mark.slow
def test_damaged_clips_are_read_or_refused():
    rows = clips.run(seed=5, count=12)
    assert sum(row.tried for row in rows) == 24  # in the last row all go through infer.py again
    assert [row for row in rows if row.failed] == []


def test_what_fails_without_a_helper_is_tried_with_one(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no clip")
    assert clips._guarded(Outcome("failed", "its process ended (-11)"), path).kind == "refused"
    path.write_bytes(next(iter(clips._files().values()))[1])
    assert clips._guarded(Outcome("failed", "its process ended (-11)"), path).kind == "fine"
