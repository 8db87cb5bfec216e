"""python -m data.check on a small data set with known defects."""

import subprocess
import sys

import numpy as np
import pytest

from data.check import CheckOptions, check, describe
from data.inspection import inspect
from data.records import Record
from utils.errors import UserError
from utils.image_files import read_rgb, write_rgb
from utils.sheets import GAP, LINE


def _pair(folder, name, specular, size=(20, 24), bits=8):
    diffuse = np.random.default_rng(0).integers(20, 120, (*size, 3)) / 255
    write_rgb(folder / f"{name}_A.png", diffuse + specular, bits)
    write_rgb(folder / f"{name}_D.png", diffuse)


def _grey(size=(20, 24)):
    specular = np.zeros((*size, 1))
    specular[:10] = 40 / 255
    return specular


def test_facts_of_a_pair(tmp_path):
    _pair(tmp_path, "1", _grey())
    fact = inspect(Record("1", {"input": tmp_path / "1_A.png", "diffuse": tmp_path / "1_D.png"}))
    assert fact.size == (24, 20)
    assert fact.untouched == pytest.approx(0.5)
    assert fact.achromatic == 1
    assert fact.darker == 0
    # Of 20 dB: 5e-5, float32 means.
    assert fact.psnr == pytest.approx(-20 * np.log10(40 / 255 * np.sqrt(0.5)), abs=1e-3)
    red = _grey() * [1, 0, 0]
    _pair(tmp_path, "2", red)
    fact = inspect(Record("2", {"input": tmp_path / "2_A.png", "diffuse": tmp_path / "2_D.png"}))
    assert fact.achromatic == pytest.approx(0.5)
    swapped = inspect(Record("1", {"input": tmp_path / "1_D.png", "diffuse": tmp_path / "1_A.png"}))
    assert swapped.darker == pytest.approx(0.5)


def test_each_bad_file_is_named_and_a_sheet_written(tmp_path):
    root = tmp_path / "set"
    for name in ("1", "2"):
        _pair(root / "train", name, _grey())
    _pair(root / "train", "3", _grey(), bits=16)
    _pair(root / "train", "4", _grey())
    (root / "train" / "4_D.png").write_bytes((root / "train" / "4_D.png").read_bytes()[:100])
    _pair(root / "train", "5", _grey())
    write_rgb(root / "train" / "5_D.png", np.zeros((4, 4, 3)))
    _pair(root / "train", "6", _grey())
    (root / "train" / "6_D.png").unlink()
    _pair(root / "test", "7", _grey())
    before = sorted(root.rglob("*"))
    sheet = tmp_path / "sheet.png"
    train, test = check(CheckOptions(str(root), sheet=str(sheet), workers=1))
    assert sorted(root.rglob("*")) == before
    assert [fact.name for fact in train.facts] == ["1", "2"]
    assert len(test.facts) == 1
    text = describe(train)
    for name, words in (
        ("3_A", "8 bits"),
        ("4_D", "damaged"),
        ("5_D", "is 4x4"),
        ("6_A", "no diffuse picture"),
    ):
        assert any(name in line and words in line for line in text.splitlines()), (name, text)
    assert "50.0%" in text
    height, width, _ = read_rgb(sheet).shape
    assert width == 3 * 160 + 4 * GAP
    assert height > 3 * (LINE + 120)


def test_a_layer_that_one_sample_lacks_is_noted(tmp_path):
    for name in ("1", "2"):
        _pair(tmp_path / "train", name, _grey())
    write_rgb(tmp_path / "train" / "1_S.png", np.zeros((20, 24)))
    (report,) = check(CheckOptions(str(tmp_path), sheet=str(tmp_path.parent / "sheet.png"), workers=1))
    assert "note: 1 of 2 samples have no specular layer, such as 2" in describe(report)


def test_refusals(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        check(CheckOptions(str(tmp_path / "gone")))
    _pair(tmp_path, "1", _grey())
    with pytest.raises(UserError, match="nothing is written"):
        check(CheckOptions(str(tmp_path), sheet=str(tmp_path / "sheet.png")))


def test_torch_is_not_imported_before_the_options_are_read():
    modules = ("data.check", "data.lists", "data.tone_correction")
    code = f"import sys, {', '.join(modules)}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
