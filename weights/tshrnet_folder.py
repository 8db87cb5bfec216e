"""The authors' TSHRNet weights, a file a U-Net, as one state dict of ours.

PyTorch    UNet1_60.pth .. UNet4_60.pth
MindSpore  UNet1_60.ckpt .. UNet4_60.ckpt; the port's train.py writes UNet1_60ckpt ..
"""

import os
import re
from pathlib import Path

from torch import Tensor

from utils.errors import UserError, reason
from weights.mindspore import read_mindspore
from weights.pickled import read_pickled, state_dict_in

FILE_NAME = re.compile(r"UNet([1-4])_(\d+)(\.pth|\.?ckpt)", re.IGNORECASE)
FIRST_LAYER = "Cv0.conv.weight"
MINDSPORE_NAMES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def is_released_tshrnet(path: str | os.PathLike) -> bool:
    """True for a folder with any of the authors' files in it, and for one such file.

    Raises UserError for a folder that cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        return any(FILE_NAME.fullmatch(entry.name) for entry in _entries(path))
    return FILE_NAME.fullmatch(path.name) is not None


def read_released_tshrnet(path: str | os.PathLike) -> tuple[dict[str, Tensor], int]:
    """The four U-Nets in `path` as one state dict with the prefixes unet1. .. unet4. of models/tshrnet.py,
    and their width (channels after the first convolution; 64 in the released files).

    `path`: the folder, which holds one epoch's four files, or one of the files where it holds several
    epochs or both kinds. Names may carry a `module.` prefix. The files do not tell which wiring they were
    trained with. Raises UserError for a missing, damaged or foreign file, several epochs, files of both
    kinds, and files of different widths.
    """
    state: dict[str, Tensor] = {}
    widths: dict[str, int] = {}
    for number, file in enumerate(_four_files(Path(path)), start=1):
        own = _read_unet(file)
        widths[file.name] = own[FIRST_LAYER].shape[0]
        state |= {f"unet{number}.{name}": value for name, value in own.items()}
    if len(set(widths.values())) > 1:
        listed = ", ".join(f"{name} {width}" for name, width in widths.items())
        raise UserError(f"{path}: the four files are of networks of different widths ({listed})")
    return state, next(iter(widths.values()))


def _read_unet(file: Path) -> dict[str, Tensor]:
    if file.name.lower().endswith("ckpt"):
        state = {_torch_name(name): value for name, value in read_mindspore(file).items()}
    else:
        state = state_dict_in(read_pickled(file), file)
    if FIRST_LAYER not in state or state[FIRST_LAYER].dim() != 4:
        raise UserError(f"{file} holds no U-Net of TSHRNet: it has no {FIRST_LAYER} of four dimensions")
    return state


def _torch_name(name: str) -> str:
    layer, _, entry = name.rpartition(".")
    return f"{layer}.{MINDSPORE_NAMES.get(entry, entry)}"


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be read ({reason(error)})") from error


def _four_files(path: Path) -> list[Path]:
    folder = path if path.is_dir() else path.parent
    groups: dict[tuple[int, str], dict[int, Path]] = {}
    for entry in _entries(folder):
        if match := FILE_NAME.fullmatch(entry.name):
            groups.setdefault((int(match[2]), match[3].lower()), {})[int(match[1])] = entry
    if match := FILE_NAME.fullmatch(path.name):
        wanted = int(match[2]), match[3].lower()
        groups = {key: files for key, files in groups.items() if key == wanted}
    if not groups:
        raise UserError(
            f"{path} holds none of TSHRNet's weight files UNet1_60.pth .. UNet4_60.pth (MindSpore: .ckpt)"
        )
    if len(groups) > 1:
        epochs = sorted({epoch for epoch, _ in groups})
        listed = ", ".join(map(str, epochs))
        what = f"several epochs ({listed})" if len(epochs) > 1 else "files of PyTorch and of MindSpore"
        epoch, ending = max(groups)
        example = folder / f"UNet1_{epoch}{ending}"
        raise UserError(f"{folder} holds {what}; name one of the files instead, as {example}")
    (epoch, ending), files = next(iter(groups.items()))
    missing = [f"UNet{number}_{epoch}{ending}" for number in range(1, 5) if number not in files]
    if missing:
        raise UserError(
            f"{folder} holds {len(files)} of TSHRNet's four weight files; {' and '.join(missing)} missing: "
            "put the four files of one epoch into the folder"
        )
    return [files[number] for number in range(1, 5)]
