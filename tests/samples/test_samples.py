"""The sample pictures are large, small on disk and shine; how they are made; the sheet of their results."""

import re
from pathlib import Path

import numpy as np
import pytest

from samples import before_after
from samples.still_lifes import STILL_LIFES, render
from samples.tabletop import GLAZE, MATTE, Material, StillLife, ball, tile_numbers
from synthetic import AssetFolders
from utils.errors import UserError
from utils.image_files import list_pictures, read_rgb, write_rgb

FOLDER = Path(__file__).resolve().parents[2] / "samples"


def test_every_still_life_is_committed_large_saturated_and_shiny() -> None:
    pictures = list_pictures(FOLDER)
    assert {picture.name for picture in pictures} == set(STILL_LIFES)
    for picture in pictures:
        image = read_rgb(picture)
        assert max(image.shape) >= 1000
        assert picture.stat().st_size < 400_000
        burnt = (image.min(axis=2) > 0.97).mean()
        assert 0.001 < burnt < 0.2, picture.name
        vivid = (image.max(axis=2) - image.min(axis=2) > 0.3).mean()
        assert vivid > 0.1 or picture.stem == "porcelain", picture.name


def test_materials_from_files_have_their_licence_stated() -> None:
    readme = (FOLDER / "README.md").read_text()
    ours = tile_numbers(AssetFolders())
    for scene in STILL_LIFES.values():
        for material in (scene.wall, scene.table, *(item.material for item in scene.items)):
            assert material.tile in ours or re.search(rf"\b{material.tile}\b", readme), material.tile


def test_a_ball_reflects_the_window_on_the_side_of_the_window() -> None:
    plain = Material((0.4, 0.4, 0.4), MATTE)
    window = ((-2.0, 2.0, 3.0), 1.0, (0.2, 0.2))
    scene = StillLife(plain, plain, [ball((0, -0.1), 0.5, Material((0.1, 0.1, 0.5), GLAZE))], [window])
    picture = render(scene, AssetFolders(), side=96).astype(int)
    assert picture.shape == (72, 96, 3)
    rows, columns = np.nonzero(picture.min(axis=2) >= 250)
    assert len(rows)
    assert rows.mean() < 36  # the upper left quarter of 72 x 96
    assert columns.mean() < 48
    assert np.array_equal(picture, render(scene, AssetFolders(), side=96))


def test_sheets_are_stacked_with_the_worst_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, grey, size in (("a", 0, (10, 16)), ("b", 90, (14, 12)), ("c", 180, (8, 16))):
        write_rgb(tmp_path / f"{name}-comparison.png", np.full((*size, 3), grey, np.uint8))

    def stack(*more: str) -> np.ndarray:
        command = ["before_after", "--demo", str(tmp_path), "--picture", str(tmp_path / "all.png"), *more]
        monkeypatch.setattr("sys.argv", command)
        assert before_after.main() == 0
        return read_rgb(tmp_path / "all.png")

    # The sheet is half as large as the pictures.
    stacked = stack()
    assert stacked.shape == (16, 8, 3)
    assert stacked[5:12, 6:].min() == 1
    worst = stack("--worst", "a")
    assert worst.shape == (16 + before_after.CAPTION // before_after.REDUCTION, 8, 3)
    assert worst[0, 0, 0] == pytest.approx(90 / 255)
    assert worst[-1, 0, 0] == 0
    with pytest.raises(UserError, match="no z-comparison"):
        stack("--worst", "z")
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr("sys.argv", ["before_after", "--demo", str(tmp_path / "empty"), "--picture", "x.png"])
    with pytest.raises(UserError, match="make demo"):
        before_after.main()
