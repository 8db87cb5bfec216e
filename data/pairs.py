"""Any folder of pairs: found by two patterns, or by NAME and NAME_gt."""

import re
from pathlib import Path

from data.records import Found, Record
from utils.errors import UserError
from utils.image_files import list_pictures

TRUTH = "_gt"


def glob_pairs(folder: Path, input_glob: str, target_glob: str) -> Found:
    """Pairs the files of two patterns relative to `folder`, such as "input/*.png" and "gt/*_diffuse.png".

    What the one * stands for is the name of the sample and pairs the two. Suffixes may differ where a
    pattern ends in *: names are then taken without them.
    """
    inputs, targets = _matches(folder, input_glob), _matches(folder, target_glob)
    # "*.bmp" also finds what "*_gt.bmp" finds; a target is no input.
    target_files = set(targets.values())
    inputs = {name: path for name, path in inputs.items() if path not in target_files}
    found = Found()
    for name in sorted(inputs.keys() | targets.keys()):
        if name in inputs and name in targets:
            found.records.append(Record(name, {"input": inputs[name], "diffuse": targets[name]}))
        elif name in inputs:
            found.problems.append(f"{inputs[name]} has no partner {target_glob.replace('*', name)}")
        else:
            found.problems.append(f"{targets[name]} has no partner {input_glob.replace('*', name)}")
    return found


def ground_truth_pairs(folder: Path) -> Found:
    """NAME.* with NAME_gt.* right inside `folder`; pictures without a truth are none of the samples."""
    pictures = {path.stem: path for path in list_pictures(folder)}
    found = Found()
    for stem, path in sorted(pictures.items()):
        name = stem.removesuffix(TRUTH)
        if name == stem:
            continue
        if name in pictures:
            found.records.append(Record(name, {"input": pictures[name], "diffuse": path}))
        else:
            found.problems.append(f"{path} has no input {name} beside it")
    return found


def _matches(folder: Path, pattern: str) -> dict[str, Path]:
    if pattern.count("*") != 1:
        raise UserError(
            f"the pattern {pattern!r} must hold exactly one *, which stands for the sample's name"
        )
    expression = re.compile(re.escape(pattern).replace(r"\*", "([^/]*)"))
    matches = {}
    for path in sorted(folder.glob(pattern)):
        match = expression.fullmatch(path.relative_to(folder).as_posix())
        if match and path.is_file() and not path.name.startswith("."):
            name = match.group(1)
            matches[Path(name).stem if pattern.endswith("*") else name] = path
    return matches
