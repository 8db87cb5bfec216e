"""Two processes on the CPU take the steps of one with the doubled batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training.distributed import Distributed
from training.loop import train

ROOT = Path(__file__).resolve().parents[2]
# Sums over two halves round otherwise than sums over the whole; the steps of AdamW, about lr whatever the
# size of a gradient, spread that to weights whose gradient is nearly zero.
LOSS_TOLERANCE = 1e-3
# The score of the changed picture answers to the discriminator's weights many times as strongly as its loss
# does: what differs by 3e-5 after one step differs by 2e-2 after four, on some processors.
SCORE_TOLERANCE = {"gan": 1e-1, "loss": 2e-2}


def _losses(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "train"], [
        line for line in lines if line["kind"].startswith("validation")
    ]


def test_two_processes_equal_one_with_the_doubled_batch(tiny, tmp_path):
    common = {"lambda_gan": 1.0, "size": 64, "max_steps": 4, "val_every": 4, "ema_decay": 0.9, "lr_g": 1e-4}
    one, two = tmp_path / "one", tmp_path / "two"
    options = tiny(runs_name=str(two), batch_size=2, grad_accumulation=2, **common)
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "0"]
    words += ["--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0", "train.py"]
    for name, value in vars(options).items():
        if value not in (None, []) and not isinstance(value, bool):
            words += [f"--{name}", *(map(str, value) if isinstance(value, list) else [str(value)])]
    words += ["--no_pictures", "--no_curves", "--deterministic"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    train(tiny(runs_name=str(one), batch_size=4, grad_accumulation=2, **common))

    (alone, judged), (shared, judged_shared) = _losses(one), _losses(two)
    assert [line["step"] for line in shared] == [line["step"] for line in alone] == [1, 2, 3, 4]
    for a, b in zip(alone + judged, shared + judged_shared, strict=True):
        assert a.keys() == b.keys()
        for name in a.keys() - {"kind"}:
            within = SCORE_TOLERANCE.get(name, LOSS_TOLERANCE) if a["step"] > 1 else LOSS_TOLERANCE
            assert b[name] == pytest.approx(a[name], rel=within, abs=1e-5), (name, a, b)
    states = [torch.load(folder / "last.pt", weights_only=True) for folder in (one, two)]
    for name, value in states[0]["networks"]["model"].items():
        other = states[1]["networks"]["model"][name]
        assert torch.allclose(value.float(), other.float(), atol=2e-3), name
    assert sorted(p.name for p in one.iterdir()) == sorted(p.name for p in two.iterdir())
    assert (two / "timing.jsonl").read_text().count("\n") == 4


def test_fp16_has_one_loss_scale_for_all_optimisers_of_a_step():
    calls = []

    class Scaler:
        def step(self, optimiser):
            calls.append(optimiser)

        def update(self):
            calls.append("new scale")

    distributed = Distributed("cpu")
    distributed.accelerator.scaler = Scaler()
    distributed.step("discriminator")
    distributed.step("generator")
    distributed.end_step()
    assert calls == ["discriminator", "generator", "new scale"]
