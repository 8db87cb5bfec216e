"""Two processes that train take the steps of one with the doubled batch; many runs leave nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.flat import assert_flat
from tests.training.compare import log_lines
from training.distributed import Distributed
from training.loop import train

ROOT = Path(__file__).resolve().parents[2]
# In double precision sums over two halves differ by 1e-16 from those over the whole. AdamW divides a gradient
# by its own size plus 1e-8: where a gradient is nearly zero, that makes 1e-8 of a step at most.
TOLERANCE = 1e-9


def test_two_processes_equal_one_with_the_doubled_batch(tiny, tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for processes, folder in enumerate(folders, 1):
        options = tiny(
            **{"runs_name": str(folder), "batch_size": 4 // processes, "grad_accumulation": 2, "lr_g": 1e-4},
            **{"lambda_gan": 1.0, "size": 64, "max_steps": 4, "val_every": 4, "ema_decay": 0.9},
        )
        words = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "0"]
        words += ["--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0"]
        words = (words if processes == 2 else words[:1]) + ["-m", "tests.training.double_precision"]
        for name, value in vars(options).items():
            if value not in (None, []) and not isinstance(value, bool):
                words += [f"--{name}", *(map(str, value) if isinstance(value, list) else [str(value)])]
        words += ["--no_pictures", "--no_curves", "--deterministic"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, done.stderr[-3000:]

    one, two = folders
    (alone, judged), (shared, judged_shared) = (
        [log_lines(folder, kind) for kind in ("train", "validation")] for folder in folders
    )
    assert [line["step"] for line in shared] == [line["step"] for line in alone] == [1, 2, 3, 4]
    for a, b in zip(alone + judged, shared + judged_shared, strict=True):
        assert a.keys() == b.keys()
        for name in a.keys() - {"kind"}:
            assert b[name] == pytest.approx(a[name], rel=TOLERANCE, abs=TOLERANCE), (name, a, b)
    states = [torch.load(folder / "last.pt", weights_only=True) for folder in folders]
    for name, value in states[0]["networks"]["model"].items():
        other = states[1]["networks"]["model"][name]
        torch.testing.assert_close(other, value, rtol=TOLERANCE, atol=TOLERANCE)
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


@pytest.mark.slow
def test_fifty_trainings_leave_no_thread_and_no_memory(tiny, tmp_path):
    def run(number):
        assert train(tiny(runs_name=str(tmp_path / str(number)), max_steps=2, val_every=2)) == 0

    assert_flat(run)
