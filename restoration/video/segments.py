"""What is finished of a clip, kept beside its result, so that a stopped run goes on where it was.

A folder RESULT.part holds the finished segments and one file of state: how many they are, how many frames
they hold, and the smoother after the last of them. The state is written after its segment, both atomically:
whatever the state counts is whole, whatever lies beside it is not looked at. A run that goes on gives the
same file, bit for bit, as one that was never stopped.
"""

import io
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from utils.atomic import remove_leftovers, write_bytes
from utils.folder_lock import NAME as LOCK_NAME
from utils.folder_lock import locked

STATE = "state.npz"
NUMBERS = "count", "frames", "changed"
SMOOTHER = "smoother_"  # before the names of its arrays in the file


class Segments:
    """The finished part of one clip; `open` it for the time of the work.

    result       where the clip will be
    fingerprint  of all that the frames depend on; what was kept under another one is thrown away
    """

    def __init__(self, result: Path, fingerprint: str):
        self.folder = result.with_name(result.name + ".part")
        self.fingerprint = fingerprint
        self.count = 0
        """segments finished"""
        self.frames = 0
        """frames in them"""
        self.changed = False
        """something was removed from one of them"""
        self.smoother: dict[str, np.ndarray] = {}
        """state of the smoother behind them"""

    def locked(self):
        """A context that no other process can be in. Raises UserError where one is."""
        return locked(self.folder)

    def load(self) -> None:
        """Takes up what an earlier run kept; removes all else."""
        try:
            with np.load(self.folder / STATE, allow_pickle=False) as arrays:
                kept = dict(arrays)
            whole = str(kept.pop("fingerprint")) == self.fingerprint
            count, frames, changed = (int(kept.pop(name)) for name in NUMBERS)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            whole = False
        if whole and all(self.path(number).is_file() for number in range(count)):
            self.count, self.frames, self.changed = count, frames, bool(changed)
            self.smoother = {name.removeprefix(SMOOTHER): array for name, array in kept.items()}
        remove_leftovers(self.folder)
        wanted = {LOCK_NAME, STATE, *(self.path(number).name for number in range(self.count))}
        for entry in list(os.scandir(self.folder)):
            if entry.name not in (wanted if self.count else {LOCK_NAME}):
                os.unlink(entry.path)

    def path(self, number: int) -> Path:
        """Of one segment."""
        return self.folder / f"{number:06}.nut"

    def paths(self) -> list[Path]:
        """Of the finished ones."""
        return [self.path(number) for number in range(self.count)]

    def finish(self, frames: int, changed: bool, smoother: dict[str, np.ndarray]) -> None:
        """Counts the next segment, which lies at its path and holds `frames` frames."""
        self.count += 1
        self.frames += frames
        self.changed |= changed
        self.smoother = smoother
        content = io.BytesIO()
        state: dict[str, Any] = dict(zip(NUMBERS, (self.count, self.frames, self.changed), strict=True))
        state |= {SMOOTHER + name: array for name, array in smoother.items()}
        np.savez(content, fingerprint=self.fingerprint, **state)
        write_bytes(self.folder / STATE, content.getvalue())

    def remove(self) -> None:
        """Removes the folder, when the result is written."""
        shutil.rmtree(self.folder, ignore_errors=True)
