"""Pairs found and read in every layout, and what is said about those that are not whole."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.datasets import Sample, clipped, find_pairs
from tests.evaluation.shiq_pairs import draw, write
from tests.tolerances import STORED_16
from utils.colour import srgb_encode, to_unit
from utils.errors import UserError
from utils.image_files import write_rgb


def test_shiq_split_folder(tmp_path: Path) -> None:
    write(tmp_path / "test", ["00002", "00001"])
    found = find_pairs(tmp_path)
    assert (found.name, found.split) == ("shiq", "test")
    assert [pair.name for pair in found.pairs] == ["00001", "00002"]
    sample = found.pairs[1].load()
    assert np.array_equal(sample.image, draw(0)["A"])
    assert np.array_equal(sample.ground_truth, draw(0)["D"])
    assert np.array_equal(sample.mask, draw(0)["T"] > 0)
    assert find_pairs(tmp_path, limit=1).pairs[0].name == "00001"


def test_shiq_flat_folder_is_split_by_the_official_list(tmp_path: Path) -> None:
    write(tmp_path, ["00001", "14000", "14001", "15000"], "AD")
    found = find_pairs(tmp_path)
    assert [pair.name for pair in found.pairs] == ["14001", "15000"]
    assert "14001..15000" in found.split
    assert [pair.name for pair in find_pairs(tmp_path, test_dir="test").pairs] == ["14001", "15000"]


def test_of_psd_as_downloaded_the_official_pairs_are_scored(tmp_path: Path) -> None:
    for part in ("Train", "val", "Test"):
        for side in ("specular", "diffuse"):
            write_rgb(tmp_path / f"PSD_{part}/PSD_{part}_{side}/a.png", np.zeros((4, 4, 3)))
        for index in (1, 2, 7):
            group = tmp_path / f"PSD_{part}/PSD_{part}_group/aligned"
            write_rgb(group / f"group-0001-idx-{index:02d}.png", np.zeros((4, 4, 3)))
    found = find_pairs(tmp_path)
    assert [pair.name for pair in found.pairs] == ["PSD_Test/a", "PSD_val/a"]
    assert "PSD_val and PSD_Test" in found.split
    assert len(found.notes) == 2


def test_missing_partners_are_named(tmp_path: Path) -> None:
    write(tmp_path, ["1", "2"], "AD")
    (tmp_path / "2_D.png").unlink()
    found = find_pairs(tmp_path)
    assert ([pair.name for pair in found.pairs], len(found.problems)) == (["1"], 1)
    assert "2_A.png" in found.problems[0]


def test_sizes_that_differ_are_named(tmp_path: Path) -> None:
    write(tmp_path, ["1"], "AD")
    write_rgb(tmp_path / "1_D.png", np.zeros((9, 8, 3)))
    with pytest.raises(UserError, match=r"1_D\.png is 8x9 but .*1_A\.png is 24x24"):
        find_pairs(tmp_path).pairs[0].load()


def test_laboratory_and_its_expected_names(tmp_path: Path) -> None:
    for name in ("cups", "cups_gt", "lady", "fruit"):
        write_rgb(tmp_path / f"{name}.bmp", np.zeros((4, 5, 3)))
    found = find_pairs(tmp_path)
    assert (found.name, [pair.name for pair in found.pairs]) == ("laboratory", ["cups"])
    assert len(found.problems) == 2
    problems = find_pairs(tmp_path, "laboratory", expected=("cups", "fruit")).problems
    assert len(problems) == 1
    assert "fruit.bmp" in problems[0]


@pytest.mark.parametrize("pattern", ["box_{}.png", "box/{}.png"])
def test_mit_intrinsic_is_linear_16_bit(tmp_path: Path, pattern: str) -> None:
    rng = np.random.default_rng(0)
    diffuse, specular = rng.random((6, 7, 3)) * 0.5, rng.random((6, 7, 3)) * 0.4
    layers = {"original": diffuse + specular, "diffuse": diffuse, "specular": specular}
    for layer, values in (layers | {"mask": np.arange(42).reshape(6, 7) > 9}).items():
        write_rgb(tmp_path / pattern.format(layer), values.astype(np.float32), bits=16)
    pair = find_pairs(tmp_path).pairs[0]
    assert (pair.name, pair.linear) == ("box", True)
    sample = pair.load()
    assert sample.image.dtype == np.uint16
    assert np.allclose(to_unit(sample.image), diffuse + specular, atol=STORED_16)
    # sRGB is up to 12.92 times as steep as linear values.
    assert np.allclose(to_unit(sample.specular), srgb_encode(specular), atol=STORED_16 * 13)
    assert np.array_equal(sample.object_mask, np.arange(42).reshape(6, 7) > 9)
    encoded = find_pairs(tmp_path, transfer="srgb").pairs[0].load()
    assert np.allclose(to_unit(encoded.ground_truth), srgb_encode(diffuse), atol=STORED_16 * 13)


def test_sshr_and_tone_corrected_ground_truth(tmp_path: Path) -> None:
    for layer in ("i", "d", "r", "m"):
        write_rgb(tmp_path / "test" / "007" / f"0001_{layer}.jpg", np.full((8, 8, 3), 0.5))
    found = find_pairs(tmp_path)
    assert (found.name, found.pairs[0].name) == ("sshr", "007/0001")
    assert found.pairs[0].load().object_mask.all()
    with pytest.raises(UserError, match=r"python -m data\.tone_correction"):
        find_pairs(tmp_path, compared_layer="tone_corrected")
    write_rgb(tmp_path / "test" / "007" / "0001_d_tc.jpg", np.full((8, 8, 3), 0.25))
    sample = find_pairs(tmp_path, compared_layer="tone_corrected").pairs[0].load()
    assert np.allclose(to_unit(sample.ground_truth), 0.25, atol=0.01)  # JPEG of one grey: a level or two


def test_two_globs(tmp_path: Path) -> None:
    for name in ("a b", "ü"):
        write_rgb(tmp_path / "in" / f"{name}.png", np.zeros((4, 4, 3)))
        write_rgb(tmp_path / "gt" / f"{name}_diffuse.bmp", np.zeros((4, 4, 3)))
    found = find_pairs(tmp_path, input_glob="in/*.png", target_glob="gt/*_diffuse.bmp")
    assert [pair.name for pair in found.pairs] == ["a b", "ü"]
    with pytest.raises(UserError, match="belong together"):
        find_pairs(tmp_path, input_glob="in/*.png")


def test_grey_pictures_are_replicated(tmp_path: Path) -> None:
    write_rgb(tmp_path / "x.png", np.eye(5, dtype=np.float32))
    write_rgb(tmp_path / "x_gt.png", np.zeros((5, 5, 3)))
    sample = find_pairs(tmp_path).pairs[0].load()
    assert np.array_equal(sample.image, np.repeat(np.eye(5)[..., None] * 255, 3, 2))


def test_errors_tell_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        find_pairs(tmp_path / "none")
    with pytest.raises(UserError, match="input_glob"):
        find_pairs(tmp_path)
    with pytest.raises(UserError, match="test_dir"):
        find_pairs(tmp_path, test_dir="tset")
    with pytest.raises(UserError, match="is not known"):
        find_pairs(tmp_path, "shig")
    write(tmp_path, ["1"], "A")
    with pytest.raises(UserError, match=r"no pair .* is complete"):
        find_pairs(tmp_path)
    write(tmp_path, ["1"], "AD")
    with pytest.raises(UserError, match="linear"):
        find_pairs(tmp_path, transfer="srgb")


def test_two_pictures_of_one_name_are_not_scored_as_one(tmp_path: Path) -> None:
    write(tmp_path, ["1"], "ADS")
    write_rgb(tmp_path / "1_A.bmp", np.zeros((24, 24, 3)))
    (tmp_path / "a.lst").write_text("1_A.png 1_S.png 1_D.png 1_D.png\n1_A.bmp 1_S.png 1_D.png 1_D.png\n")
    found = find_pairs(tmp_path, list_file=str(tmp_path / "a.lst"))
    assert len(found.pairs) == 1
    assert "1_A.bmp has the name of" in found.problems[0]


def test_highlight_region_prefers_the_mask_then_s_then_the_difference() -> None:
    layers = draw(3)
    mask = layers["T"] > 0
    image, diffuse, specular = layers["A"], layers["D"], layers["S"]
    of_mask, of_s = Sample(image, diffuse, mask, specular), Sample(image, diffuse, specular=specular)
    of_difference = Sample(image, diffuse, object_mask=mask)
    assert [sample.region_source for sample in (of_mask, of_s, of_difference)] == ["T", "S", "A-D"]
    assert of_mask.highlight is mask
    from_s = of_s.highlight
    assert from_s.any()
    assert np.array_equal(from_s, of_difference.highlight)
    parts = of_difference.regions()
    assert list(parts) == ["whole", "highlight", "clipped", "rest", "object"]
    assert np.array_equal(parts["rest"], ~from_s)


def test_the_highlight_region_is_one_pass_of_otsu() -> None:
    levels = np.zeros((20, 20), np.uint8)  # a faint and a strong part: a second pass would drop the faint one
    levels[4:10, 4:10], levels[12:16, 12:16] = 120, 255
    black, specular = np.zeros((20, 20, 3), np.uint8), np.repeat(levels[..., None], 3, 2)
    assert np.array_equal(Sample(black, black, specular=specular).highlight, levels > 0)


def test_clipped_is_254_of_255_in_any_channel() -> None:
    image = np.array([[[254, 0, 0], [253, 253, 253], [0, 0, 255]]], np.uint8)
    assert clipped(image).tolist() == [[True, False, True]]
    deep = np.array([[[65279, 0, 0], [65278, 0, 0], [65277, 0, 0]]], np.uint16)
    assert clipped(deep).tolist() == [[True, True, False]]


def test_two_globs_look_into_the_test_folder_that_was_given(tmp_path: Path) -> None:
    write(tmp_path / "held", ["00001", "00002"])
    globs = {"input_glob": "*_A.png", "target_glob": "*_D.png"}
    assert len(find_pairs(tmp_path, test_dir="held", **globs).pairs) == 2
    assert len(find_pairs(tmp_path, input_glob="held/*_A.png", target_glob="held/*_D.png").pairs) == 2


def test_a_limit_below_one_is_refused(tmp_path: Path) -> None:
    write(tmp_path, ["00001", "00002"])
    with pytest.raises(UserError, match="limit of -1"):
        find_pairs(tmp_path, limit=-1)
