"""The ablation's table, from weights that are there."""

import pytest
import torch

from models import build_model
from recipes.presets import resolve
from tests.evaluation import shiq_pairs
from tools import ablation
from training.build import NetworkSource
from training.options import ModelOptions, TrainOptions
from utils import cli
from utils.errors import UserError
from weights.model_files import save_model


def test_the_table_has_a_row_a_variant(tmp_path, monkeypatch, capsys):
    weights = tmp_path / "tiny.safetensors"
    save_model(build_model("aha-lite", widths=(4, 4, 8), trunk_channels=(4, 8, 8)), weights)
    monkeypatch.setattr(ablation, "_train", lambda name, options: weights)
    shiq_pairs.write(tmp_path / "scenes" / "test", ["14001", "14002"])
    shiq_pairs.write(tmp_path / "real" / "shiq", ["90001"])
    where = ["--scenes", str(tmp_path / "scenes"), "--data", str(tmp_path / "real"), "--out", str(tmp_path)]
    assert ablation.main([*where, "--only", "base", "bounded map"]) == 0
    head, _, *rows = capsys.readouterr().out.strip().splitlines()
    assert head.endswith("| shiq: gain, dB |")
    assert [row.split(" | ")[0] for row in rows] == ["| base", "| bounded map"]
    assert (tmp_path / "table.md").exists()


@pytest.mark.parametrize("name", ablation.VARIANTS)
def test_every_variant_is_a_network_that_runs(name):
    words = [*ablation.BASE.split(), *ablation.VARIANTS[name].split()]
    options = resolve(cli.parse(TrainOptions, words, prog="train.py", description=""))
    network = NetworkSource(options.group(ModelOptions)).build()
    separation = network(torch.rand(2, 3, 32, 32))
    assert separation.diffuse.shape == (2, 3, 32, 32)


def test_unknown_variants_and_options_are_named(tmp_path):
    with pytest.raises(UserError, match="bounded map"):
        ablation.main(["--scenes", str(tmp_path), "--only", "unbounded"])
    with pytest.raises(UserError, match="NAME=VALUE"):
        ablation.main(["--scenes", str(tmp_path), "--only", "base", "--train_options", "precision"])
