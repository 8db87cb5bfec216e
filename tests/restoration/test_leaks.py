"""Removers and clips, one after the other for as long as a server runs, leave nothing behind."""

import threading
import weakref

import numpy as np
import pytest

from restoration import HighlightRemover
from restoration.jobs import Job
from restoration.methods import find_method
from tests.flat import assert_flat
from tests.restoration.fakes import Dimmer
from utils.errors import UserError

PICTURE = np.random.default_rng(0).integers(0, 256, (72, 96, 3), dtype=np.uint8)


def _own_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith(("separator", "helper"))]


def test_a_remover_is_collected_with_its_threads():
    others = _own_threads()
    remover = HighlightRemover(Dimmer(), workers=2)
    remover(PICTURE)
    threads = [thread for thread in _own_threads() if thread not in others]
    assert threads
    network = weakref.ref(remover.separator.network)
    del remover  # without the garbage collector: there is no circle of references
    assert network() is None
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_a_closed_remover_has_no_threads_and_says_so():
    others = _own_threads()
    with HighlightRemover(Dimmer(), workers=2) as remover:
        before = remover(PICTURE)
    assert set(_own_threads()) <= set(others)
    with pytest.raises(UserError, match="closed"):
        remover(PICTURE)
    remover.close()
    HighlightRemover(Dimmer()).close()  # before its first picture
    assert before.diffuse.shape == PICTURE.shape


@pytest.mark.slow
def test_fifty_removers_leave_no_thread_and_no_memory():
    network = find_method("aha-lite")
    assert_flat(lambda _: HighlightRemover(network, workers=2)(PICTURE))


@pytest.mark.slow
def test_fifty_clips_leave_no_thread_and_no_memory(tmp_path, monkeypatch):
    pytest.importorskip("av")
    from restoration.video import clip_reader, clip_writer
    from restoration.video.clips import restore_clips
    from tests.restoration.video.clip_files import noisy_pictures, write_clip

    write_clip(tmp_path / "clip.mp4", noisy_pictures(3))

    def restore(number):
        # Helper processes take most of a second to start: every tenth clip has them.
        for module in (clip_reader, clip_writer):
            monkeypatch.setattr(module, "may_have_helpers", lambda: number % 10 == 0)
        job = Job(tmp_path / "clip.mp4", {"result": tmp_path / f"{number}.mp4"})
        with HighlightRemover(Dimmer(), workers=1) as remover:
            assert restore_clips([job], remover, quiet=True).done == 1

    assert_flat(restore, first=4)
