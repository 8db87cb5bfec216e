"""What only Linux, or only POSIX, has is not needed: runs in processes from which it is hidden.

A stand-in for macOS and Windows; .github/workflows/ci.yml runs the fast tests on both.
"""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]

HIDING = """
import multiprocessing, os, signal, sys
import accelerate, cv2, filelock, scipy.optimize, skimage.color, torch, torchvision  # they may use all of it

for module in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[module] = None  # importing it raises ImportError
for name in ("sched_getaffinity", "sched_getscheduler", "sched_setscheduler", "sysconf",
             "fork", "forkpty", "mkfifo", "setsid", "killpg", "getpgid"):
    delattr(os, name)
for name in ("SIGHUP", "SIGCHLD", "SIGALRM", "SIGPIPE", "SIGUSR1", "alarm"):
    delattr(signal, name)
real_open = open
def without_proc(path, *arguments, **named):
    if str(path).startswith(("/proc/", "/sys/")):
        raise FileNotFoundError(2, "No such file or directory", path)
    return real_open(path, *arguments, **named)
import builtins, io
builtins.open = io.open = without_proc
"""


def run(program: str, folder: Path, platform: str) -> str:
    """Runs the program in a process of `platform`; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", f"{HIDING}\nsys.platform = {platform!r}\n{program}"],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "HOME": str(folder), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture = np.random.default_rng(0).integers(0, 256, (40, 48, 3)).astype(np.uint8)
    for kind in ("input", "diffuse"):
        (tmp_path / "pairs" / kind).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "pairs" / kind / "a.png"), picture)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["darwin", "linux"])
def test_pictures_are_restored_and_networks_trained(folder: Path, platform: str) -> None:
    program = (
        "import infer, train, evaluate\n"
        "assert infer.main(['--input_dir', 'pairs/input', '--output_dir', 'out']) == 0\n"
        "assert train.main(['--runs_name', 'run', '--model', 'aha-lite', '--lambda_gan', '0', "
        "'--lambda_perceptual', '0', '--max_steps', '2', '--batch_size', '1', '--size', '32', "
        "'--num_workers', '0', '--lambda_content', '0']) == 0\n"
    )
    run(program, folder, platform)
    assert (folder / "out" / "a-removed.png").is_file()
    assert (folder / "run" / "last.safetensors").is_file()
