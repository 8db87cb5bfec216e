"""One measurement, taken in a process of its own, and the files that measurements are kept in."""

import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import copy_bandwidth, matmul_rate, synchronise
from utils.atomic import write_text
from utils.devices import describe_machine
from utils.markdown import markdown_table

WARM_UP = 2
"""Runs that are not counted: kernels are loaded and chosen, memory is taken from the system."""


@dataclass
class Measurement:
    """What was measured and how long it took; seconds are of one batch."""

    what: str
    """inference or training step"""
    model: str
    path: str
    """ours, or the plain path (benchmarks/plain_path.py)"""
    size: str
    """width x height in pixels"""
    batch: int
    precision: str
    seconds: list[float] = field(default_factory=list)
    """of every counted run"""
    peak_mebibytes: float | None = None
    """memory at the peak above what the process held before, weights included"""
    forward_mebibytes: float | None = None
    """inference: of it, what came after the network was built and prepared"""
    operations: float | None = None
    """of one batch, counted by torch.utils.flop_counter: convolutions and matrix products"""
    loss: float | None = None
    """training: of the first batch, the same for both paths"""
    note: str = ""

    @property
    def median(self) -> float | None:
        """Seconds of one batch."""
        return statistics.median(self.seconds) if self.seconds else None


@dataclass(frozen=True)
class Limits:
    """Operations per second by precision, and bytes per second of copies, measured in the same run."""

    operations: dict[str, float]
    copy_bandwidth: float

    @classmethod
    def measure(cls, device: torch.device, precisions: Sequence[str]) -> "Limits":
        """Takes a few seconds."""
        rates = {precision: matmul_rate(device, precision) for precision in precisions}
        return cls(rates, copy_bandwidth(device))


def timed(work: Callable[[], object], device: torch.device, runs: int) -> list[float]:
    """Wall seconds of `runs` calls, after some that are not counted."""
    seconds = []
    for number in range(WARM_UP + runs):
        synchronise(device)
        start = time.perf_counter()
        work()
        synchronise(device)
        if number >= WARM_UP:
            seconds.append(time.perf_counter() - start)
    return seconds


def count_operations(work: Callable[[], object]) -> float:
    """Floating point operations of the convolutions and matrix products of one call."""
    counter = FlopCounterMode(display=False)
    with counter:
        work()
    return float(counter.get_total_flops())


def peak_mebibytes(before: float, device: torch.device) -> float | None:
    """Peak memory above `before` (of `resident_mebibytes`); None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = _status("VmHWM")
    return None if peak is None else peak - before


def resident_mebibytes() -> float:
    """Memory that this process holds now; 0 where the system does not say."""
    return _status("VmRSS") or 0.0


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """The function's result from a process of its own, whose memory and threads nothing else has touched."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def write(measurements: Sequence[Measurement], limits: Limits, path: Path) -> str:
    """Writes `path`.json and `path`.md; returns the Markdown."""
    record = {
        "machine": describe_machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "limits": asdict(limits),
        "measurements": [asdict(m) | {"median": m.median} for m in measurements],
    }
    text = markdown(measurements, limits)
    write_text(path.with_name(path.name + ".json"), json.dumps(record, indent=1) + "\n")
    write_text(path.with_name(path.name + ".md"), text + "\n")
    return text


def markdown(measurements: Sequence[Measurement], limits: Limits) -> str:
    """A table, the machine above it; ratios are to the plain path in fp32 of the same size and batch."""
    rates = ", ".join(f"{rate / 1e12:.2f} in {name}" for name, rate in limits.operations.items())
    head = (
        f"Measured on {describe_machine()}; torch {torch.__version__}, {torch.get_num_threads()} threads. "
        f"Measured limits: 10^12 operations per second in matrix products {rates}; copies "
        f"{limits.copy_bandwidth / 1e9:.1f} GB/s. Medians."
    )
    columns = [
        *("what", "network", "pixels", "batch", "path", "precision", "seconds", "pictures/s", "ratio"),
        *("peak MiB", "without weights", "10^9 operations", "share of the limit", "note"),
    ]
    return f"{head}\n\n{markdown_table(columns, [_row(m, measurements, limits) for m in measurements])}"


def _row(m: Measurement, every: Sequence[Measurement], limits: Limits) -> list[str]:
    if m.median is None:
        return [m.what, m.model, m.size, str(m.batch), m.path, m.precision, *["-"] * 7, m.note]
    key = (m.what, m.model, m.size, m.batch)
    plain = [o for o in every if (o.what, o.model, o.size, o.batch) == key and o.path == "plain" and o.median]
    share = m.operations and m.operations / m.median / limits.operations[m.precision]
    return [
        *(m.what, m.model, m.size, str(m.batch), m.path, m.precision),
        f"{m.median:.4f}",
        f"{m.batch / m.median:.2f}",
        f"{plain[0].median / m.median:.2f}" if plain and plain[0].median else "-",
        "-" if m.peak_mebibytes is None else f"{m.peak_mebibytes:.0f}",
        "-" if m.forward_mebibytes is None else f"{m.forward_mebibytes:.0f}",
        f"{m.operations / 1e9:.1f}" if m.operations else "-",
        f"{100 * share:.0f} %" if share else "-",
        m.note,
    ]


def _status(field_name: str) -> float | None:
    """MiB of a field of /proc/self/status (getrusage would include the parent's peak)."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 2**10 for line in lines if line.startswith(f"{field_name}:")), None)
