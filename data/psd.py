"""PSD (Wu et al., TMM 2021): photographs through a polariser, in groups of twelve angles and in pairs.

A group is what files like `group-0012-idx-01.png` ... `-idx-12.png` share, or a folder of `01.png` ...
`12.png`; a pair is a group of two. Index 01 is the diffuse picture; index 07, half a turn of the polariser
on, is nearly diffuse too and left out; every other index is an input. Pairs may also lie in two folders,
`spec/` and `nospec/` or `specular/` and `diffuse/`, under one name.
"""

import os
import re
from pathlib import Path

from data.records import Found, Record

NAMED = re.compile(r"(.+)[-_]idx[-_](\d{1,2})")
NUMBERED = re.compile(r"(\d\d)")
DIFFUSE, NEARLY_DIFFUSE = 1, 7
ANGLES = 12
PAIRED_FOLDERS = (("spec", "nospec"), ("specular", "diffuse"))
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
TONE_CORRECTED = "_D_tc"  # ends the names that `python -m data.tone_correction` gives, beside the inputs


def psd(folder: Path) -> Found:
    """The samples in `folder` and below, named GROUP/INDEX; the pictures of a group are one scene."""
    found = Found()
    for parent, folders, files in os.walk(folder):
        folders.sort()
        pictures = [Path(parent, file) for file in sorted(files) if file.lower().endswith(SUFFIXES)]
        for group, angles in _groups(pictures).items():
            _add_group(found, (Path(parent).relative_to(folder) / group).as_posix(), angles)
        for spec, nospec in PAIRED_FOLDERS:
            if spec in folders and nospec in folders:
                _add_folders(found, folder, Path(parent, spec), Path(parent, nospec))
    return found


def _groups(pictures: list[Path]) -> dict[str, dict[int, Path]]:
    groups: dict[str, dict[int, Path]] = {}
    for path in pictures:
        if match := NAMED.fullmatch(path.stem):
            groups.setdefault(match[1], {})[int(match[2])] = path
        elif match := NUMBERED.fullmatch(path.stem):
            groups.setdefault("", {})[int(match[1])] = path
    # Two-digit names alone may be anything; with an 01 and nothing beyond the twelve angles they are a group.
    numbered = groups.get("", {})
    if numbered and (DIFFUSE not in numbered or max(numbered) > ANGLES or len(numbered) < 2):
        del groups[""]
    return groups


def _add_group(found: Found, scene: str, angles: dict[int, Path]) -> None:
    if DIFFUSE not in angles:
        found.problems.append(
            f"{next(iter(angles.values()))}: its group has no index 01, the diffuse picture"
        )
        return
    inputs = [index for index in sorted(angles) if index not in (DIFFUSE, NEARLY_DIFFUSE)]
    if not inputs:
        found.problems.append(f"{angles[DIFFUSE]}: its group has no picture with highlights")
    for index in inputs:
        files = _files(angles[index], angles[DIFFUSE])
        found.records.append(Record(f"{scene}/{index:02d}", files, scene))


def _add_folders(found: Found, root: Path, spec: Path, nospec: Path) -> None:
    inputs, targets = (
        {p.stem: p for p in sorted(f.iterdir()) if p.suffix.lower() in SUFFIXES} for f in (spec, nospec)
    )
    inputs = {stem: p for stem, p in inputs.items() if not stem.endswith(TONE_CORRECTED)}
    for stem in sorted(inputs.keys() | targets.keys()):
        if stem in inputs and stem in targets:
            name = (spec.parent.relative_to(root) / stem).as_posix()
            found.records.append(Record(name, _files(inputs[stem], targets[stem])))
        else:
            lone = inputs.get(stem) or targets[stem]
            found.problems.append(f"{lone} has no partner in {nospec if stem in inputs else spec}")


def _files(image: Path, diffuse: Path) -> dict[str, Path]:
    files = {"input": image, "diffuse": diffuse}
    corrected = image.with_stem(image.stem + TONE_CORRECTED)
    return files | {"tone_corrected": corrected} if corrected.is_file() else files
