"""Photographs without highlights as training samples: input and target are the same picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from data.picture_samples import read_layer
from data.transforms import resized
from utils.colour import grey_to_rgb
from utils.errors import UserError
from utils.image_files import list_pictures

SHORT_SIDE = 384
"""Pixels to which photographs are reduced: the size of the scenes that they stand beside."""


class Photographs(Dataset):
    """The photographs of `folders`, at any depth: dicts of float32 tensors, "input" and "diffuse" (3, H, W)
    the same photograph in [0, 1], "specular" (3, H, W) and "mask" (1, H, W) zero, and "name".

    side  pixels of the short side, to which larger photographs are reduced; smaller ones are enlarged to
          `least`

    Raises UserError where a folder holds no pictures; sample i where file i cannot be read.
    """

    def __init__(self, folders: Sequence[str], side: int = SHORT_SIDE, least: int = 0):
        self.files: list[Path] = []
        for folder in folders:
            if not Path(folder).is_dir():
                raise UserError(f"photos_dataroot {folder}: there is no such folder")
            found = list_pictures(folder, recursive=True)
            if not found:
                raise UserError(f"photos_dataroot {folder} holds no pictures")
            self.files += found
        self.side, self.least = max(side, least), least

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, Any]:
        pixels = np.ascontiguousarray(grey_to_rgb(read_layer(self.files[index], "scale")).transpose(2, 0, 1))
        photo = {"input": torch.from_numpy(pixels)}
        height, width = pixels.shape[1:]
        scale = min(self.side, max(min(height, width), self.least)) / min(height, width)
        photo = resized(photo, round(scale * height), round(scale * width))
        image = photo["input"]
        return {
            "input": image,
            "diffuse": image,
            "specular": torch.zeros_like(image),
            "mask": torch.zeros_like(image[:1]),
            "name": str(self.files[index]),
        }
