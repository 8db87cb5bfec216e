"""torch.hub's entry points, from a local folder."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

import hubconf

ROOT = Path(__file__).resolve().parents[1]


def hub(entry, **options):
    return torch.hub.load(str(ROOT), entry, source="local", **options)


def test_the_entry_points_are_what_they_should_be():
    """torch.hub lists every public callable of the file."""
    names = {name for name, value in vars(hubconf).items() if callable(value) and not name.startswith("_")}
    assert names == {"highlight_remover", "aha_lite", "aha", "aha_figure", "tshrnet"}
    assert all(importlib.util.find_spec(package) for package in hubconf.dependencies)


def test_a_remover_and_its_network():
    network = hub("aha_lite")
    assert network.spec.name == "aha-lite"
    assert not network.training
    picture = np.full((40, 50, 3), 90, np.uint8)
    restored = hub("highlight_remover", device="cpu")(picture)
    assert restored.diffuse.shape == picture.shape
    assert restored.diffuse.dtype == np.uint8


def test_random_weights_and_hyper_parameters():
    assert hub("tshrnet", mix=True, width=2).spec.name == "tshrnet-mix"
    assert hub("aha_lite", pretrained=False, widths=(4, 4, 8)).spec.hyperparameters["widths"] == (4, 4, 8)
    with pytest.raises(ValueError, match="leave widths out"):
        hub("aha_lite", widths=(4, 4, 8))
