"""Parts of one computation side by side on several cores, with the same bits on any number of them.

With torch's own threads the order of additions depends on their number: bilinear enlargement takes another
way with several than with one, and convolutions may. Here a computation is cut into parts by its size alone,
one thread computes each part, and the number of free cores decides no more than which parts are computed at
the same time.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_HERE = threading.local()


class Cores:
    """`count` cores that computations share: each takes one, and parts of it those that are free."""

    def __init__(self, count: int):
        self.count = count
        self._free = threading.Semaphore(count)
        self._helpers = ThreadPoolExecutor(max(count - 1, 1), "helper", torch.set_num_threads, (1,))

    @contextmanager
    def one(self) -> Iterator[None]:
        """The calling thread has a core, once one is free, and `in_parts` shares work out over the others."""
        with self._free, self._in_use():
            yield

    def share(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """`function` of each item, in order; the caller has a core and computes, too."""
        todo = deque(range(len(items)))
        results: dict[int, Result] = {}

        def work() -> None:
            while True:
                try:
                    index = todo.popleft()
                except IndexError:
                    return
                results[index] = function(items[index])

        helpers: list[Future[None]] = []
        try:
            while len(helpers) < len(items) - 1 and self._free.acquire(blocking=False):
                helpers.append(self._helpers.submit(self._help, work, torch.is_inference_mode_enabled()))
            work()
        finally:
            todo.clear()
            wait_for(helpers)
        for helper in helpers:
            helper.result()
        return [results[index] for index in range(len(items))]

    def close(self) -> None:
        """Ends the threads; those that wait end by themselves when the cores are collected."""
        self._helpers.shutdown()

    def _help(self, work: Callable[[], None], inference: bool) -> None:
        try:
            with torch.inference_mode(inference), self._in_use():
                work()
        finally:
            self._free.release()

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        before = current()
        _HERE.cores = self
        try:
            yield
        finally:
            _HERE.cores = before


def current() -> Cores | None:
    """The cores that this thread works on; None outside of `Cores.one`."""
    return getattr(_HERE, "cores", None)


def in_parts(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """`function` of each item, in order, side by side where there are cores to share."""
    cores = current()
    if cores is None or len(items) == 1:
        return [function(item) for item in items]
    return cores.share(function, items)
