"""PyTorch's own files, read so that they can carry tensors and plain containers but no code."""

import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from utils.errors import UserError


def read_pickled(path: str | os.PathLike) -> object:
    """Content of a `torch.save` file, on the CPU; only `weights_only` unpickling.

    Raises UserError for a file that is missing, cut short, of another kind, or that would run code.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # of pickle protocols that are refused anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"(?:GLOBAL|Unsupported (?:global|class))\D*?([\w.]*\.[\w.]+)", str(error))
        if wanted:
            raise UserError(
                f"{path} refused: loading it would run code ({wanted[1]}). Weights need tensors and plain "
                "containers only; save `model.state_dict()` again without other objects"
            ) from error
        raise UserError(
            f"{path} refused: it is no plain PyTorch weight file, and unpickling anything else can run code"
        ) from error
    except FileNotFoundError as error:
        raise UserError(f"no such weight file: {path}") from error
    except (RuntimeError, EOFError, ValueError, KeyError, zipfile.BadZipFile, OSError) as error:
        reason = getattr(error, "strerror", None) or "not a whole PyTorch weight file"
        raise UserError(f"{path} cannot be read ({reason}): get it again") from error


def state_dict_in(content: object, path: str | os.PathLike) -> dict[str, Tensor]:
    """The weights in `content`: a bare state dict or one under "model"; a `module.` prefix is taken off.

    Raises UserError where there is none.
    """
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not isinstance(content, Mapping) or not content:
        raise UserError(f"{path} holds no weights: neither a state dict nor one under the key 'model'")
    others = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise UserError(f"{path} holds no plain state dict: the entry {others[0]!r} is no tensor")
    return {str(name).removeprefix("module."): value for name, value in content.items()}
