"""Scoring keeps to a bound of memory whatever the size of the picture."""

import subprocess
import sys
from pathlib import Path

import pytest

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
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(run.stdout) < 450
