"""What the machine can do at most: matrix products and copies per second."""

import re
import time
from collections.abc import Callable

import torch

from utils.devices import processor_name

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def matmul_rate(device: torch.device, precision: str, side: int = 2048, runs: int = 5) -> float:
    """Operations per second of the best of `runs` products of two `side` x `side` matrices; a multiplication
    and an addition are two operations."""
    a, b = (torch.randn(side, side, device=device, dtype=DTYPES[precision]) for _ in range(2))
    return 2 * side**3 / _best(lambda: a @ b, device, runs)


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
