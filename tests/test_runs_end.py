"""`make test` ends, with the reason, when a test hangs or its worker process dies."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ABORTS = """
def test_dies():
    os.write(2, b"corrupted size vs. prev_size\\n")  # what glibc says before it aborts
    os.abort()
"""
WAITS_IN_PYTHON = """
def test_waits():
    threading.Thread(target=lambda: time.sleep(20), daemon=True, name="encoder").start()
    time.sleep(60)
"""
WAITS_IN_C = """
def test_waits():
    signal.signal(signal.SIGALRM, signal.SIG_IGN)  # as C code that returns to no Python handler
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither abort messages nor SIGALRM")
@pytest.mark.parametrize(
    ("test", "said"),
    [
        (ABORTS, ["worker gw. died", "corrupted size vs. prev_size", "Fatal Python error: Aborted"]),
        (WAITS_IN_PYTHON, [r"Timeout \(>2.0s\)", "Stack of encoder", "in <lambda>", "time.sleep.60"]),
        (WAITS_IN_C, ["worker gw. died", r"Timeout \(0:00:04\)!", "in test_waits"]),
    ],
    ids=["abort", "wait in Python", "wait in C"],
)
def test_a_run_ends_with_the_reason(test, said, tmp_path):
    for name in ("conftest.py", "slow_tests.txt"):
        (tmp_path / name).write_bytes((ROOT / "tests" / name).read_bytes())
    # Files of one test: a worker started in place of a dead one is given a single file, and runs no test
    # until it knows the next, so that pytest-xdist waits for ever.
    head = "import os, signal, threading, time\n"
    for number in range(6):
        (tmp_path / f"test_{number}.py").write_text(head + (test if number == 1 else "def test_it(): pass\n"))
    workers = re.search(r"^WORKERS := (.*)$", (ROOT / "Makefile").read_text(), re.M)
    limits = ["timeout=2", "faulthandler_timeout=4", "faulthandler_exit_on_timeout=true"]
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", ".", *workers[1].split()]
    for limit in limits:
        command += ["--override-ini", limit]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}  # conftest.py imports of ours
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert run.returncode != 0
    for pattern in said:
        assert re.search(pattern, run.stdout), (pattern, run.stdout, run.stderr)
