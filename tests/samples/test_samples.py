"""The sample pictures are there, small, have highlights, and come from the script beside them."""

from pathlib import Path

import numpy as np
import pytest

from samples import sheet
from samples.materials import glaze, plaster
from samples.render import Scene, Thing, ellipsoid, render, scenes, softboxes, table
from utils.errors import UserError
from utils.image_files import list_pictures, read_rgb, write_rgb

FOLDER = Path(__file__).resolve().parents[2] / "samples"


def test_every_scene_is_committed_small_and_shiny():
    pictures = list_pictures(FOLDER)
    assert {p.name for p in pictures} == set(scenes())
    assert 3 <= len(pictures) <= 6
    for picture in pictures:
        image = read_rgb(picture)
        assert picture.stat().st_size < 150_000
        burnt = (image.min(axis=2) > 0.9).mean()
        assert 0.0005 < burnt < 0.2, picture.name


def test_a_ball_mirrors_the_window():
    """The brightest pixel is where the mirrored ray meets the key light, on the side of the lamp."""
    key = (-0.6, 0.6, 0.5)
    ball = Thing(ellipsoid((0, 0.5, 0), (0.5, 0.5, 0.5)), glaze((0.1, 0.1, 0.1)))
    scene = Scene([Thing(table, plaster), ball], eye=(0, 0.6, 4), target=(0, 0.5, 0), zoom=3, key=key)
    image = render(scene, (60, 60), 1)
    assert np.isfinite(image).all()
    row, column = np.unravel_index(image.sum(axis=2).argmax(), (60, 60))
    assert row < 30
    assert column < 30
    assert np.array_equal(image, render(scene, (60, 60), 1))


@pytest.mark.parametrize("roughness", [0.02, 0.2])
def test_rougher_surfaces_mirror_dimmer_and_wider(roughness):
    key, right, up = np.float32([(0, 0.8, 0.6), (-1, 0, 0), (0, 0.6, -0.8)])
    directions = np.stack([key + 0.1 * right + 0.1 * up, key + 0.3 * right + 0.1 * up])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    inside, beside = softboxes(directions, key, np.full(2, roughness, np.float32))
    if roughness < 0.1:
        assert inside > 12
        assert beside == 0
    else:
        assert 5 < inside < 12
        assert beside > 0.5


def test_sheets_are_stacked(tmp_path, monkeypatch):
    for name, size in (("a", (5, 8)), ("b", (7, 6))):
        write_rgb(tmp_path / f"{name}-comparison.png", np.zeros((*size, 3), np.uint8))
    monkeypatch.setattr("sys.argv", ["sheet", str(tmp_path), str(tmp_path / "all.png")])
    assert sheet.main() == 0
    stacked = read_rgb(tmp_path / "all.png")
    assert stacked.shape == (12, 8, 3)
    assert stacked[:, :6].max() == 0
    assert stacked[5:, 6:].min() == 1
    monkeypatch.setattr("sys.argv", ["sheet", str(tmp_path / "empty"), str(tmp_path / "all.png")])
    with pytest.raises(UserError, match="make demo"):
        sheet.main()
