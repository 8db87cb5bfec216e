"""Processes: signalled (tests/faults kills them), two that train together, many runs in one."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from tests.flat import assert_flat
from tests.training.compare import assert_same_run, log_lines
from training.distributed import Distributed
from training.loop import train

PRELOADED = ["training.loop", "recipes.build", "models", "data.transforms"]


@pytest.fixture(scope="module")
def context():
    # A server that has imported everything: its children start in no time, and never share threads with us.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def work(options):
    """The body of a training process."""
    import sys

    import torch

    from training.loop import train
    from utils.cli import run

    torch.set_num_threads(1)
    # What starts the tests may ignore some: in the background Ctrl-C, under nohup SIGHUP.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    sys.exit(run(lambda: train(options)))


def _start(context, options):
    process = context.Process(target=work, args=(options,))
    process.start()
    return process


def _wait_for(condition, process):
    while process.is_alive() and not condition():
        time.sleep(0.0005)


def _log_lines(folder):
    log = folder / "log.jsonl"
    return log.read_text().count("\n") if log.exists() else 0


LONG = {"max_steps": 14, "val_every": 5, "checkpoint_every": 3, "ema_decay": 0.9, "keep_checkpoints": 2}


@pytest.fixture(scope="module")
def _untouched_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("untouched") / "run"


@pytest.fixture
def untouched(context, tiny, _untouched_folder):
    if not _untouched_folder.exists():
        process = _start(context, tiny(runs_name=str(_untouched_folder), num_workers=1, **LONG))
        process.join()
        assert process.exitcode == 0
    return _untouched_folder


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_finish_the_step_and_save(context, tiny, tmp_path, untouched, number):
    folder = tmp_path / "run"
    options = tiny(num_workers=1, **LONG)
    process = _start(context, options)
    _wait_for(lambda: _log_lines(folder) >= 2, process)
    # The process that loads gets it too, as from a terminal or a batch system, and goes on. (It stands below
    # a server of forks, since this process came from one.)
    for worker in psutil.Process(process.pid).children(recursive=True):
        if not worker.children():
            os.kill(worker.pid, number)
    time.sleep(0.03)
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == 128 + number
    assert (folder / "last.pt").exists()
    process = _start(context, options)
    process.join()
    assert process.exitcode == 0
    assert_same_run(untouched, folder)


# ---- two processes on the CPU take the steps of one with the doubled batch


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
        torch.testing.assert_close(
            states[1]["networks"]["model"][name], value, rtol=TOLERANCE, atol=TOLERANCE
        )
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


# ---- trainings in one process, one after the other, leave nothing behind


@pytest.mark.slow
def test_fifty_trainings_leave_no_thread_and_no_memory(tiny, tmp_path):
    def run(number):
        assert train(tiny(runs_name=str(tmp_path / str(number)), max_steps=2, val_every=2)) == 0

    assert_flat(run)
