"""Checkpoints: everything that a run needs to go on bit for bit. Tensors and plain containers only."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch

from utils.atomic import atomic_path
from utils.errors import UserError

FORMAT = 1
LAST = "last.pt"


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes `state` atomically: a run killed meanwhile leaves the file that was there before."""
    with atomic_path(path) as temporary:
        torch.save({"format": FORMAT} | state, temporary)


def load(path: Path) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU, without unpickling code. Raises UserError naming the file."""
    if not path.is_file():
        raise UserError(
            f"{path}: there is no such checkpoint; --resume auto starts or goes on with --runs_name"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for files that are not what they seem
        raise UserError(f"{path} is not a readable checkpoint ({error}); resume from another one") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UserError(
            f"{path} is not a checkpoint of train.py; to start from bare weights pass --init_from {path}"
        )
    return state


def alias(path: Path, name: Path) -> None:
    """Makes `name` another name of the checkpoint `path`, as a hard link where the file system has them."""
    with atomic_path(name) as temporary:
        try:
            os.link(path, temporary)
        except OSError:
            shutil.copyfile(path, temporary)


def remove_leftovers(folder: Path, keep: set[str]) -> None:
    """Removes temporary files of a killed run, and best checkpoints that the resumed one does not know."""
    for path in folder.glob(".tmp-*"):
        path.unlink(missing_ok=True)
    for path in folder.glob("best-*.pt"):
        if path.name not in keep:
            path.unlink()
