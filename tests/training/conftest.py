"""Tiny runs: eight pairs of 64 pixels, a network of a few thousand weights."""

import numpy as np
import pytest

from training.options import TrainOptions
from utils.image_files import write_rgb

TINY = ["widths=[4,4,8]", "trunk_channels=[4,8,8]", "dilations=[2]"]


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def pairs(tmp_path_factory):
    """A SHIQ-like data set: train/ and test/ with NNNNN_{A,D,S,T}.png."""
    root = tmp_path_factory.mktemp("data") / "SHIQ_tiny"
    rng = np.random.default_rng(0)
    for split, first, count in (("train", 1, 8), ("test", 14001, 3)):
        for number in range(first, first + count):
            write_pair(root / split, f"{number:05d}", rng)
    return root


def write_pair(folder, name, rng, side=64):
    diffuse = np.kron(rng.random((4, 4, 3)) * 0.6, np.ones((side // 4, side // 4, 1)))
    rows, columns = np.mgrid[:side, :side] - rng.integers(side // 4, 3 * side // 4, (2, 1, 1))
    specular = 0.8 * np.exp(-(rows**2 + columns**2) / (2 * (side / 8) ** 2))
    specular[specular < 0.02] = 0
    layers = {"A": diffuse + specular[..., None], "D": diffuse, "S": specular, "T": specular > 0.2}
    for letter, layer in layers.items():
        write_rgb(folder / f"{name}_{letter}.png", np.asarray(layer, np.float32).clip(0, 1))


@pytest.fixture
def tiny(pairs, tmp_path):
    """options(**changes) of a tiny run that writes to tmp_path / "run"."""

    def options(**changes):
        values = {
            "runs_name": str(tmp_path / "run"), "dataroot": str(pairs), "model": "aha-lite",
            "hyperparameters": TINY, "size": 32, "batch_size": 2, "max_steps": 6, "lambda_gan": 0.0,
            "lambda_perceptual": 0.0, "lr_g": 1e-3, "log_every": 1, "val_every": 3, "checkpoint_every": 2,
            "num_workers": 0, "tracker": ["none"], "pictures": False, "curves": False,
            "deterministic": True, "device": "cpu",
        }  # fmt: skip
        return TrainOptions(**(values | changes))

    return options
