"""Run folders and seeds."""

from dataclasses import dataclass, field

import numpy as np
import torch
import yaml

from utils import runs, seeds


@dataclass
class _Options:
    """Options."""

    rate: float = 1e-4
    folders: list[str] = field(default_factory=list)
    name: str | None = None


def test_the_configuration_is_written(tmp_path):
    runs.write_configuration(tmp_path / "run", _Options(folders=["ä"]))
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text()) == {
        "rate": 1e-4,
        "folders": ["ä"],
        "name": None,
    }
    code = yaml.safe_load((tmp_path / "run" / "code.yaml").read_text())
    assert {"command", "commit", "python", "libraries"} == set(code)
    assert code["libraries"]["numpy"] == np.__version__


def test_outside_a_checkout_the_commit_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "__file__", str(tmp_path / "utils" / "runs.py"))
    (tmp_path / "utils").mkdir()
    assert runs.git_commit() == "unknown"


def test_draws_are_a_function_of_the_place():
    assert seeds.rng(1, 2).random() == seeds.rng(1, 2).random() != seeds.rng(2, 1).random()
    seeds.seed_torch(1, 2)
    first = torch.rand(3)
    seeds.seed_torch(2, 1)
    assert not torch.equal(torch.rand(3), first)
    seeds.seed_torch(1, 2)
    assert torch.equal(torch.rand(3), first)
