"""Our weight files: safetensors whose header has the network's name, its hyper-parameters and a hash.

What a file says about itself is checked before anything is built from it.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from models import MODELS
from utils.atomic import atomic_path
from utils.errors import UserError
from weights.hashing import content_hash
from weights.pickled import require_file

HASH = "sha256"
FORMAT = "specular-highlight-removal 1"
LARGEST = 8192  # of a number of channels, dilation or kernel: far above any network that fits into memory
LONGEST = 64  # numbers in a list


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


def written_metadata(network: str, hyperparameters: Mapping, training: Mapping) -> dict[str, str]:
    """The texts that a safetensors file carries beside its tensors."""
    return {
        "format": FORMAT,
        "network": network,
        "hyperparameters": json.dumps(hyperparameters),
        "training": json.dumps(training),
    }


def parsed_metadata(texts: Mapping[str, str], path: str | os.PathLike) -> dict:
    """{"network": name, "hyperparameters": dict, "training": dict} of the texts in a file.

    Raises UserError naming `path` for a file that is not ours, an unknown network, and hyper-parameters of
    another kind than the network's own.
    """
    if texts.get("format") != FORMAT:
        raise UserError(
            f"{path} is a safetensors file, but not one of ours: it does not say which network it is"
        )
    network = texts.get("network")
    if network not in MODELS:
        raise UserError(
            f"{path} is of the network {str(network)[:40]!r}, which this version does not have: there are "
            f"{', '.join(MODELS)}"
        )
    saved = _json_object(texts, "hyperparameters", path)
    known = MODELS[network].spec.hyperparameters
    chosen = {name: _checked(name, value, known, path) for name, value in saved.items()}
    return {
        "network": network,
        "hyperparameters": chosen,
        "training": _json_object(texts, "training", path),
    }


def checked_hyperparameters(network: str, saved: object, path: str | os.PathLike) -> dict:
    """Hyper-parameters that a checkpoint says, checked as those of a weight file. Raises UserError."""
    if network not in MODELS or not isinstance(saved, Mapping):
        raise UserError(f"{path} does not say which network it is of: there are {', '.join(MODELS)}")
    known = MODELS[network].spec.hyperparameters
    return {str(k): _checked(str(k), v, known, path) for k, v in saved.items()}


def _json_object(texts: Mapping[str, str], key: str, path: str | os.PathLike) -> dict:
    try:
        value = json.loads(texts[key])
    except (KeyError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: what it says of its {key} is damaged or missing") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: what it says of its {key} is no table of names and values")
    return value


def _checked(name: str, value: object, known: Mapping, path: str | os.PathLike) -> object:
    """`value`, lists as tuples, where it is of the kind of the network's own hyper-parameter `name`."""
    if name not in known:
        raise UserError(
            f"{path} was written by another version of this program: it has a hyper-parameter {name[:40]!r}"
        )
    own, checked = known[name], value
    if isinstance(own, tuple):
        checked = tuple(value) if isinstance(value, list | tuple) else ()
        fits = 0 < len(checked) <= LONGEST and all(_fits(item, own[0]) for item in checked)
    else:
        fits = _fits(value, own)
    if not fits:
        raise UserError(f"{path}: its hyper-parameter {name} is {str(value)[:60]}, which no network can have")
    return checked


def _fits(value: object, own: object) -> bool:
    if isinstance(own, bool) or isinstance(value, bool):
        return isinstance(own, bool) and isinstance(value, bool)
    if isinstance(own, int):
        return isinstance(value, int) and 0 <= value <= LARGEST
    if isinstance(own, float):
        return isinstance(value, int | float) and math.isfinite(value) and abs(value) <= LARGEST
    return isinstance(value, str) and len(value) <= LARGEST
