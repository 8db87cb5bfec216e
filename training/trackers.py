"""TensorBoard and Weights & Biases, by accelerate's trackers; each is imported only where it is asked for.

A run that goes on after a stop goes on in the trackers too: TensorBoard hides what was logged behind the
checkpoint, Weights & Biases keeps what it has of a step that comes a second time, which is the same.
"""

import os
import secrets
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.tracking import GeneralTracker, TensorBoardTracker, WandBTracker

from utils.atomic import write_text
from utils.errors import UserError

PROJECT = "dehighlight"
RUN_ID = Path("wandb", "run_id.txt")
"""In the run's folder: under which name Weights & Biases knows the run."""


def check_trackers(names: Sequence[str]) -> None:
    """Raises UserError where `names` contradict each other or a package is missing."""
    if "none" in names and len(names) > 1:
        raise UserError(f"`tracker={' '.join(names)}`: leave none out, or the others")
    for name in names:
        if name != "none" and find_spec(name) is None:
            raise UserError(f"`tracker={name}`: pip install {name}, or pass another one, or `tracker=none`")


class Trackers:
    """The trackers `names`; nothing is sent or written between `close` and the next `open`."""

    def __init__(self, names: Sequence[str]):
        self.names = [name for name in names if name != "none"]
        self._open: list[GeneralTracker] = []

    def open(self, folder: Path, options: dict[str, Any], step: int) -> None:
        """Starts or resumes the run of `folder` behind `step`. Raises UserError where that fails."""
        for name in dict.fromkeys(self.names):
            tracker = _tensorboard(folder, step) if name == "tensorboard" else _wandb(folder)
            try:
                tracker.start()
            except Exception as error:  # wandb's own exceptions, which differ from release to release
                if name != "wandb":
                    raise
                raise UserError(
                    f"wandb did not start ({error}): log in (wandb login), keep the run on this machine "
                    "(WANDB_MODE=offline), or leave out `tracker=wandb`"
                ) from error
            self._open.append(tracker)
            if name == "wandb":  # TensorBoard's page of options is a run of its own
                tracker.store_init_configuration(options)

    def log(self, kind: str, values: dict[str, float], step: int) -> None:
        """Values as KIND/NAME."""
        for tracker in self._open:
            tracker.log({f"{kind}/{name}": float(value) for name, value in values.items()}, step=step)

    def log_picture(self, name: str, picture: np.ndarray, step: int) -> None:
        """A picture (H, W, 3) uint8."""
        for tracker in self._open:
            layout = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
            tracker.log_images({name: picture[None]}, step=step, **layout)

    def close(self) -> None:
        for tracker in self._open:
            tracker.finish()
        self._open.clear()


def _tensorboard(folder: Path, step: int) -> GeneralTracker:
    return TensorBoardTracker("tensorboard", folder, purge_step=step + 1)


def _wandb(folder: Path) -> GeneralTracker:
    file = folder / RUN_ID
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, secrets.token_hex(4))
    return WandBTracker(
        os.environ.get("WANDB_PROJECT", PROJECT),
        dir=str(folder),
        name=folder.resolve().name,
        id=file.read_text(encoding="utf-8"),
        resume="allow",
    )
