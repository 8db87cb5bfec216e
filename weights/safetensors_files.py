"""Our weight files: safetensors whose header has the network's name, its hyper-parameters and a hash."""

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from utils.atomic import atomic_path
from utils.errors import UserError
from weights.hashing import content_hash
from weights.metadata import parsed_metadata
from weights.pickled import require_file

HASH = "sha256"


def write_safetensors(path: str | os.PathLike, state: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes tensors and texts atomically, with a hash of both."""
    stored = metadata | {HASH: content_hash({"metadata": metadata, "tensors": state})}
    with atomic_path(path) as temporary:
        save_file(dict(state), temporary, stored)


def read_metadata(path: str | os.PathLike) -> dict:
    """{"network": name, "hyperparameters": dict, "training": dict} of one of our files, tensors unread.

    Raises UserError where it is damaged or not ours.
    """
    with _open(path) as file:
        return parsed_metadata(file.metadata() or {}, path)


def read_safetensors(path: str | os.PathLike, *, ours: bool = True) -> dict[str, Tensor]:
    """The tensors of a file, on the CPU. With `ours`, its hash is checked.

    Raises UserError where it is missing, damaged or of another kind.
    """
    with _open(path) as file:
        try:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except Exception as error:  # a type of numbers that this version of PyTorch does not have
            raise UserError(f"{path} holds tensors that cannot be read ({error})") from error
        texts = dict(file.metadata() or {})
    if ours:
        _check_hash(texts, state, path)
    return state


def _check_hash(texts: dict[str, str], state: dict[str, Tensor], path: str | os.PathLike) -> None:
    stored = texts.pop(HASH, None)
    if content_hash({"metadata": texts, "tensors": state}) != stored:
        raise UserError(f"{path} is damaged: its content is not what was written (hash {HASH}); get it again")


def _open(path: str | os.PathLike):
    path = Path(path)
    require_file(path)
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is no whole safetensors file ({error}): get it again") from error
