"""The test on synthetic scenes, against values worked out by hand."""

import numpy as np
import pytest
from skimage.color import rgb2lab

from evaluation.datasets import find_pairs
from tools import scene_scores as scenes
from utils.image_files import write_rgb

SIDE = 16


@pytest.fixture
def folder(tmp_path):
    """test/ with a visible highlight of 0.2 (51 levels) on a quarter, a faint one of 10 levels, and none."""
    diffuse = np.full((SIDE, SIDE, 3), 100, np.uint8)
    for number, levels in ((14001, 51), (14002, 10), (14003, 0)):
        specular = np.zeros_like(diffuse)
        specular[: SIDE // 2, : SIDE // 2] = levels
        mask = np.where(specular[..., 0] > 0, 255, 0).astype(np.uint8)
        for letter, layer in {"A": diffuse + specular, "D": diffuse, "S": specular, "T": mask}.items():
            write_rgb(tmp_path / "test" / f"{number}_{letter}.png", layer)
    return tmp_path


def _score(folder, spec):
    return scenes.score_scenes(find_pairs(folder, "shiq", test_dir="test").pairs, spec)


def test_the_input_gains_nothing_and_harms_nothing(folder):
    values = _score(folder, "input")
    np.testing.assert_array_equal(values["gain_highlight"], [0, np.nan, np.nan])  # only what is visible
    np.testing.assert_array_equal(values["untouched"], [100, 100, np.nan])
    np.testing.assert_array_equal(values["negative"], [np.nan, np.nan, 100])
    np.testing.assert_array_equal(values["iou"], [0, np.nan, np.nan])
    np.testing.assert_array_equal(values["rest"], [100, np.nan, np.nan])
    np.testing.assert_array_equal(values["chroma_clipped"], np.full(3, np.nan))  # nothing is clipped


def test_gains_and_harm_are_told_apart(folder, tmp_path):
    results = tmp_path / "results"
    for number in (14001, 14002, 14003):
        # Half of the visible highlight is gone, and everything else is one level too dark.
        picture = np.full((SIDE, SIDE, 3), 99, np.uint8)
        if number == 14001:
            picture[: SIDE // 2, : SIDE // 2] = 100 + 26
        write_rgb(results / f"{number}_A.png", picture)
    values = _score(folder, f"results:{results}")
    assert values["gain_highlight"][0] == pytest.approx(20 * np.log10(51 / 26))
    assert values["untouched"][:2] == pytest.approx(20 * np.log10(255))
    assert values["negative"][2] == pytest.approx(20 * np.log10(255))


def test_clipped_highlights_have_their_own_measures(folder, tmp_path):
    for letter, colour in {"A": (255, 200, 200), "D": (200, 100, 100)}.items():
        picture = np.full((SIDE, SIDE, 3), (200, 100, 100), np.uint8)
        picture[: SIDE // 2, : SIDE // 2] = colour
        write_rgb(folder / "test" / f"14001_{letter}.png", picture)
    values = _score(folder, "input")
    a, b = (rgb2lab(np.array(colour) / 255)[1:] for colour in ((255, 200, 200), (200, 100, 100)))
    assert values["chroma_clipped"][0] == pytest.approx(np.linalg.norm(a - b))
    assert values["left_clipped"][0] == pytest.approx(100)


def test_the_command_prints_a_row_a_method(folder, capsys):
    assert scenes.main(["--scenes", str(folder), "--methods", "shen2013"]) == 0
    out = capsys.readouterr().out
    assert "| input | 0.00 |" in out
    assert "| shen2013 |" in out
    assert "3 scenes" in out
