"""What ends evaluate.py: Ctrl-C at any moment, and its workers with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.evaluation.shiq_pairs import write

ROOT = Path(__file__).parents[2]
POOL = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from evaluation.runner import _process_context, _start_worker

if __name__ == "__main__":
    with ProcessPoolExecutor(2, _process_context(), _start_worker, (1,)) as pool:
        jobs = [pool.submit(time.sleep, 0.5) for _ in range(4)]
        jobs[-1].result()
        print(*pool._processes, flush=True)
        time.sleep(600)
"""


def start(script: Path, *words: object) -> subprocess.Popen:
    streams, environment = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}, {"PYTHONPATH": str(ROOT)}
    how = streams | {"env": os.environ | environment, "text": True}
    return subprocess.Popen([sys.executable, script, *words], **how)


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "pool.py"
    script.write_text(POOL)
    with start(script) as parent:
        workers = [int(word) for word in parent.stdout.readline().split()]
        assert len(workers) == 2
        parent.kill()
    limit = time.monotonic() + 60
    while any(is_running(worker) for worker in workers):
        assert time.monotonic() < limit
        time.sleep(0.1)


@pytest.mark.slow
def test_ctrl_c_during_a_slow_method_ends_at_once(tmp_path: Path) -> None:
    write(tmp_path / "data", ["a"])
    words = ["--dataroot", tmp_path / "data", "--out", tmp_path / "out", "--methods", "slow"]
    script = tmp_path / "slow.py"
    script.write_text(
        "import sys, time, classical, evaluate\n"
        "def slow(image):\n    print('begun', flush=True)\n    time.sleep(600)\n"
        "classical.METHODS['slow'] = slow\n"
        "sys.exit(evaluate.run(lambda: evaluate.main(sys.argv[1:])))\n"
    )
    with start(script, *words) as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert errors.endswith("interrupted\n")
    assert "Traceback" not in errors


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # A process that has ended stays in the table until its parent has asked for it.
    return "Z" not in Path(f"/proc/{process}/stat").read_text().split(")")[1].split()[0]


# ---- scoring keeps to a bound of memory whatever the size of the picture


SCRIPT = """
import numpy as np
import scipy.ndimage, skimage.color, torch  # their size is not the picture's
from evaluation.datasets import Pair, Sample
from evaluation.methods import largest_change
from evaluation.scoring import score_result
from evaluation.settings import DEFAULT_METRICS
from restoration import Restored
from tools.memory import peak_mebibytes, reset_peak, resident_mebibytes

y, x = np.mgrid[:1500, :2000].astype(np.float32) / 1000
ground_truth = np.dstack([80 + 60 * x, 90 + 40 * y, 50 + 20 * x]).astype(np.uint8)
specular = (60 * np.exp(-((x - 1) ** 2 + (y - 0.7) ** 2) * 20)).astype(np.uint8)
sample = Sample(ground_truth + specular[..., None], ground_truth)
result = ground_truth + specular[..., None] // 2
before = resident_mebibytes()
reset_peak()
restored = Restored(result, largest_change(sample.image, result))
score_result(Pair("a", {}), sample, restored, DEFAULT_METRICS, "native", "0.5")
print(peak_mebibytes() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_three_megapixels_are_scored_in_less_than_450_mib() -> None:
    words = [sys.executable, "-c", SCRIPT]
    run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(run.stdout) < 450
