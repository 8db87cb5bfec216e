"""Samples read from the files of records, as tensors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from data.records import PICTURES, PLANES, Record
from utils.colour import grey_to_rgb, to_unit
from utils.errors import UserError
from utils.image_files import read_picture


class PictureSamples(Dataset):
    """Samples read from `records`: dicts of float32 tensors in [0, 1], "input" (3,H,W), "diffuse" (3,H,W),
    what else all the records have ("specular", "mask" (1,H,W), ...), and "name".

    sixteen_bit  "refuse" raises UserError at a 16-bit file, "scale" divides by 65535
    layers       the further layers that are read, as far as all the records have them; None: all

    Sample i raises UserError naming the file where one is unreadable or differs in size from the input.
    """

    def __init__(
        self, records: Sequence[Record], sixteen_bit: str = "refuse", layers: Sequence[str] | None = None
    ):
        self.records = list(records)
        self.sixteen_bit = sixteen_bit
        common = set.intersection(*(set(record.files) for record in self.records)) if self.records else set()
        wanted = common if layers is None else {"input", "diffuse", *layers}
        self.keys = [key for key in (*PICTURES, *PLANES) if key in common & wanted]

    def __len__(self) -> int:
        return len(self.records)

    def name(self, index: int) -> str:
        """The name of sample `index`, without reading it."""
        return self.records[index].name

    def __getitem__(self, index: int) -> dict[str, Any]:
        record = self.records[index]
        sample: dict[str, Any] = {}
        for key in self.keys:
            sample[key] = torch.from_numpy(self._read(key, record.files[key]))
            if sample[key].shape[-2:] != sample["input"].shape[-2:]:
                raise UserError(_sizes_differ(record, key, sample))
        sample["name"] = record.name
        return sample

    def _read(self, key: str, path: Path) -> np.ndarray:
        picture = read_layer(path, self.sixteen_bit)  # (H, W) or (H, W, 3)
        if key in PLANES:
            plane = picture if picture.ndim == 2 else picture.mean(axis=2)
            return (plane >= 0.5).astype(np.float32)[None]
        return np.ascontiguousarray(grey_to_rgb(picture).transpose(2, 0, 1))


class ResidueSamples(PictureSamples):
    """Picture samples that all have a "specular" layer: the stored one, or else clip(input - diffuse, 0, 1).

    PSD stores none; TSHRNet trains on one.
    """

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = super().__getitem__(index)
        if "specular" not in sample:
            path = self.records[index].files.get("specular")
            if path is None:
                sample["specular"] = (sample["input"] - sample["diffuse"]).clamp_min(0)
            else:
                sample["specular"] = torch.from_numpy(self._read("specular", path))
        return sample


def read_layer(path: Path, sixteen_bit: str = "refuse") -> np.ndarray:
    """(H, W) or (H, W, 3) float32 in [0, 1]; UserError at a 16-bit file unless `sixteen_bit` is "scale"."""
    pixels = read_picture(path).pixels
    if pixels.dtype != np.uint8 and sixteen_bit == "refuse":
        raise UserError(
            f"{path} has more than 8 bits a channel, often a sign of linear values, while the networks learn "
            "sRGB ones: convert it to 8-bit sRGB, or set sixteen_bit to scale if it is sRGB already"
        )
    return to_unit(pixels)


def _sizes_differ(record: Record, key: str, sample: dict[str, Any]) -> str:
    def size(name: str) -> str:
        height, width = sample[name].shape[-2:]
        return f"{record.files[name]} is {width}x{height}"

    return (
        f"{size(key)} but {size('input')}: pictures of a sample must have one size; put the files right, or "
        "set skip_bad_files (python -m data.check lists all such samples)"
    )
