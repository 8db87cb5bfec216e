"""Finding samples on disk: SHIQ, PSD, pairs; splits; reading."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from data.layouts import find
from data.layouts.patterns import glob_pairs
from data.layouts.sshr import LAYERS, sshr
from data.picture_samples import PictureSamples, ResidueSamples
from data.records import Record, partial_layers
from data.splits import carve_validation, official_split
from utils.errors import UserError
from utils.image_files import write_rgb


def _touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def _names(found):
    return [record.name for record in found.records]


def test_shiq_needs_a_and_d_and_takes_s_and_t(tmp_path):
    _touch(tmp_path, "00001_A.png", "00001_D.png", "00001_T.png", "00002_A.png", "00003_D.png", "notes.txt")
    found = find(tmp_path)
    assert _names(found) == ["00001"]
    assert set(found.records[0].files) == {"input", "diffuse", "mask"}
    assert len(found.problems) == 2
    assert "00002_A.png has no diffuse picture 00002_D" in found.problems[0]
    assert "00003_D.png has no input 00003_A" in found.problems[1]


def test_the_official_test_list(tmp_path):
    names = ("00001", "14000", "14001", "15000", "15001", "extra")
    _touch(tmp_path, *(f"{name}_{letter}.png" for name in names for letter in "AD"))
    train, test = official_split(find(tmp_path).records)
    assert [record.name for record in test] == ["14001", "15000"]
    assert [record.name for record in train] == ["00001", "14000", "15001", "extra"]


@pytest.mark.parametrize("suffix", [".tif", ".WebP", ".ppm", ".jpeg"])
def test_any_picture_suffix_will_do(tmp_path, suffix):
    _touch(tmp_path, f"1_A{suffix}", f"1_D{suffix}")
    assert _names(find(tmp_path, "shiq")) == ["1"]
    _touch(tmp_path, f"object/1_i{suffix}", f"object/1_d{suffix}")
    assert _names(find(tmp_path, "sshr")) == ["object/1"]


def test_two_files_of_one_layer_are_a_problem(tmp_path):
    _touch(tmp_path, "1_A.jpg", "1_A.png", "1_D.png", "2_A.png", "2_D.png")
    found = find(tmp_path, "shiq")
    assert (_names(found), len(found.problems)) == (["2"], 1)
    assert "1_A.jpg and 1_A.png" in found.problems[0]
    _touch(tmp_path, "in/x.png", "in/x.jpg", "gt/x.png", "in/y.png", "gt/y.png", "in/y.txt")
    found = find(tmp_path, "pairs", "in/*", "gt/*")
    assert _names(found) == ["y"]
    assert "x.jpg and x.png" in found.problems[0]


def test_layers_that_some_samples_lack_are_known(tmp_path):
    _touch(tmp_path, *(f"{n}_{letter}.png" for n in "123" for letter in "AD"), "1_S.png", "3_S.png")
    assert partial_layers(find(tmp_path).records) == {"specular": ["2"]}


def test_psd_groups_leave_out_the_seventh_angle(tmp_path):
    aligned = [f"aligned/group-0007-idx-{i:02d}.png" for i in range(1, 13)]
    _touch(tmp_path, *aligned, "aligned/group-0008-idx-03.png")
    _touch(tmp_path, "random/test-0001-idx-01.png", "random/test-0001-idx-02.png")
    found = find(tmp_path, "psd")
    group = [record for record in found.records if record.scene == "aligned/group-0007"]
    assert len(group) == 10
    assert all(record.files["diffuse"].name == "group-0007-idx-01.png" for record in group)
    assert not any(record.name.endswith("07") for record in group)
    assert "random/test-0001/02" in _names(found)
    assert len(found.problems) == 1
    assert "group-0008-idx-03.png" in found.problems[0]


def test_psd_numbered_folders_and_paired_folders(tmp_path):
    _touch(tmp_path, *(f"scene/{i:02d}.png" for i in (1, 2, 7)), "photos/10.png", "photos/11.png")
    _touch(tmp_path, "pairs/spec/a.png", "pairs/nospec/a.png", "pairs/spec/b.png")
    found = find(tmp_path, "psd")
    assert (sorted(_names(found)), len(found.problems)) == (["pairs/a", "scene/02"], 1)
    assert "spec/b.png has no diffuse picture nospec/b beside it" in found.problems[0]
    assert any("2 pictures left out" in note and "photos/10.png" in note for note in found.notes)


def _psd_as_downloaded(root):
    for split in ("Train", "val", "Test"):
        folder = f"PSD_{split}/PSD_{split}"
        _touch(root, *(f"{folder}_{side}/x-{i}.png" for side in ("specular", "diffuse") for i in (1, 2)))
        _touch(root, *(f"{folder}_group/aligned/group-0001-idx-{i:02d}.png" for i in range(1, 13)))
        _touch(root, *(f"{folder}_group/unaligned/group-0002-idx-{i:02d}.png" for i in range(1, 13)))


def test_psd_is_found_as_it_is_downloaded(tmp_path):
    _psd_as_downloaded(tmp_path)
    found = find(tmp_path)
    assert (found.layout, len(found.records), found.problems) == ("psd", 3 * (2 + 10), [])
    train, test = official_split(found.records)
    assert {record.name.split("/")[0] for record in train} == {"PSD_Train"}
    assert len(train) == 12
    assert sorted(record.name for record in test) == [
        "PSD_Test/x-1", "PSD_Test/x-2", "PSD_val/x-1", "PSD_val/x-2",
    ]  # fmt: skip
    notes = " | ".join(found.notes)
    assert "36 pictures in folders named unaligned" in notes
    assert "3 pictures of index 07" in notes
    assert "20 pictures of groups of PSD_val and PSD_Test" in notes


def test_psd_takes_unaligned_groups_when_asked(tmp_path):
    _psd_as_downloaded(tmp_path)
    assert len(find(tmp_path, "psd-unaligned").records) == 3 * (2 + 20)
    inside = find(tmp_path / "PSD_Train" / "PSD_Train_group" / "unaligned")
    assert len(inside.records) == 10
    part = find(tmp_path / "PSD_val")
    assert (len(part.records), official_split(part.records)[1]) == (12, [])


def test_two_files_of_one_angle_are_a_problem(tmp_path):
    _touch(tmp_path, *(f"group-1-idx-{i:02d}.png" for i in (1, 2, 3)), "group-1-idx-03.jpg")
    found = find(tmp_path, "psd")
    assert _names(found) == ["group-1/02"]
    assert "idx-03.jpg and group-1-idx-03.png" in found.problems[0]


def test_pairs_by_patterns(tmp_path):
    _touch(tmp_path, "in/a.jpg", "in/b.jpg", "gt/a_diffuse.png", "gt/c_diffuse.png", "in/.hidden.jpg")
    found = glob_pairs(tmp_path, "in/*", "gt/*_diffuse.png")
    assert _names(found) == ["a"]
    assert [problem.split("/")[-2:] for problem in found.problems] == [
        ["in", "b.jpg has no partner gt", "b_diffuse.png"][-2:],
        ["gt", "c_diffuse.png has no partner in", "c"][-2:],
    ]
    with pytest.raises(UserError, match="exactly one"):
        glob_pairs(tmp_path, "in/a.jpg", "gt/*")


def test_a_target_is_no_input(tmp_path):
    _touch(tmp_path, "cups.bmp", "cups_gt.bmp", "lady.bmp")
    assert _names(glob_pairs(tmp_path, "*.bmp", "*_gt.bmp")) == ["cups"]
    found = find(tmp_path)
    assert (_names(found), found.problems) == (["cups"], [])


def test_folders_without_pairs_say_what_is_expected(tmp_path):
    with pytest.raises(UserError, match=r"NNNNN_A.*NAME_gt.*layout pairs"):
        find(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        find(tmp_path / "gone")
    with pytest.raises(UserError, match="layout voc is not known"):
        find(tmp_path, "voc")


def test_the_validation_split_is_stable_and_keeps_scenes_together():
    records = [Record(f"{i:05d}", {}) for i in range(100)]
    train, validation = carve_validation(records, 0.1, seed=1)
    assert len(validation) == 10
    assert {r.name for r in train} | {r.name for r in validation} == {r.name for r in records}
    again = carve_validation(list(reversed(records)), 0.1, seed=1)[1]
    assert {r.name for r in again} == {r.name for r in validation}
    assert {r.name for r in carve_validation(records, 0.1, seed=2)[1]} != {r.name for r in validation}
    more = carve_validation([*records, Record("x", {})], 0.1, seed=1)[1]
    assert len({r.name for r in more} & {r.name for r in validation}) >= 9

    grouped = [Record(f"{g}/{i}", {}, scene=str(g)) for g in range(10) for i in range(11)]
    train, validation = carve_validation(grouped, 0.15, seed=0)
    assert {r.scene for r in train}.isdisjoint({r.scene for r in validation})
    assert len(validation) == 22
    one_scene = carve_validation(grouped[:11], 0.15, seed=0)
    assert [len(side) for side in one_scene] == [9, 2]
    assert carve_validation(records[:1], 0.5, seed=0) == (records[:1], [])


def test_validation_grows_to_pictures_with_highlights():
    records = [Record(f"{i:02d}", {}) for i in range(20)]
    plain = carve_validation(records, 0.1, seed=0)[1]
    lit = {r.name for r in records if r not in plain} - {"19"}
    grown = carve_validation(records, 0.1, 0, lambda r: r.name in lit)[1]
    assert len(plain) == 2
    assert [r for r in grown if r.name not in lit] == plain
    assert len([r for r in grown if r.name in lit]) == 2
    assert carve_validation(records, 0.1, 0, lambda r: r == plain[1])[1] == plain
    assert carve_validation(records, 0.1, 0, lambda _: False)[1] == plain
    train, validation = carve_validation(records[:2], 0.5, 0, lambda _: False)
    assert len(train) == len(validation) == 1


def test_samples_are_read_as_written(tmp_path):
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (5, 7, 3)).astype(np.uint8)
    grey = rng.integers(0, 256, (5, 7)).astype(np.uint8)
    write_rgb(tmp_path / "1_A.png", a)
    write_rgb(tmp_path / "1_D.png", a // 2)
    write_rgb(tmp_path / "1_S.png", grey)
    write_rgb(tmp_path / "1_T.png", np.where(grey >= 128, 255, 0).astype(np.uint8))
    sample = PictureSamples(find(tmp_path).records)[0]
    assert torch.equal(sample["input"], torch.from_numpy(a.transpose(2, 0, 1).astype(np.float32) / 255))
    assert sample["specular"].shape == (3, 5, 7)
    assert torch.equal(sample["specular"][0], sample["specular"][2])
    assert torch.equal(sample["mask"], torch.from_numpy((grey >= 128).astype(np.float32))[None])
    assert sample["name"] == "1"


def test_keys_that_some_records_lack_are_left_out(tmp_path):
    _touch(tmp_path, *(f"{i}_{letter}.png" for i in (1, 2) for letter in "AD"), "1_S.png")
    assert PictureSamples(find(tmp_path).records).keys == ["input", "diffuse"]


# ---- SSHR folders, and residues that no file holds


SHARED = Path(os.environ.get("SPECULAR_SHARED", Path(__file__).parents[3] / "shared"))


def write_view(folder, view, layers=tuple(LAYERS), seed=0):
    rng = np.random.default_rng(seed)
    for layer in layers:
        write_rgb(folder / f"{view}_{layer}.png", rng.random((8, 8, 3), dtype=np.float32))


def test_objects_and_views_are_found(tmp_path):
    write_view(tmp_path / "0001", "0024")
    write_view(tmp_path / "0001", "0078", ("i", "d"))
    write_view(tmp_path / "0002", "0024")
    found = find(tmp_path, "sshr")
    assert [record.name for record in found.records] == ["0001/0024", "0001/0078", "0002/0024"]
    assert (found.problems, set(found.records[0].files)) == ([], set(LAYERS.values()))
    assert set(found.records[1].files) == {"input", "diffuse"}
    assert [record.name for record in sshr(tmp_path / "0002").records] == ["0024"]
    assert len(find(tmp_path).records) == 3


def test_a_view_without_its_diffuse_is_named(tmp_path):
    write_view(tmp_path / "0001", "0024", ("i", "a", "d_tc"))
    found = sshr(tmp_path)
    assert (found.records, len(found.problems)) == ([], 1)
    assert "0024_d" in found.problems[0]


def test_the_residue_is_read_or_computed(tmp_path):
    write_view(tmp_path, "0001")
    files = sshr(tmp_path).records[0].files
    without = {key: path for key, path in files.items() if key != "specular"}
    samples = ResidueSamples([Record("with", files), Record("without", without)])
    stored, computed = samples[0], samples[1]
    assert stored.keys() == computed.keys()
    assert not torch.equal(stored["specular"], computed["specular"])
    wanted = (computed["input"] - computed["diffuse"]).clamp(0, 1)
    torch.testing.assert_close(computed["specular"], wanted)


def test_the_real_tuple_loads():
    folder = SHARED / "data" / "sshr" / "test"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    records = find(folder).records
    assert [record.name for record in records] == ["007004/0024"]
    sample = ResidueSamples(records)[0]
    for key in LAYERS.values():
        assert sample[key].shape == ((1 if key == "object_mask" else 3), 256, 256)
    assert sample["object_mask"].mean() == pytest.approx(0.128, abs=0.001)  # a figure of three decimals
    errors = [(sample["input"] - sample[key]).square().mean() for key in ("diffuse", "tone_corrected")]
    assert [round(float(-10 * error.log10()), 2) for error in errors] == [30.79, 32.41]
