"""List files of four and seven pictures a line."""

import numpy as np
import pytest

from data.lists import main, read_list
from utils.errors import UserError
from utils.image_files import write_rgb

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
    assert [record.name for record in records] == [
        "SSHR/train/048721/0024_i",
        "SHIQ_data_10825/train/00583_A",
        "SHIQ_data_10825/train/00584_A",
    ]
    assert records[0].files["object_mask"] == root / SEVEN[6]
    assert records[0].files["tone_corrected"] == root / SEVEN[5]
    assert records[1].files == {
        "input": root / FOUR[0],
        "specular": root / FOUR[1],
        "diffuse": root / FOUR[2],
        "tone_corrected": root / FOUR[3],
    }
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
