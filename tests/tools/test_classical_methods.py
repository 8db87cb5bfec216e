"""tools/classical_methods.py: its table, and the published figure beside ours."""

import cv2
import pytest

from tests.classical.two_colours import two_colours
from tools import classical_methods as benchmark
from utils.errors import UserError
from utils.image_files import write_rgb


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
