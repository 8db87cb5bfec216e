"""Real processes, signalled: a resumed run must equal one that nobody touched. tests/faults kills them."""

import multiprocessing
import os
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
