"""infer.py with clips: alone, among pictures, finished before, killed."""

import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")

import infer
from tests.restoration.video.clip_files import noisy_pictures, planes_of, write_clip
from utils.errors import run
from utils.image_files import write_rgb

ROOT = Path(__file__).parents[3]


def _infer(source, out, *options):
    argv = ["-i", str(source), "-o", str(out), "--method", "input", *map(str, options)]
    return run(partial(infer.main, argv))


def test_a_folder_of_pictures_and_clips(tmp_path, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    write_rgb(folder / "a.png", noisy_pictures(1)[0])
    write_clip(folder / "a.mkv", noisy_pictures(5), codec="ffv1", pixel_format="yuv444p")
    (folder / "bad.mp4").write_text("no clip")
    assert _infer(folder, out, "--dry_run") == 0
    assert f"do: {folder / 'a.mkv'} -> {out / 'a-removed.mkv'}" in capsys.readouterr().out
    assert _infer(folder, out, "--save_highlight") == 1
    said = capsys.readouterr()
    assert "done 2, skipped 0, failed 1" in said.out
    assert "note: --save_highlight: for pictures" in said.err
    assert sorted(path.name for path in out.iterdir()) == ["a-HFE.png", "a-removed.mkv", "a-removed.png"]
    assert np.array_equal(planes_of(out / "a-removed.mkv"), planes_of(folder / "a.mkv"))
    (folder / "bad.mp4").unlink()
    assert _infer(folder, out, "--skip_existing") == 0
    assert "done 0, skipped 2, failed 0" in capsys.readouterr().out


def test_a_clip_alone_and_options_that_it_does_not_have(tmp_path, capsys):
    clip = tmp_path / "clip.mp4"
    write_clip(clip, noisy_pictures(3))
    wrong = (["--ext", "png"], ["--comparison"], ["--protocol", "released"], ["--smoothing_frames", "0"])
    for options in wrong:
        assert _infer(clip, tmp_path / "out", *options) == 2
        assert options[0] in capsys.readouterr().err
    assert _infer(clip, tmp_path / "out") == 0
    assert len(planes_of(tmp_path / "out" / "clip-removed.mp4")) == 3


@pytest.mark.slow
def test_a_killed_run_goes_on_and_gives_the_same_bytes(tmp_path, capsys):
    clip, result = tmp_path / "clip.mp4", tmp_path / "out" / "clip-removed.mp4"
    # x264 gives other bytes now and then for pictures as small as those of the other tests.
    pictures = noisy_pictures(1000, size=(96, 128))
    write_clip(clip, pictures, sound=True, options={"preset": "ultrafast"})
    command = [sys.executable, "infer.py", "-i", clip, "-o", result.parent, "--method", "input"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    state = result.with_name("clip-removed.mp4.part") / "state.npz"
    while not state.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert _infer(clip, result.parent) == 0
    assert "goes on at frame" in capsys.readouterr().err
    resumed = result.read_bytes()
    assert _infer(clip, tmp_path / "whole") == 0
    assert (tmp_path / "whole" / result.name).read_bytes() == resumed
    assert [path.name for path in result.parent.iterdir()] == [result.name]
