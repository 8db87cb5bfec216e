"""What the browser interface does with a picture, and what is left of it: without gradio and a browser."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from restoration import HighlightRemover
from tests.restoration.fakes import Dimmer
from utils.errors import UserError
from utils.image_files import Picture, read_picture, write_picture
from webui.methods import Methods
from webui.options import DemoOptions, validate_options
from webui.separation import PREVIEW, separate_file
from webui.sessions import Sessions

ROOT = Path(__file__).parents[2]


def _separate(path, folder, **options):
    steps = []
    remover = HighlightRemover(Dimmer(), **options)
    done = separate_file(path, remover, folder, 10**8, lambda *step: steps.append(step))
    return done, steps


def test_downloads_are_deep_and_previews_small(tmp_path):
    pixels = np.linspace(0, 65535, PREVIEW + 300).astype(np.uint16)[None, :, None].repeat(20, 0).repeat(3, 2)
    write_picture(tmp_path / "a.png", Picture(pixels))
    done, steps = _separate(tmp_path / "a.png", tmp_path / "out", tile=256)
    result, highlight, specular = (read_picture(path).pixels for path in done.downloads)
    assert [path.name for path in done.downloads] == ["a-removed.png", "a-HFE.png", "a-specular.png"]
    assert np.array_equal(result, HighlightRemover(Dimmer(), tile=256)(pixels).diffuse)
    assert np.array_equal(pixels - result, specular)
    assert highlight.dtype == np.uint8
    assert set(done.previews) == {"before", "after", "highlight", "specular"}
    for path in done.previews.values():
        shown = read_picture(path).pixels
        assert (shown.dtype, shown.shape[1]) == (np.uint8, PREVIEW)
    shares = [share for share, _ in steps]
    assert shares == sorted(shares)
    assert any("tile 2 of" in words for _, words in steps)


def test_what_is_wrong_with_a_file_is_said(tmp_path):
    (tmp_path / "a.cr2").write_bytes(b"raw")
    with pytest.raises(UserError, match="darktable"):
        _separate(tmp_path / "a.cr2", tmp_path / "out")
    (tmp_path / "a.png").write_bytes(b"text")
    with pytest.raises(UserError, match="not a picture"):
        _separate(tmp_path / "a.png", tmp_path / "out")
    write_picture(tmp_path / "black.png", Picture(np.zeros((8, 8, 3), np.uint8)))
    done, _ = _separate(tmp_path / "black.png", tmp_path / "out")
    assert any("nothing was removed" in note for note in done.notes)


def test_a_session_leaves_nothing_but_what_others_use(tmp_path):
    sessions = Sessions(tmp_path / "served")
    for name in ("own/a.png", "both/b.png"):
        write_picture(tmp_path / "served" / name, Picture(np.full((8, 8, 3), 200, np.uint8)))
    own, both = tmp_path / "served" / "own" / "a.png", tmp_path / "served" / "both" / "b.png"
    first, second = sessions.of("first"), sessions.of("second")
    assert sessions.of("first") is first
    assert first.folder != second.folder
    first.uploads |= {own, both}
    second.uploads |= {both}
    names = [first.keep(_separate(both, first.new_folder())[0]) for _ in range(3)]
    assert names == ["b.png", "b.png (2)", "b.png (3)"]
    archive = zipfile.ZipFile(first.archive()).namelist()
    assert len(archive) == len(set(archive)) == 9
    assert {"b-removed.png", "2-b-removed.png", "3-b-specular.png"} < set(archive)
    sessions.end("first")
    assert [path for path in (tmp_path / "served").rglob("*") if path.is_file()] == [both]
    sessions.end("second")
    sessions.end("never begun")
    assert not [path for path in (tmp_path / "served").rglob("*") if path.is_file()]


def test_methods_are_loaded_once(tmp_path):
    methods = Methods(DemoOptions(device="cpu"))
    assert methods.names[0] == "aha-lite"
    assert "shen2013" in methods.names
    one, two = (methods.remover("aha-lite", strength, 1) for strength in (0.5, 1))
    assert one.network is two.network
    assert (one.strength, two.strength) == (0.5, 1)
    with pytest.raises(UserError, match="augmentation"):
        methods.remover("shen2013", 1, 2)


@pytest.mark.parametrize("bad", [{"port": 0}, {"max_mb": 0}, {"infer_model": ["none.safetensors"]}])
def test_options_that_make_no_sense(bad):
    with pytest.raises(UserError):
        validate_options(DemoOptions(**bad))


def test_without_gradio_the_way_out_is_named(tmp_path):
    (tmp_path / "gradio.py").write_text("raise ImportError\n")
    words, environment = [sys.executable, "demo.py"], os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: the interface needs another package: pip install gradio\n"
