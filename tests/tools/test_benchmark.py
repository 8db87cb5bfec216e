"""benchmark.py: the plain path computes the same, what is measured, and the files it writes."""

import json
import shutil

import pytest
import torch

import benchmark
from models import build_model
from recipes.presets import resolve
from tests.tolerances import NETWORK, SUMMED
from tools import training_speed
from tools.benchmark import BenchmarkOptions, plan
from tools.measurement import (
    Limits,
    Measurement,
    copy_bandwidth,
    count_operations,
    markdown,
    matmul_rate,
    timed,
)
from tools.plain_path import make_plain
from training.build import build_run
from training.distributed import Distributed
from utils.errors import UserError

TINY = {
    "aha-lite": {"widths": (4, 4, 8), "trunk_channels": (4, 8, 8)},
    "aha": {"widths": (3, 4, 6)},
}


@pytest.mark.parametrize("name", TINY)
def test_the_plain_path_computes_the_same(name):
    torch.manual_seed(0)
    network = build_model(name, **TINY[name]).eval()
    image = torch.rand(1, 3, 64, 32)
    with torch.inference_mode():
        ours = network(image)
        plain = make_plain(network)(image)
    assert not torch.equal(ours.diffuse, image)
    torch.testing.assert_close(plain.diffuse, ours.diffuse, rtol=NETWORK, atol=SUMMED)


def test_operations_of_a_convolution_are_counted():
    layer = torch.nn.Conv2d(3, 8, 3, padding=1)
    assert count_operations(lambda: layer(torch.zeros(2, 3, 10, 10))) == 2 * 2 * 8 * 3 * 9 * 100


def test_the_limits_are_positive_and_warm_up_is_not_counted():
    cpu = torch.device("cpu")
    assert matmul_rate(cpu, "fp32", side=64, runs=1) > 0
    assert copy_bandwidth(cpu, mebibytes=1, runs=1) > 0
    calls = []
    assert len(timed(lambda: calls.append(1), cpu, runs=4)) == 4
    assert len(calls) == 6


def test_ratios_are_to_the_plain_path_and_shares_to_the_measured_rate():
    plain = Measurement("inference", "aha", "plain", "8x8", 2, "fp32", [4.0, 3.0, 9.0])
    ours = Measurement("inference", "aha", "ours", "8x8", 2, "bf16", [2.0], 10.0, 7.0, 4e9)
    other = Measurement("inference", "aha", "ours", "9x9", 2, "bf16", [2.0])
    too_large = Measurement("inference", "aha", "plain", "9x9", 2, "fp32", note="would take 99 GiB")
    lines = markdown([plain, ours, other, too_large], Limits({"bf16": 1e10, "fp32": 1e10}, 1e9)).splitlines()
    assert "| ours | bf16 | 2.0000 | 1.00 | 2.00 | 10 | 7 | 4.0 | 20 % |" in lines[5]
    assert "| 2.0000 | 1.00 | - |" in lines[6]
    assert lines[7].endswith("| would take 99 GiB |")


def test_fp32_on_a_gpu_is_compared_with_tf32_where_cudnn_uses_it():
    limits = Limits({"fp32": 1e10, "tf32": 4e10}, 1e9)
    training = Measurement("training step", "aha", "ours", "8x8", 2, "fp32", [1.0], operations=1e10)
    inference = Measurement("inference", "aha", "ours", "8x8", 2, "fp32", [1.0], operations=5e9)
    lines = markdown([training, inference], limits).splitlines()
    assert "| 25 % |" in lines[4]
    assert "| 50 % |" in lines[5]


@pytest.mark.slow
def test_the_training_step_reads_no_pictures(tmp_path, monkeypatch):
    training_speed.write_pairs(tmp_path / "train", 2)
    options = training_speed.training_options(
        tmp_path, model="aha-lite", size=64, batch_size=1, device="cpu", runs_name=str(tmp_path / "run")
    )
    run = build_run(resolve(options), Distributed("cpu"))
    step = training_speed._our_step(run)
    monkeypatch.setattr("torch.utils.data.DataLoader.__iter__", None)
    shutil.rmtree(tmp_path / "train")
    step()
    step()
    assert run.progress.step == 2


def test_the_plan_has_the_plain_path_first_and_refuses_what_is_not_there():
    cases = plan(BenchmarkOptions(models=["tshrnet", "aha"], sizes=["20x10"]))
    assert [(case.path, case.precision) for case in cases[:3]] == [
        ("plain", "fp32"),
        ("ours", "fp32"),
        ("ours", "bf16"),
    ]
    assert cases[0].size == (20, 10)
    assert {case.model for case in cases if case.what == "training step"} == {"aha"}
    for wrong in ({"models": ["ahaa"]}, {"sizes": ["640"]}, {"precisions": ["fp8"]}, {"runs": 0}):
        with pytest.raises(UserError):
            plan(BenchmarkOptions(**wrong))


@pytest.mark.slow
def test_the_quick_benchmark_measures_both_paths(tmp_path, capsys):
    assert benchmark.main(["--quick", "--device", "cpu", "--out", str(tmp_path / "here")]) == 0
    record = json.loads((tmp_path / "here.json").read_text())
    rows = {(m["what"], m["path"]): m for m in record["measurements"]}
    assert len(rows) == 4
    assert all(m["median"] > 0 and len(m["seconds"]) == 3 for m in rows.values())
    assert record["limits"]["operations"]["fp32"] > 0
    losses = [rows["training step", path]["loss"] for path in ("plain", "ours")]
    assert losses[0] == pytest.approx(losses[1], rel=NETWORK)
    assert "| inference | aha-lite | 64x64 | 1 | plain | fp32 |" in (tmp_path / "here.md").read_text()
    assert "written:" in capsys.readouterr().out
