"""SSHR folders, and residues that no file holds."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from data.layouts import find
from data.layouts.sshr import LAYERS, sshr
from data.picture_samples import ResidueSamples
from data.records import Record
from utils.image_files import write_rgb

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
    assert found.problems == []
    assert set(found.records[0].files) == set(LAYERS.values())
    assert set(found.records[1].files) == {"input", "diffuse"}
    assert [record.name for record in sshr(tmp_path / "0002").records] == ["0024"]
    assert len(find(tmp_path).records) == 3


def test_a_view_without_its_diffuse_is_named(tmp_path):
    write_view(tmp_path / "0001", "0024", ("i", "a", "d_tc"))
    found = sshr(tmp_path)
    assert found.records == []
    assert len(found.problems) == 1
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
