"""Real processes, killed: a resumed run must equal one that nobody touched, bit for bit."""

import multiprocessing
import os
import random
import signal
import time

import psutil
import pytest

from tests.training.compare import assert_same_run

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


def test_killed_at_random_points_and_while_writing_a_checkpoint(context, tiny, tmp_path, untouched):
    folder = tmp_path / "run"
    options = tiny(num_workers=1, **LONG)
    rng = random.Random(0)
    # Points in lines of the log, then the next temporary file: a checkpoint in the middle of being written.
    points = [("line", rng.randint(1, 4)), ("writing", None), ("line", rng.randint(6, 12)), ("writing", None)]
    kills, workers = 0, []
    for kind, line in points:
        process = _start(context, options)
        if kind == "line":
            _wait_for(lambda line=line: _log_lines(folder) >= line, process)
            time.sleep(rng.random() * 0.05)
        else:
            _wait_for(lambda: any(folder.glob(".tmp-*.pt")), process)
        if process.is_alive():
            workers += psutil.Process(process.pid).children(recursive=True)
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
    assert kills >= 2
    assert workers
    assert not psutil.wait_procs(workers, timeout=20)[1]  # nobody else would end them
    process = _start(context, options)
    process.join()
    assert process.exitcode == 0
    assert not list(folder.glob(".tmp-*"))
    assert_same_run(untouched, folder)


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
