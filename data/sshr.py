"""SSHR (Fu et al., ICCV 2023): rendered objects, OBJECT/VIEW_{i,a,s,r,d,d_tc,m}.jpg, one in a picture."""

import os
from pathlib import Path
from typing import Any

import torch

from data.records import Found, PictureSamples, Record

KEYS = {
    "i": "input",
    "a": "albedo",
    "s": "shading",
    "r": "specular",
    "d": "diffuse",
    "d_tc": "tone_corrected",
    "m": "object_mask",
}


def sshr(folder: Path) -> Found:
    """The samples in `folder` (a split of objects, or one object), by name OBJECT/VIEW.

    Input and diffuse are required, the other five are taken where they are; a view with neither is none.
    """
    found = Found()
    for parent, folders, files in os.walk(folder):
        folders.sort()
        views: dict[str, dict[str, Path]] = {}
        for file in sorted(files):
            view, _, layer = os.path.splitext(file)[0].partition("_")
            if view and layer in KEYS and file.lower().endswith((".jpg", ".jpeg", ".png")):
                views.setdefault(view, {})[KEYS[layer]] = Path(parent, file)
        for view, paths in views.items():
            name = (Path(parent).relative_to(folder) / view).as_posix()
            missing = [f"{view}_{KEYS_OF[key]}" for key in ("input", "diffuse") if key not in paths]
            if not missing:
                found.records.append(Record(name, paths, scene=Path(name).parent.as_posix()))
            elif len(missing) == 1:
                have = next(iter(paths.values()))
                found.problems.append(f"{have} has no {missing[0]} beside it")
    return found


KEYS_OF = {key: layer for layer, key in KEYS.items()}


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
