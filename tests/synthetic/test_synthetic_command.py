"""python -m synthetic: layouts that read back, resuming, refusals; the statistics command."""

import sys
from pathlib import Path

import numpy as np
import pytest

from data.layouts import find
from data.lists import read_list
from data.picture_samples import PictureSamples
from synthetic import SyntheticScenes
from synthetic.__main__ import main
from utils.atomic import _HOST
from utils.cli import run
from utils.errors import UserError


def write(monkeypatch: pytest.MonkeyPatch, out: Path, *more: str) -> int:
    command = [
        "synthetic", "--out", str(out), "--train", "3", "--test", "1", "--size", "32", "--num_workers",
        "0",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", [*command, *more])
    return main()


def test_shiq_layout_reads_back_as_it_was_drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    out = tmp_path / "tiny"
    assert write(monkeypatch, out, "--seed", "4") == 0
    assert (out / "contact_sheet.png").stat().st_size > 1000
    records = find(out / "train", "shiq").records
    assert [record.name for record in records] == ["00001", "00002", "00003"]
    read, drawn = PictureSamples(records)[1], SyntheticScenes(4, size=32, seed=4)[1]
    for key in ("input", "diffuse", "specular", "mask"):
        assert np.abs(read[key].numpy() - drawn[key].numpy()).max() < 1e-3, key  # of whole levels
    assert [record.name for record in find(out / "test", "shiq").records] == ["14001"]


def test_an_interrupted_data_set_is_finished(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    out = tmp_path / "tiny"
    write(monkeypatch, out)
    lost, kept = out / "train" / "00002_D.png", out / "train" / "00001_A.png"
    content, date = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    leftover = out / "train" / f".tmp-{_HOST}-4194305-0123456789ab.png"  # of a killed process
    leftover.write_bytes(b"half")
    write(monkeypatch, out)
    assert not leftover.exists()
    assert (lost.read_bytes(), kept.stat().st_mtime_ns) == (content, date)


def test_options_of_the_generator_are_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    out = tmp_path / "matte"
    write(monkeypatch, out, "--scene_options", "clean_share=1", "pale_share=0.5")
    sample = PictureSamples(find(out / "train", "shiq").records)[0]
    assert not sample["specular"].any()
    with pytest.raises(UserError, match="there is no shiny_share"):
        write(monkeypatch, tmp_path / "other", "--scene_options", "shiny_share=1")


def test_sshr_layout_has_lists_of_seven(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    out = tmp_path / "objects"
    write(monkeypatch, out, "--layout", "sshr")
    records = read_list(out / "train.lst", out)
    assert (len(records), len(records[0].files)) == (3, 7)
    assert len(find(out / "train", "sshr").records) == 3
    sample = PictureSamples(records)[0]
    assert sample["object_mask"].max() > 0.9


def test_foreign_folders_and_other_options_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("do not touch")
    with pytest.raises(UserError, match="not empty"):
        write(monkeypatch, tmp_path / "mine")
    write(monkeypatch, tmp_path / "tiny", "--train", "1")
    with pytest.raises(UserError, match="seed"):
        write(monkeypatch, tmp_path / "tiny", "--train", "1", "--seed", "9")
    assert run(lambda: write(monkeypatch, tmp_path / "tiny", "--train", "-1")) == 2
