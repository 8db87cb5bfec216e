"""Ctrl-C and SIGTERM: a wish to stop, granted at the end of the step."""

import signal
from types import FrameType


class StopSignals:
    """A context in which SIGINT and SIGTERM are noted in `received` (0: none); a second one acts at once."""

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopSignals":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.received:
            raise KeyboardInterrupt
        self.received = number
