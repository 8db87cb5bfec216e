"""PyTorch's own files, read so that they can carry tensors and plain containers but no code.

Nothing larger than the file is allocated, and a damaged archive is noticed by its checksums.
"""

import os
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from utils.errors import UserError, reason
from weights.missing import no_such_file

ZIP_START = b"PK\x03\x04"
LEGACY_PICKLES = 5  # magic number, protocol, system, the object, the keys of its storages
LARGEST_PICKLE = 2**26  # bytes; without its tensors, the largest checkpoint of train.py has less than 2^20
# What PyTorch lets a pickle call although it can be asked for any amount of memory.
ALLOCATES = re.compile(
    r"(builtins|__builtin__) bytearray|torch(\.\w+)* \w*Tensor|torch\._tensor \w+"
    r"|torch\._utils _rebuild_(?!tensor$|tensor_v2$|parameter)\w+"
)


def read_pickled(path: str | os.PathLike) -> object:
    """Content of a `torch.save` file, on the CPU; only `weights_only` unpickling.

    Raises UserError for a file that is missing, cut short, damaged, of another kind, compressed, or that
    would run code or ask for memory. Warns (UserWarning) of a file of PyTorch before 1.6, which has no
    checksums.
    """
    path = require_file(path)
    try:
        has_checksums = _check_before_unpickling(path)
        with warnings.catch_warnings(action="ignore"):  # of pickle protocols that are refused anyway
            content = torch.load(path, map_location="cpu", weights_only=True)
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
    except (OSError, MemoryError) as error:
        told = reason(error) if isinstance(error, OSError) else "it asks for more memory than there is"
        raise UserError(f"{path} cannot be read ({told})") from error
    except UserError:
        raise
    except Exception as error:  # a damaged pickle makes torch raise anything from KeyError to AttributeError
        raise UserError(f"{path} cannot be read (not a whole PyTorch weight file): get it again") from error
    if not has_checksums:
        warnings.warn(f"{path} has no checksums: changed weights in it would not be noticed", stacklevel=2)
    return content


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


def require_file(path: str | os.PathLike) -> Path:
    """`path`, where it is an ordinary file. Raises UserError where it is missing, a folder or a pipe."""
    path = Path(path)
    if not path.exists():
        raise UserError(no_such_file(path))
    if not path.is_file():
        raise UserError(f"{path} is no ordinary file")
    return path


def _check_before_unpickling(path: Path) -> bool:
    """Whether the file has checksums, all of which are right."""
    with open(path, "rb") as file:
        has_checksums = file.read(len(ZIP_START)) == ZIP_START
        file.seek(0)
        if has_checksums:
            _check_archive(file, path)
        else:
            _check_pickles(file, path)
    return has_checksums


def _check_archive(file: IO[bytes], path: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise UserError(
                f"{path} refused: it is compressed, which torch.save never does, and could unpack to any "
                "size; save `model.state_dict()` again"
            )
        names = {entry.filename for entry in entries}
        if sum(entry.file_size for entry in entries) > path.stat().st_size or len(names) < len(entries):
            raise UserError(f"{path} cannot be read (its table of contents is damaged): get it again")
        damaged = archive.testzip()
        if damaged is not None:
            raise UserError(f"{path} is damaged (the checksum of {damaged!r} does not match): get it again")
        for entry in entries:
            if entry.filename.endswith(".pkl"):
                with archive.open(entry) as stream:
                    _check_pickle(stream, path)


def _check_pickles(file: IO[bytes], path: Path) -> None:
    for _ in range(LEGACY_PICKLES):
        try:
            _check_pickle(file, path)
        except ValueError:  # no pickle: PyTorch says what it thinks of it
            return


def _check_pickle(file: IO[bytes], path: Path) -> None:
    for opcode, argument, position in pickletools.genops(file):
        if (position or 0) > LARGEST_PICKLE:
            raise UserError(f"{path} refused: its list of tensors is longer than {LARGEST_PICKLE} bytes")
        # The only opcode by which PyTorch lets a pickle name what it calls.
        if opcode.name == "GLOBAL" and ALLOCATES.fullmatch(str(argument)):
            raise UserError(
                f"{path} refused: it calls {str(argument).replace(' ', '.')}, which can ask for any amount "
                "of memory. Save `model.state_dict()` again without other objects"
            )
