"""tools/classical_methods.py: its options, and its table."""

import cv2
import numpy as np
import pytest

from tests.classical.two_colours import two_colours
from tools import classical_methods as benchmark
from utils.errors import UserError
from utils.image_files import write_rgb


def test_table_goes_to_the_terminal_and_to_a_file(tmp_path, capsys):
    out = tmp_path / "table.md"
    assert benchmark.main(["--size", "32x24", "--methods", "shen2013", "--out", str(out)]) == 0
    table = out.read_text(encoding="utf-8")
    assert "drawn 32x24 picture" in table
    assert "| shen2013 | 0." in table
    assert capsys.readouterr().out.rstrip("\n") == table.rstrip("\n")


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
    measured = {"shen2013": benchmark.measure("shen2013", image, pairs)}
    table = benchmark.report(measured, "32x32", ["cups"])
    row = next(line for line in table.splitlines() if line.startswith("| shen2013 | 39.3 |"))
    assert float(row.split("|")[3]) > 45


def test_scene_is_an_eight_bit_picture_of_the_size():
    scene = benchmark.draw_scene(30, 20)
    assert scene.shape == (20, 30, 3)
    assert scene.dtype == np.float32
    np.testing.assert_array_equal(scene, np.rint(scene * 255).astype(np.float32) / np.float32(255))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size", "640"], "WIDTHxHEIGHT"),
        (["--size", "0x10"], "WIDTHxHEIGHT"),
        (["--methods", "shen2014"], "shen2014"),
    ],
)
def test_wrong_options_are_named(words, message):
    with pytest.raises(UserError, match=message):
        benchmark.main(words)


def test_folder_without_pairs_is_named(tmp_path):
    write_rgb(tmp_path / "alone.png", np.zeros((4, 4, 3), np.float32))
    with pytest.raises(UserError, match="no pair"):
        benchmark.main(["--dataroot", str(tmp_path)])
