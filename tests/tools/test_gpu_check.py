"""tools/gpu_check.py at toy size, and on a GPU where there is one."""

import json

import pytest
import torch

from tools import gpu_check


def test_it_goes_on_after_a_failure_and_resumes(tmp_path, monkeypatch, capsys):
    calls = []

    def good(device, toy):
        calls.append("good")
        return {"rate": 2.0}

    def bad(device, toy):
        calls.append("bad")
        raise gpu_check.Failed("too far")

    monkeypatch.setattr(gpu_check, "CHECKS", {"bad": bad, "good": good})
    arguments = ["--dry_run", "--out", str(tmp_path / "gpu.json")]
    assert gpu_check.main(arguments) == 1
    assert capsys.readouterr().out.splitlines() == ["FAIL bad: Failed: too far", "PASS good: rate 2"]
    assert gpu_check.main(arguments) == 1
    assert calls == ["bad", "good", "bad"]


@pytest.mark.slow
def test_every_kind_of_check_runs_at_toy_size(tmp_path, monkeypatch):
    last = "training, batch 3, fp32"
    kinds = {name: gpu_check.CHECKS[name] for name in ("versions", "network", "remover", last)}
    monkeypatch.setattr(gpu_check, "CHECKS", kinds)
    path = tmp_path / "gpu.json"
    assert gpu_check.main(["--dry_run", "--out", str(path)]) == 0
    found = json.loads(path.read_text())["checks"][last]["found"]
    assert found["images_per_second"] > 0
    assert found["share_of_matrix_rate"] > 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["network", "remover"])
def test_the_gpu_agrees_with_the_cpu(name):
    gpu_check.CHECKS[name](torch.device("cuda"), False)
