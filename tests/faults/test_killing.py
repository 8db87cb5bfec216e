"""Processes are killed where they should be, and nothing of them stays."""

import random
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from tests.faults import killing
from tests.faults.killing import Kill, commands, measured
from utils.atomic import write_text

FILES = 5


def write_files(folder):
    for number in range(FILES):
        write_text(folder / f"{number}.txt", str(number))
    return 0


def sleep_with_a_child():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    time.sleep(100)
    return 0


@pytest.fixture(scope="module")
def start():
    with commands("tests.faults.killing", "tests.faults.test_killing") as start:
        yield start


def test_an_untouched_run_is_measured(start, tmp_path):
    usual = measured(start, partial(write_files, tmp_path), tmp_path)
    assert usual is not None
    assert usual.writes == FILES
    assert usual.operations >= 3 * FILES  # each is opened, flushed and renamed
    rng = random.Random(0)
    kills = [usual.kill(number, rng) for number in range(300)]
    assert {kill.kind for kill in kills} == {"moment", "operation", "write"}
    assert max(kill.number for kill in kills) <= usual.operations


@pytest.mark.parametrize("kill", [Kill("operation", number=1), Kill("write", number=3), Kill("moment")])
def test_each_kind_of_kill(start, tmp_path, kill):
    command = start(partial(write_files, tmp_path), folder=tmp_path, kill=kill)
    assert command.killed(random.Random(0))
    (process,) = command.processes
    assert process.exitcode in (-signal.SIGKILL, -signal.SIGALRM)
    written = len(list(tmp_path.glob("[0-9].txt")))
    assert written == {"operation": 0, "write": 2}.get(kill.kind, written)
    assert command.orphans_end()


def test_a_kill_that_comes_too_late_is_none(start, tmp_path):
    command = start(partial(write_files, tmp_path), folder=tmp_path, kill=Kill("operation", number=10**6))
    assert not command.killed(random.Random(0))
    assert command.wait() == 0


def test_what_hangs_is_ended_with_what_it_started(start, tmp_path, monkeypatch):
    monkeypatch.setattr(killing, "HANGS", 0.5)
    command = start(sleep_with_a_child, folder=tmp_path)
    leaders = list(command.processes)
    assert command.wait() is None
    for _ in range(100):  # what was killed takes a moment to be gone
        if not killing._members(leaders):
            break
        time.sleep(0.1)
    assert not killing._members(leaders)
