"""Any folder of pairs, found by two patterns."""

import re
from pathlib import Path

from data.records import DatasetScan, Record
from utils.errors import UserError
from utils.image_files import SUFFIXES


def glob_pairs(folder: Path, input_glob: str, target_glob: str) -> DatasetScan:
    """Pairs the files of two patterns relative to `folder`, such as "input/*.png" and "gt/*_diffuse.png".

    What the one * stands for is the name of the sample and pairs the two. Suffixes may differ where a
    pattern ends in *: names are then taken without them, and other files than pictures left aside. Raises
    UserError at a pattern without exactly one *.
    """
    found = DatasetScan()
    inputs, targets = _matches(folder, input_glob, found), _matches(folder, target_glob, found)
    # "*.bmp" also finds what "*_gt.bmp" finds; a target is no input.
    target_files = set(targets.values())
    inputs = {name: path for name, path in inputs.items() if path not in target_files}
    for name in sorted(inputs.keys() | targets.keys()):
        if name in inputs and name in targets:
            found.records.append(Record(name, {"input": inputs[name], "diffuse": targets[name]}))
        elif name in inputs:
            found.problems.append(f"{inputs[name]} has no partner {target_glob.replace('*', name)}")
        else:
            found.problems.append(f"{targets[name]} has no partner {input_glob.replace('*', name)}")
    return found


def _matches(folder: Path, pattern: str, found: DatasetScan) -> dict[str, Path]:
    """The files of a pattern by name; of two files of one name neither is taken, and that is a problem."""
    if pattern.count("*") != 1:
        raise UserError(
            f"the pattern {pattern!r} must hold exactly one *, which stands for the sample's name"
        )
    expression = re.compile(re.escape(pattern).replace(r"\*", "([^/]*)"))
    matches: dict[str, Path] = {}
    doubled = set()
    for path in sorted(folder.glob(pattern)):
        match = expression.fullmatch(path.relative_to(folder).as_posix())
        if not match or not path.is_file() or path.name.startswith("."):
            continue
        name = match[1]
        if pattern.endswith("*"):
            if path.suffix.lower() not in SUFFIXES:
                continue
            name = Path(name).stem
        if name in matches:
            doubled.add(name)
            found.problems.append(f"{matches[name]} and {path.name} have one name; keep one")
        matches[name] = path
    return {name: path for name, path in matches.items() if name not in doubled}
