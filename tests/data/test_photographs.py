"""Photographs that are to come back as they are."""

import numpy as np
import pytest
import torch

from data.photographs import Photographs
from utils.errors import UserError
from utils.image_files import write_rgb


def test_what_comes_in_is_what_is_to_come_out(tmp_path) -> None:
    rng = np.random.default_rng(0)
    write_rgb(tmp_path / "street" / "a.png", rng.random((90, 60, 3), dtype=np.float32))
    write_rgb(tmp_path / "page.png", rng.random((20, 40, 3), dtype=np.float32))
    photos = Photographs([str(tmp_path)], side=30, least=24)
    samples = {sample["name"].rsplit("/", 1)[1]: sample for sample in (photos[i] for i in range(len(photos)))}
    assert {name: tuple(s["input"].shape) for name, s in samples.items()} == {
        "a.png": (3, 45, 30),  # reduced to the short side
        "page.png": (3, 24, 48),  # enlarged to what a crop needs
    }
    for sample in samples.values():
        assert torch.equal(sample["input"], sample["diffuse"])
        assert not sample["specular"].any()
        assert sample["mask"].shape == sample["input"][:1].shape
        assert not sample["mask"].any()


def test_folders_without_pictures_are_named(tmp_path) -> None:
    with pytest.raises(UserError, match="holds no pictures"):
        Photographs([str(tmp_path)])
    with pytest.raises(UserError, match="no such folder"):
        Photographs([str(tmp_path / "none")])
