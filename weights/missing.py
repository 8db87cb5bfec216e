"""What a user is told of weights that are not there. Without torch, which options are checked without."""

import os
from pathlib import Path

from utils.errors import UserError

AUTHORS = "https://github.com/LittleFocus2201/ICASSP2024"


def no_such_file(path: str | os.PathLike) -> str:
    """Begins a sentence; of the AHA authors' file it says where that is."""
    if Path(path).suffix != ".mdl":
        return f"no such weight file: {path}"
    return f"no such weight file: {path} (the authors' Nature.mdl is under Pre-trained Models at {AUTHORS})"


def check_weights(path: str | os.PathLike) -> None:
    """Raises UserError where there is nothing at `path`, which was given in place of the shipped weights."""
    if not os.path.exists(path):
        raise UserError(f"{no_such_file(path)}; leave `infer_model` out to use the shipped network")
