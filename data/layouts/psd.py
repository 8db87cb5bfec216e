"""PSD (Wu et al., TMM 2021): photographs through a polariser, in groups of twelve angles and in pairs.

As downloaded, the same under PSD_Train, PSD_val and PSD_Test:

    PSD_Train/PSD_Train_specular/NAME.png               the input of a pair
    PSD_Train/PSD_Train_diffuse/NAME.png                its diffuse picture
    PSD_Train/PSD_Train_group/aligned/group-0012-idx-01.png ... -idx-12.png
    PSD_Train/PSD_Train_group/unaligned/...             not registered: left out unless asked for

A group may also be a folder of `01.png` ... `12.png`, and the folders of pairs may be named `spec` and
`nospec` or `specular` and `diffuse`. Index 01 of a group is the diffuse picture; index 07, half a turn of the
polariser on, is nearly diffuse too and left out; every other index is an input.

The published test set is the pairs of PSD_val and of PSD_Test (893 + 54 = 947).
"""

import re
from collections import defaultdict
from pathlib import Path

from data.layouts.layers import Layers
from data.records import DatasetScan, Record
from utils.image_files import list_pictures

NAMED = re.compile(r"(.+)[-_]idx[-_](\d{1,2})")
NUMBERED = re.compile(r"(\d\d)")
DIFFUSE, NEARLY_DIFFUSE = 1, 7
ANGLES = 12
PAIRED_FOLDERS = {"spec": "nospec", "specular": "diffuse"}
UNALIGNED = "unaligned"
UNUSED = "unused"
TONE_CORRECTED = "_D_tc"  # ends the names that `python -m data.tone_correction` gives, beside the inputs


def psd(folder: Path, unaligned: bool = False) -> DatasetScan:
    """The samples in `folder` and below, named GROUP/INDEX; the pictures of a group are one scene.

    Whatever is left out is counted in `notes`. Groups in folders named `unaligned` below `folder` are taken
    only if `unaligned`.
    """
    found = DatasetScan()
    by_parent: dict[Path, list[Path]] = defaultdict(list)
    left_out = 0
    for path in list_pictures(folder, recursive=True):
        if not unaligned and UNALIGNED in (part.lower() for part in path.parent.relative_to(folder).parts):
            left_out += 1
        else:
            by_parent[path.parent].append(path)
    unused: list[Path] = []
    nearly_diffuse = 0
    inputs_of = {diffuse: specular for specular, diffuse in _folder_pairs(list(by_parent)).items()}
    for parent, pictures in by_parent.items():
        if parent in inputs_of.values():
            continue
        if parent in inputs_of:
            _add_pairs(found, folder, by_parent[inputs_of[parent]], pictures, inputs_of[parent], parent)
            continue
        groups, others = _groups(pictures)
        unused += [path for path in others if not path.stem.endswith(TONE_CORRECTED)]
        for group, angles in groups.items():
            nearly_diffuse += NEARLY_DIFFUSE in angles
            _add_group(found, (parent.relative_to(folder) / group).as_posix(), angles)
    if left_out:
        found.notes.append(
            f"{left_out} pictures in folders named {UNALIGNED} left out; the layout psd-unaligned takes them"
        )
    if nearly_diffuse:
        found.notes.append(f"{nearly_diffuse} pictures of index 07, which are nearly diffuse, left out")
    if unused:
        found.notes.append(
            f"{len(unused)} pictures left out that are neither in a group nor in a pair, such as {unused[0]}"
        )
    held_out = sum(record.split == UNUSED for record in found.records)
    if held_out:
        found.notes.append(
            f"{held_out} pictures of groups of PSD_val and PSD_Test are in no official split: "
            "neither trained on nor scored unless their folder is named"
        )
    return found


def psd_unaligned(folder: Path) -> DatasetScan:
    """All samples of `psd`, those of unaligned groups too."""
    return psd(folder, unaligned=True)


def _folder_pairs(folders: list[Path]) -> dict[Path, Path]:
    """Folder of inputs -> folder of diffuse pictures: PREFIX_specular -> PREFIX_diffuse, spec -> nospec."""
    by_name = {(folder.parent, folder.name.lower()): folder for folder in folders}
    pairs = {}
    for (parent, name), folder in by_name.items():
        prefix, _, kind = name.rpartition("_")
        partner = PAIRED_FOLDERS.get(kind)
        other = by_name.get((parent, f"{prefix}_{partner}" if prefix else f"{partner}"))
        if partner and other:
            pairs[folder] = other
    return pairs


def _groups(pictures: list[Path]) -> tuple[dict[str, dict[int, list[Path]]], list[Path]]:
    """({group: {index: its pictures, one if all is well}}, pictures of no group)."""
    groups: dict[str, dict[int, list[Path]]] = defaultdict(lambda: defaultdict(list))
    others = []
    for path in pictures:
        if match := NAMED.fullmatch(path.stem):
            groups[match[1]][int(match[2])].append(path)
        elif match := NUMBERED.fullmatch(path.stem):
            groups[""][int(match[1])].append(path)
        else:
            others.append(path)
    # Two-digit names alone may be anything; with an 01 and nothing beyond the twelve angles they are a group.
    numbered = groups.get("", {})
    if numbered and (DIFFUSE not in numbered or max(numbered) > ANGLES or len(numbered) < 2):
        others += [path for paths in groups.pop("").values() for path in paths]
    return groups, others


def _add_group(found: DatasetScan, scene: str, angles: dict[int, list[Path]]) -> None:
    for paths in angles.values():
        if len(paths) > 1:
            found.problems.append(f"{paths[0]} and {paths[1].name} are one angle of one group; keep one")
    if DIFFUSE not in angles:
        first = next(iter(angles.values()))[0]
        found.problems.append(f"{first}: its group has no index 01, the diffuse picture")
        return
    inputs = [index for index in sorted(angles) if index not in (DIFFUSE, NEARLY_DIFFUSE)]
    if not inputs:
        found.problems.append(f"{angles[DIFFUSE][0]}: its group has no picture with highlights")
    split = _split(scene)
    for index in inputs:
        if len(angles[index]) == len(angles[DIFFUSE]) == 1:
            files = {"input": angles[index][0], "diffuse": angles[DIFFUSE][0]}
            # Of the validation and test folders the published figures use the pairs alone.
            found.records.append(
                Record(f"{scene}/{index:02d}", _with_tone(files), scene, UNUSED if split == "test" else split)
            )


def _add_pairs(
    found: DatasetScan, root: Path, inputs: list[Path], targets: list[Path], specular: Path, diffuse: Path
) -> None:
    layers = Layers({"input": f"{specular.name}/{{}}", "diffuse": f"{diffuse.name}/{{}}"})
    place = specular.parent.relative_to(root)
    for layer, paths in (("input", inputs), ("diffuse", targets)):
        for path in paths:
            if not path.stem.endswith(TONE_CORRECTED):
                layers.add((place / path.stem).as_posix(), layer, path)
    pairs = layers.found()
    found.problems += pairs.problems
    for record in pairs.records:
        found.records.append(Record(record.name, _with_tone(record.files), split=_split(record.name)))


def _split(name: str) -> str:
    parts = [part.lower() for part in Path(name).parts]
    if "psd_train" in parts:
        return "train"
    return "test" if {"psd_val", "psd_test"} & set(parts) else ""


def _with_tone(files: dict[str, Path]) -> dict[str, Path]:
    corrected = files["input"].with_stem(files["input"].stem + TONE_CORRECTED)
    return files | {"tone_corrected": corrected} if corrected.is_file() else files
