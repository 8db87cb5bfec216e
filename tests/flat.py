"""What many repetitions of something leave behind: threads and resident memory."""

import gc
import time
from collections.abc import Callable

import psutil

MORE_BYTES = 50 * 2**20
_ENDING_SECONDS = 30.0  # for threads that have been told to end


def assert_flat(action: Callable[[int], object], times: int = 50, first: int = 8) -> None:
    """`action(number)` leaves no thread behind and, beyond its first calls, no more than MORE_BYTES."""
    for number in range(first):
        action(number)
    before = _left()
    for number in range(first, first + times):
        action(number)
    deadline = time.monotonic() + _ENDING_SECONDS
    while _left()[0] > before[0] and time.monotonic() < deadline:
        time.sleep(0.1)
    after = _left()
    assert after[0] <= before[0], f"{after[0] - before[0]} more threads after {times} repetitions"
    more = after[1] - before[1]
    assert more <= MORE_BYTES, f"{more / 2**20:.0f} MiB more after {times} repetitions"


def _left() -> tuple[int, int]:
    gc.collect()
    process = psutil.Process()
    return process.num_threads(), process.memory_info().rss
