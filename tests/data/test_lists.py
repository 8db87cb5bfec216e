"""List files of four and seven pictures a line."""

import subprocess
import sys

import numpy as np
import pytest

from data.check import CheckOptions, check, describe
from data.inspection import inspect
from data.lists import main, read_list
from data.records import Record
from utils.errors import UserError
from utils.image_files import read_rgb, write_rgb
from utils.sheets import GAP, LINE

SEVEN = [f"SSHR/train/048721/0024_{layer}.jpg" for layer in ("i", "a", "s", "r", "d", "d_tc", "m")]
FOUR = [f"SHIQ_data_10825/train/00583_{layer}.png" for layer in ("A", "S", "D", "D_tc")]


@pytest.fixture
def root(tmp_path):
    for name in (*SEVEN, *FOUR):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def write(root, *lines):
    file = root / "train.lst"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_lines_of_both_kinds_are_read(root):
    other = root / FOUR[0].replace("00583", "00584")
    other.touch()
    computed = [str(other.relative_to(root)), "-", *FOUR[2:]]
    records = read_list(write(root, " ".join(SEVEN), "", "\t".join(FOUR) + "\r", " ".join(computed)), root)
    names = ["SSHR/train/048721/0024_i", *(f"SHIQ_data_10825/train/0058{n}_A" for n in (3, 4))]
    assert [record.name for record in records] == names
    assert records[0].files["object_mask"] == root / SEVEN[6]
    assert records[0].files["tone_corrected"] == root / SEVEN[5]
    keys = ("input", "specular", "diffuse", "tone_corrected")
    assert records[1].files == {key: root / name for key, name in zip(keys, FOUR, strict=True)}
    assert "specular" not in records[2].files


def test_the_line_of_an_error_is_named(root):
    good = " ".join(FOUR)
    with pytest.raises(UserError, match=r"train\.lst, line 3 has 5 columns"):
        read_list(write(root, good, "", good + " more.png"), root)
    with pytest.raises(UserError, match=r"line 2: there is no .*00999_A\.png"):
        read_list(write(root, good, good.replace("00583_A", "00999_A")), root)
    with pytest.raises(UserError, match=r"line 2 has 4 columns, without albedo and shading; .*tshrnet-mix"):
        read_list(write(root, " ".join(SEVEN), good), root, required_keys=("shading", "albedo"))


def test_a_doubled_line_counts_once(root, caplog):
    four = " ".join(FOUR)
    assert len(read_list(write(root, four, " ".join(SEVEN), four, four), root)) == 2
    assert "2 lines repeat earlier ones, such as line 3" in caplog.text
    again = " ".join(["./" + FOUR[0], "-", *FOUR[2:]])
    with pytest.raises(UserError, match=r"line 3 lists .*00583_A\.png again, with other files than line 1"):
        read_list(write(root, four, " ".join(SEVEN), again), root)


def test_official_test_pictures_stay_out_of_lists_of_the_flat_folder(root, capsys):
    for number in ("00001", "14001", "15000"):
        for letter in ("A", "D", "D_tc"):
            (root / "flat").mkdir(exist_ok=True)
            (root / "flat" / f"{number}_{letter}.png").touch()

    def listed(*options):
        out = root / "flat.lst"
        assert main(["--dataroot", str(root), "--folders", "flat", "--out", str(out), *options]) == 0
        return [line.split()[0][5:10] for line in out.read_text().splitlines()]

    assert listed() == ["00001"]
    assert "2 of 3 samples left out (--official_test leave_out)" in capsys.readouterr().err
    assert listed("--official_test", "only") == ["14001", "15000"]
    assert listed("--official_test", "include") == ["00001", "14001", "15000"]
    for path in (root / "flat").glob("00001*"):
        path.unlink()
    assert listed() == ["14001", "15000"]  # a folder of test pictures alone was meant


def test_missing_tone_corrected_pictures_name_the_command(root):
    (root / FOUR[3]).unlink()
    with pytest.raises(UserError, match=r"line 1: .*python -m data\.tone_correction --dataroot"):
        read_list(write(root, " ".join(FOUR)), root)


def test_files_without_samples_are_refused(root):
    with pytest.raises(UserError, match="lists no samples"):
        read_list(write(root, "", " "), root)
    with pytest.raises(UserError, match=r"cannot read the list file .*nowhere\.lst"):
        read_list(root / "nowhere.lst", root)


def test_written_lists_are_read_back(root, capsys):
    for name in ("group-0001-idx-01.png", "group-0001-idx-05.png", "group-0001-idx-05_D_tc.png"):
        (root / "PSD").mkdir(exist_ok=True)
        (root / "PSD" / name).touch()
    out = root / "mix.lst"
    folders = ["SSHR/train", "SHIQ_data_10825/train", "PSD"]
    assert main(["--dataroot", str(root), "--folders", *folders, "--out", str(out)]) == 0
    assert "3 samples" in capsys.readouterr().out
    four = [SEVEN[0], SEVEN[3], SEVEN[4], SEVEN[5]]
    psd = ["PSD/group-0001-idx-05.png", "-", "PSD/group-0001-idx-01.png", "PSD/group-0001-idx-05_D_tc.png"]
    assert [line.split() for line in out.read_text().splitlines()] == [four, FOUR, psd]
    assert len(read_list(out, root)) == 3

    seven = ["--columns", "7", "--out", str(out)]
    assert main(["--dataroot", str(root), "--folders", "SSHR/train", *seven]) == 0
    assert out.read_text().split() == SEVEN
    with pytest.raises(UserError, match="no albedo picture"):
        main(["--dataroot", str(root), "--folders", "PSD", *seven])
    (root / FOUR[3]).unlink()
    with pytest.raises(UserError, match=r"no tone_corrected .*data\.tone_correction"):
        main(["--dataroot", str(root), "--folders", "SHIQ_data_10825/train", "--out", str(out)])


def test_names_lead_out_of_no_folder(root, tmp_path):
    """evaluate.py writes results under the names."""
    absolute = " ".join(str(root / name) for name in FOUR)
    up = " ".join(f"../{root.name}/{name}" for name in FOUR)
    records = read_list(write(root, absolute), root)
    assert records[0].name == str(root / FOUR[0]).strip("/").removesuffix(".png")
    assert records[0].files["input"] == root / FOUR[0]
    records = read_list(write(root, up), root)
    assert records[0].name == f"{root.name}/SHIQ_data_10825/train/00583_A"


def test_a_folder_outside_the_root_is_refused(root, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    for layer in "ASD":
        write_rgb(other / f"00001_{layer}.png", np.zeros((4, 4, 3)))
    write_rgb(other / "00001_D_tc.png", np.zeros((4, 4, 3)))
    with pytest.raises(UserError, match="is not inside"):
        main(["--dataroot", str(root), "--folders", str(other), "--out", str(root / "a.lst")])


# ---- python -m data.check on a small data set with known defects


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
    assert (fact.size, fact.untouched, fact.achromatic) == ((24, 20), pytest.approx(0.5), 1)
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
    assert ([fact.name for fact in train.facts], len(test.facts)) == (["1", "2"], 1)
    text = describe(train)
    said = {"3_A": "8 bits", "4_D": "damaged", "5_D": "is 4x4", "6_A": "no diffuse picture"}
    for name, words in said.items():
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
