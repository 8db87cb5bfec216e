"""What a run writes down: log.jsonl, timing.jsonl, TensorBoard.

log.jsonl holds nothing that depends on the clock: the log of a run that was killed and resumed equals, byte
for byte, that of an uninterrupted one. Speeds go to timing.jsonl.
"""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from utils.atomic import write_text


class Journal:
    """Lines of a run in `folder`, from `step` on; what was written after that step is dropped."""

    def __init__(self, folder: Path, step: int, tensorboard: bool):
        self.log, self.timing = folder / "log.jsonl", folder / "timing.jsonl"
        _drop_lines_after(self.log, step)
        _drop_lines_after(self.timing, step)
        self.board = None
        if tensorboard:
            # Slow to import, and not needed without it.
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, kind: str, values: dict[str, Any]) -> None:
        """A line {"step", "kind", ...values} of log.jsonl and the numbers among the values as scalars."""
        _append(self.log, {"step": step, "kind": kind, **values})
        self._scalars(step, kind, values)

    def write_timing(self, step: int, values: dict[str, float]) -> None:
        """A line of timing.jsonl."""
        _append(self.timing, {"step": step, **values})
        self._scalars(step, "timing", values)

    def write_pictures(self, step: int, name: str, grid: Tensor) -> None:
        """A picture grid (3, H, W) in [0, 1]."""
        if self.board is not None:
            self.board.add_image(name, grid, step)

    def close(self) -> None:
        if self.board is not None:
            self.board.close()

    def _scalars(self, step: int, kind: str, values: dict[str, Any]) -> None:
        if self.board is not None:
            for name, value in values.items():
                if isinstance(value, float):
                    self.board.add_scalar(f"{kind}/{name}", value, step)


def _append(path: Path, line: dict[str, Any]) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _drop_lines_after(path: Path, step: int) -> None:
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except json.JSONDecodeError:  # the line that was being written when the run was killed
            continue
    write_text(path, "".join(kept))
