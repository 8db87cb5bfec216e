"""The scoreboard's two tables, from pairs that are drawn."""

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.color import rgb2lab

from evaluation.datasets import find_pairs
from tests.classical.two_colours import two_colours
from tests.evaluation import shiq_pairs
from tools import classical_methods as benchmark
from tools import scene_scores as scenes
from tools import scoreboard
from utils.errors import UserError
from utils.image_files import write_rgb


def test_a_column_per_data_set_and_what_people_see(tmp_path, capsys):
    shiq_pairs.write(tmp_path / "data" / "shiq", ["90001", "90002"])
    words = ["--data", str(tmp_path / "data"), "--methods", "shen2009", "--per_image"]
    assert scoreboard.main([*words, "--append", str(tmp_path / "board.md")]) == 0
    out = capsys.readouterr().out
    assert out.count("shiq (2)") == 2
    assert re.search(r"\| shen2009 +\| [+-]\d+\.\d\d \[[+-]", out)  # gain over the input with its interval
    inputs = [line for line in out.splitlines() if line.startswith("| input")]
    assert len(inputs) == 2
    assert inputs[1].split("|")[2].split(" / ")[2] == "100"  # all of the highlight is left
    assert "shiq/90001: " in out
    assert inputs[0] in (tmp_path / "board.md").read_text()


def test_a_folder_without_any_of_the_data_sets_is_named(tmp_path):
    with pytest.raises(UserError, match="shiq_figures"):
        scoreboard.main(["--data", str(tmp_path)])


def test_strength_reaches_the_methods(tmp_path, capsys):
    shiq_pairs.write(tmp_path / "shiq", ["90001"])
    for strength in ("0", "1"):
        words = ["--data", str(tmp_path), "--methods", "shen2009", "--strength", strength]
        assert scoreboard.main(words) == 0
    untouched, changed = capsys.readouterr().out.split("| method")[1::3]
    rows = [[line.split("|")[2] for line in table.splitlines()[2:4]] for table in (untouched, changed)]
    assert rows[0][0] == rows[0][1]
    assert rows[1][0] != rows[1][1]


def test_no_pair_is_in_both_halves_and_a_half_is_scored_alone(tmp_path, capsys):
    halves = json.loads(scoreboard.HALVES.read_text())
    choose, score = (
        {(name, pair) for name in halves[h] for pair in halves[h][name]} for h in ("choose", "score")
    )
    assert not choose & score
    assert {name for name, _ in choose | score} == set(scoreboard.GROUPS)
    shiq_pairs.write(tmp_path / "shiq", ["90001", "90003", "90005"])
    for half, count in (("choose", 2), ("score", 1), ("all", 3)):
        assert scoreboard.main(["--data", str(tmp_path), "--methods", "shen2009", "--half", half]) == 0
        assert f"shiq ({count})" in capsys.readouterr().out


# ---- the test on synthetic scenes, against values worked out by hand


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


# ---- what holds for every command of evaluation and tools


MODULES = ("evaluate", "benchmark", "tools.scene_scores", "tools.scoreboard")


def test_help_does_not_wait_for_torch() -> None:
    code = f"import sys, importlib\nfor name in {MODULES!r}:\n"
    code += "    try: importlib.import_module(name).main(['--help'])\n    except SystemExit: pass\n"
    code += "    print(name, sorted({'torch', 'scipy', 'skimage', 'matplotlib'} & set(sys.modules)))"
    words, root = [sys.executable, "-c", code], Path(__file__).parents[2]
    run = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout.count("usage: ") == len(MODULES)
    for name in MODULES:
        assert f"\n{name} []\n" in run.stdout


# ---- tools/classical_methods.py: its table, and the published figure beside ours


@pytest.fixture
def _threads():
    threads = cv2.getNumThreads()
    yield
    cv2.setNumThreads(threads)


@pytest.mark.usefixtures("_threads")
def test_pairs_are_scored_beside_the_published_figure(tmp_path):
    image, diffuse = two_colours(32)
    write_rgb(tmp_path / "cups.png", image)
    write_rgb(tmp_path / "cups_gt.png", diffuse)
    write_rgb(tmp_path / "lady.png", image)
    pairs = benchmark.find_pairs(tmp_path)
    assert [picture.name for picture, _ in pairs] == ["cups.png"]
    scene = benchmark.draw_scene(30, 20)
    assert scene.shape == (20, 30, 3)
    measured = {"shen2013": benchmark.measure("shen2013", scene, pairs)}
    table = benchmark.report(measured, "30x20", ["cups"])
    row = next(line for line in table.splitlines() if line.startswith("| shen2013 | 39.3 |"))
    assert float(row.split("|")[3]) > 45


def test_wrong_options_are_named(tmp_path):
    with pytest.raises(UserError, match="shen2014"):
        benchmark.main(["--methods", "shen2014"])
    with pytest.raises(UserError, match="no pair"):
        benchmark.find_pairs(tmp_path)
