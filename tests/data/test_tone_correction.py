"""Tone correction of diffuse pictures: the fit, and the command that makes the files."""

import os
from pathlib import Path

import numpy as np
import pytest

from data.layouts import find
from data.records import Record
from data.tone_correction import main, target_path, tone_correct, tone_corrected_target
from tests.tolerances import HALF_LEVEL, ONE_LEVEL
from utils import cli
from utils.errors import UserError
from utils.image_files import read_rgb, write_rgb

SHARED = Path(os.environ.get("SPECULAR_SHARED", Path(__file__).parents[3] / "shared"))
TONE = np.array([[0.9, 0.05, 0.0], [0.02, 0.8, 0.1], [0.0, 0.04, 0.7]])
OFFSET = np.array([4.0, 9.0, 2.0])


def scene(side=32, seed=0):
    """(input, diffuse, residue, highlights) in [0, 1]: the input has another tone and a bright square."""
    rng = np.random.default_rng(seed)
    diffuse = rng.integers(0, 200, (side, side, 3)) / 255
    image = diffuse @ TONE.T + OFFSET / 255
    residue = np.zeros_like(diffuse)
    residue[4:12, 4:12] = rng.uniform(0.4, 0.5, (8, 8, 1))
    return (np.rint((image + residue) * 255) / 255, diffuse, residue, residue[..., 0] > 0)


def psnr(a, b):
    return 10 * np.log10(255**2 / np.square(a.astype(float) - b).mean())


def test_the_tone_of_the_input_is_found_off_the_highlights():
    image, diffuse, residue, highlights = scene()
    wanted = np.rint(diffuse @ TONE.T * 255 + OFFSET)
    for corrected in (
        tone_correct(diffuse, image, highlights),
        tone_corrected_target(image, diffuse, residue),
        tone_correct(*(np.rint(x * 255).astype(np.uint8) for x in (diffuse, image)), highlights),
    ):
        assert corrected.dtype == np.uint8
        assert np.abs(corrected - wanted).max() <= ONE_LEVEL
    everywhere = tone_correct(diffuse, image, np.zeros_like(highlights))
    assert np.abs(everywhere - wanted).max() > 5


@pytest.mark.parametrize("level", [0.0, 0.5])
def test_a_picture_of_one_colour_is_mapped_to_its_input(level):
    diffuse = np.full((8, 8, 3), level)
    image = np.full((8, 8, 3), 0.25)
    corrected = tone_corrected_target(image, diffuse, np.zeros((8, 8, 3)))
    assert np.abs(corrected - 0.25 * 255).max() <= HALF_LEVEL


def test_wrong_arguments_are_named():
    image, diffuse, _, highlights = scene(16)
    with pytest.raises(ValueError, match="no pixel"):
        tone_correct(diffuse, image, np.ones_like(highlights))
    with pytest.raises(ValueError, match="sizes differ"):
        tone_correct(diffuse[:8], image, highlights)


def test_the_real_tuple_is_matched():
    folder = SHARED / "data" / "sshr" / "test" / "007004"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    i, d, r, theirs, m = (read_rgb(folder / f"0024_{layer}.jpg") for layer in ("i", "d", "r", "d_tc", "m"))
    theirs = np.rint(theirs * 255)
    on_object = m[..., 0] > 0.5
    ours = tone_corrected_target(i, d, r)
    # A figure of two decimals; JPEG decoders may differ by a level.
    assert psnr(np.rint(d * 255)[on_object], theirs[on_object]) == pytest.approx(32.71, abs=0.01)
    # 47.0 and 39.7: MATLAB's rounding, and the JPEG of their result.
    assert psnr(ours, theirs) > 46.9
    assert psnr(ours[on_object], theirs[on_object]) > 39.6


def test_where_the_pictures_stand():
    def place(image, diffuse):
        return target_path(Record("x", {"input": Path(image), "diffuse": Path(diffuse)})).as_posix()

    assert place("t/00001_A.png", "t/00001_D.png") == "t/00001_D_tc.png"
    assert place("o/0024_i.jpg", "o/0024_d.jpg") == "o/0024_d_tc.jpg"
    assert place("g/group-0001-idx-03.png", "g/group-0001-idx-01.png") == "g/group-0001-idx-03_D_tc.png"


@pytest.fixture
def dataset(tmp_path):
    """A folder with two SHIQ samples, an SSHR object of one view and a PSD group with one input."""
    root = tmp_path / "dataset"
    for number in (1, 2):
        image, diffuse, residue, _ = scene(seed=number)
        for letter, layer in {"A": image, "D": diffuse, "S": residue}.items():
            write_rgb(root / "SHIQ" / "train" / f"0000{number}_{letter}.png", layer)
    for layer, picture in zip("idr", scene(64, 3)[:3], strict=True):
        write_rgb(root / "SSHR" / "test" / "007" / f"0024_{layer}.jpg", picture)
    image, diffuse, _, _ = scene(seed=4)
    for index, picture in {1: diffuse, 3: image, 7: diffuse}.items():
        write_rgb(root / "PSD" / f"group-0001-idx-{index:02d}.png", picture)
    return root


MADE = {"SHIQ/train/00001_D_tc.png", "SHIQ/train/00002_D_tc.png"}
MADE |= {"SSHR/test/007/0024_d_tc.jpg", "PSD/group-0001-idx-03_D_tc.png"}


def made(root):
    return {path.relative_to(root).as_posix() for path in root.rglob("*_tc.*")}


def test_the_command_makes_what_is_missing(dataset, capsys):
    assert main(["--dataroot", str(dataset), "--workers", "1"]) == 0
    assert made(dataset) == MADE
    assert "4 made, 0 were there, 0 failed" in capsys.readouterr().out
    image, diffuse, residue, _ = scene(seed=1)
    quantised = [np.rint(x * 255).astype(np.float32) / np.float32(255) for x in (image, diffuse, residue)]
    written = np.rint(read_rgb(dataset / "SHIQ" / "train" / "00001_D_tc.png") * 255)
    np.testing.assert_array_equal(written, tone_corrected_target(*quantised))

    for folder, count in {"SHIQ/train": 2, "SSHR/test": 1, "PSD": 1}.items():
        found = find(dataset / folder)
        assert (len(found.records), found.problems) == (count, [])
        assert all("tone_corrected" in record.files for record in found.records)

    cut = dataset / "SHIQ" / "train" / "00001_D_tc.png"
    whole = cut.read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    kept = dataset / "SHIQ" / "train" / "00002_D_tc.png"
    before = kept.stat().st_mtime_ns
    assert main(["--dataroot", str(dataset), "--workers", "1"]) == 0
    assert "1 made, 3 were there" in capsys.readouterr().out
    assert (cut.read_bytes(), kept.stat().st_mtime_ns) == (whole, before)


def test_several_processes_make_the_same_and_leave_the_folder_alone(dataset, tmp_path):
    before = sorted(dataset.rglob("*"))
    assert main(["--dataroot", str(dataset), "--workers", "2", "--out", str(tmp_path / "out")]) == 0
    assert (sorted(dataset.rglob("*")), made(tmp_path / "out")) == (before, MADE)
    main(["--dataroot", str(dataset), "--workers", "1"])
    for name in MADE:
        assert (dataset / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_a_bad_picture_is_named_and_the_others_are_made(dataset, capsys):
    bad = dataset / "SHIQ" / "train" / "00002_A.png"
    bad.write_bytes(bad.read_bytes()[:100])
    (dataset / "SHIQ" / "train" / "00003_A.png").write_bytes(b"")
    assert main(["--dataroot", str(dataset), "--workers", "1"]) == 1
    assert made(dataset) == MADE - {"SHIQ/train/00002_D_tc.png"}
    errors = capsys.readouterr().err
    assert "00002_A.png" in errors
    assert "00003_D" in errors


def test_nothing_to_do_is_said(tmp_path, capsys):
    assert cli.run(lambda: main(["--dataroot", str(tmp_path)])) == 2
    assert "no samples of SSHR, SHIQ or PSD" in capsys.readouterr().err
    with pytest.raises(UserError, match="no such folder"):
        main(["--dataroot", str(tmp_path / "nowhere")])
