"""The authors' TSHRNet weights, UNet1_60.pth .. UNet4_60.pth (a file a U-Net), as one state dict of ours."""

import os
import re
from pathlib import Path

from torch import Tensor

from utils.errors import UserError
from weights.pickled import read_pickled, state_dict_in

FILE_NAME = re.compile(r"UNet([1-4])_(\d+)\.pth", re.IGNORECASE)


def is_released_tshrnet(path: str | os.PathLike) -> bool:
    """True for a folder with any of the authors' files in it, and for one such file."""
    path = Path(path)
    if path.is_dir():
        return any(FILE_NAME.fullmatch(entry.name) for entry in path.iterdir())
    return FILE_NAME.fullmatch(path.name) is not None


def read_released_tshrnet(path: str | os.PathLike) -> dict[str, Tensor]:
    """The four U-Nets in `path` as one state dict with the prefixes unet1. .. unet4. of models/tshrnet.py.

    `path`: the folder, which holds one epoch's four files, or one of the files where it holds several
    epochs. Names may carry a `module.` prefix. The files do not tell which wiring they were trained with.
    Raises UserError for a missing file, several epochs, and a file without a state dict.
    """
    state = {}
    for number, file in enumerate(_four_files(Path(path)), start=1):
        for name, value in state_dict_in(read_pickled(file), file).items():
            state[f"unet{number}.{name}"] = value
    return state


def _four_files(path: Path) -> list[Path]:
    folder = path if path.is_dir() else path.parent
    epochs: dict[int, dict[int, Path]] = {}
    for entry in sorted(folder.iterdir()):
        if match := FILE_NAME.fullmatch(entry.name):
            epochs.setdefault(int(match[2]), {})[int(match[1])] = entry
    if match := FILE_NAME.fullmatch(path.name):
        epochs = {epoch: files for epoch, files in epochs.items() if epoch == int(match[2])}
    if not epochs:
        raise UserError(f"{path} holds none of TSHRNet's weight files UNet1_60.pth .. UNet4_60.pth")
    if len(epochs) > 1:
        listed = ", ".join(str(epoch) for epoch in sorted(epochs))
        example = folder / f"UNet1_{max(epochs)}.pth"
        raise UserError(
            f"{folder} holds several epochs ({listed}); name one of the files instead, as {example}"
        )
    epoch, files = next(iter(epochs.items()))
    missing = [f"UNet{number}_{epoch}.pth" for number in range(1, 5) if number not in files]
    if missing:
        raise UserError(
            f"{folder} holds {len(files)} of TSHRNet's four weight files; {' and '.join(missing)} missing: "
            "put the four files of one epoch into the folder"
        )
    return [files[number] for number in range(1, 5)]
