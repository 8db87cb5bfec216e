"""Many pictures at once: whatever goes wrong with one of them is its own failure."""

import errno
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restoration import HighlightRemover
from restoration.composition import describe_change
from restoration.folder import _PixelBudget, restore_folder
from restoration.jobs import Job, describe_left_out, find_pictures, prepare_output
from restoration.pictures import encode_map, map_levels
from tests.restoration.fakes import Dimmer
from utils.errors import UserError
from utils.image_files import Picture, write_picture


def _jobs(tmp_path, count=4, size=(20, 30)):
    jobs = []
    for number in range(count):
        source = tmp_path / "in" / f"{number}.png"
        pixels = np.full((*size, 3), 200 + number, np.uint8)
        source.parent.mkdir(exist_ok=True)
        write_picture(source, Picture(pixels))
        jobs.append(Job(source, {"result": tmp_path / "out" / f"{number}-removed.png"}))
    return jobs


def _halve(image):
    return image / 2


@pytest.mark.parametrize("error", [TypeError("odd"), SyntaxError("odd"), MemoryError(), ZeroDivisionError()])
@pytest.mark.parametrize("step", ["read_bytes", "write_results", "method"])
def test_whatever_one_picture_raises_the_others_are_done(tmp_path, monkeypatch, capsys, step, error):
    jobs = _jobs(tmp_path)

    def method(image):
        if step == "method" and np.isclose(image.max(), 202 / 255):
            raise error
        return _halve(image)

    if step != "method":
        from restoration import folder

        real = getattr(folder, step)

        def broken(first, *rest):
            if first in (jobs[2], jobs[2].source):
                raise error
            return real(first, *rest)

        monkeypatch.setattr(folder, step, broken)
    counts = restore_folder(jobs, HighlightRemover(method), quiet=True)
    assert (counts.done, counts.failed) == (3, 1)
    said = [line for line in capsys.readouterr().err.splitlines() if "failed" in line]
    assert len(said) == 1
    assert "2.png: " in said[0]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"{n}-removed.png" for n in (0, 1, 3)]


def test_a_group_with_a_bad_picture_is_done_one_by_one(tmp_path, capsys):
    network = Dimmer()
    forward = network.forward

    def refuse_some(image):
        if any(torch_value > 202.5 / 255 for torch_value in image.amax(dim=(1, 2, 3))):
            raise ValueError("too bright")
        return forward(image)

    network.forward = refuse_some
    remover = HighlightRemover(network)
    remover.separator.batch_size = 4  # as on an accelerator
    counts = restore_folder(_jobs(tmp_path), remover, quiet=True)
    assert (counts.done, counts.failed) == (3, 1)
    assert "3.png: too bright" in capsys.readouterr().err


def test_a_full_disk_keeps_the_old_file_and_says_what_is_needed(tmp_path, monkeypatch, capsys):
    jobs = _jobs(tmp_path, 1)
    old = jobs[0].outputs["result"]
    old.parent.mkdir()
    old.write_bytes(b"old")

    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    counts = restore_folder(jobs, HighlightRemover(_halve), quiet=True)
    assert (counts.done, counts.failed) == (0, 1)
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert "needs" in said
    assert old.read_bytes() == b"old"
    assert [path.name for path in old.parent.iterdir()] == [old.name]


def test_an_output_folder_that_vanishes_is_made_anew(tmp_path):
    jobs = _jobs(tmp_path, 6)
    calls = []

    def method(image):
        calls.append(1)
        if len(calls) == 4:
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
        return _halve(image)

    counts = restore_folder(jobs, HighlightRemover(method, workers=1), quiet=True)
    assert counts.done + counts.failed == 6
    assert counts.failed <= 1  # one may have been writing at that moment
    assert (tmp_path / "out" / "5-removed.png").is_file()


def test_pictures_wait_until_there_is_room():
    budget, events = _PixelBudget(100), []
    budget.take(70, already=0)

    def second():
        budget.take(60, already=0)
        events.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    time.sleep(0.05)
    assert not events
    budget.take(500, already=70)  # its own group never waits for itself
    budget.give_back(570)
    thread.join(10)
    assert events == ["second"]
    budget.give_back(60)
    budget.take(1000, already=0)  # larger than all room: alone


def test_a_picture_larger_than_allowed_is_named(tmp_path, capsys):
    jobs = _jobs(tmp_path, 2)
    counts = restore_folder(jobs, HighlightRemover(_halve), max_pixels=599, quiet=True)
    assert counts.failed == 2
    assert "20 pixels are more than" in capsys.readouterr().err
    assert restore_folder(jobs, HighlightRemover(_halve), max_pixels=600, quiet=True).done == 2


def test_a_folder_in_the_place_of_a_result_is_not_done(tmp_path, capsys):
    (job,) = _jobs(tmp_path, 1)
    job.outputs["result"].mkdir(parents=True)
    assert not job.done()
    assert restore_folder([job], HighlightRemover(_halve), quiet=True).failed == 1
    assert "directory" in capsys.readouterr().err
    assert not list(job.outputs["result"].parent.glob(".tmp*"))


def test_what_killed_runs_left_is_removed(tmp_path):
    from utils.atomic import _HOST

    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    stale = [f".tmp-{_HOST}-{os.getpid()}-0123456789ab.png", f"sub/.tmp-{_HOST}-4194305-0123456789ab"]
    others = [f".tmp-{_HOST}-1-0123456789ab.png", ".tmp-mine.png", ".tmp-00000000-5-0123456789ab"]
    stale, others = [out / name for name in stale], [out / name for name in others]
    for path in stale + others:
        path.write_bytes(b"x")
    prepare_output(out, [Job(tmp_path / "a.png", {"result": out / "sub" / "a.png"})])
    assert sorted(p for p in out.rglob("*") if p.is_file()) == sorted(others)


def test_the_map_file_is_zero_exactly_where_nothing_may_change():
    highlight = np.array([[0, 1e-4, 0.5, 1, 7]], np.float32)
    assert map_levels(highlight).tolist() == [[0, 1, 128, 255, 255]]
    import io

    with Image.open(io.BytesIO(encode_map(map_levels(highlight)))) as file:
        assert "clipped to [0, 1]" in file.text["Description"]


def test_a_negative_map_adds_no_light():
    image = np.full((20, 30, 3), 200, np.uint8)
    restored = HighlightRemover(Dimmer(strength=-0.5))(image)
    assert np.array_equal(restored.diffuse, image)
    assert not restored.highlight.any()


def test_progress_counts_tiles():
    calls = []
    image = np.full((100, 200, 3), 200, np.uint8)
    HighlightRemover(Dimmer(tile=64))(image, lambda done, of: calls.append((done, of)))
    assert calls == [(done, len(calls)) for done in range(1, len(calls) + 1)]
    assert len(calls) > 4


def test_odd_results_of_classical_methods_are_said():
    pixels = np.full((10, 10, 3), 200, np.uint8)
    assert "nothing was removed" in describe_change(pixels, pixels)
    assert "more than half" in describe_change(pixels, pixels // 2)
    few = pixels.copy()
    few[:4] = 100
    assert describe_change(pixels, few) is None


def test_raw_files_are_named_with_the_way_out_and_others_counted(tmp_path):
    for name in ("a.png", "b.dng", "c.txt", "d.txt"):
        (tmp_path / name).write_bytes(b"x")
    listing, root = find_pictures(str(tmp_path))
    assert ([path.name for path in listing.pictures], root) == (["a.png"], tmp_path)
    lines = describe_left_out(listing)
    assert "b.dng: a camera's raw file; develop it" in lines[0]
    assert lines[1] == "2 files that are no pictures (.txt 2)"
    with pytest.raises(UserError, match=r"b\.dng: a camera's raw file"):
        find_pictures(str(tmp_path / "b.dng"))


@pytest.mark.parametrize("pattern", ["x" * 300, "x" * 300 + "*.png"])
def test_names_that_no_file_can_have_are_a_sentence(pattern):
    with pytest.raises(UserError, match=r"no such file|no file matches"):
        find_pictures(pattern)


def test_the_format_of_a_result_follows_the_content_of_the_picture(tmp_path):
    job = Job(tmp_path / "a.heic", {"result": tmp_path / "a-removed.auto"})
    assert job.result("HEIF").name == "a-removed.png"
    assert job.result("JPEG").name == "a-removed.jpg"
