"""One measurement, taken in a process of its own, and the files that measurements are kept in."""

import json
import multiprocessing
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from tools.memory import peak_mebibytes as process_peak
from utils.atomic import write_text
from utils.devices import describe_machine, processor_name
from utils.markdown import markdown_table

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
WARM_UP = 2
"""Runs that are not counted: kernels are loaded and chosen, memory is taken from the system."""


@dataclass
class Measurement:
    """What was measured and how long it took; seconds are of one batch."""

    what: str
    """inference or training step"""
    model: str
    path: str
    """ours, or the plain path (tools/plain_path.py)"""
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
        # On a GPU cuDNN convolves float32 as TF32 unless told otherwise.
        extra = ["tf32"] if device.type == "cuda" and "fp32" in precisions else []
        rates = {precision: matmul_rate(device, precision) for precision in [*precisions, *extra]}
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
    peak = process_peak()
    return peak - before if peak else None


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
    # HighlightRemover alone asks for exact float32.
    exact = (m.what, m.path) == ("inference", "ours")
    limit = "tf32" if m.precision == "fp32" and "tf32" in limits.operations and not exact else m.precision
    share = m.operations and m.operations / m.median / limits.operations[limit]
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


def matmul_rate(device: torch.device, precision: str, side: int | None = None, runs: int = 5) -> float:
    """Operations per second of products of two `side` x `side` matrices, the best of `runs`; a multiplication
    and an addition are two operations.

    precision  of DTYPES, or "tf32"
    side       None: 2048, and 8192 on a GPU, which is given several products before it is waited for
    """
    gpu = device.type == "cuda"
    side, products = side or (8192 if gpu else 2048), 8 if gpu else 1
    a, b = (torch.randn(side, side, device=device, dtype=DTYPES.get(precision, torch.float32)) for _ in "ab")
    out = torch.empty_like(a)

    def multiply() -> None:
        for _ in range(products):
            torch.mm(a, b, out=out)

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        return 2 * side**3 * products / _best(multiply, device, runs)
    finally:
        torch.set_float32_matmul_precision(before)


def copy_bandwidth(device: torch.device, mebibytes: int = 256, runs: int = 5) -> float:
    """Bytes per second read and written by the best of `runs` copies of more than the caches hold."""
    source = torch.zeros(mebibytes * 2**20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / _best(lambda: target.copy_(source), device, runs)


def short_name() -> str:
    """The GPU, or else the processor, as part of a file name."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else processor_name()
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def synchronise(device: torch.device) -> None:
    """Waits until the device has done what it was given; the CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _best(work: Callable[[], object], device: torch.device, runs: int) -> float:
    work()
    times = []
    for _ in range(runs):
        synchronise(device)
        start = time.perf_counter()
        work()
        synchronise(device)
        times.append(time.perf_counter() - start)
    return min(times)
