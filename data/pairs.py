"""Any folder of pairs, found by two patterns."""

import re
from pathlib import Path

from data.layouts import Found
from data.records import Record
from utils.errors import UserError


def glob_pairs(folder: Path, input_glob: str, target_glob: str) -> Found:
    """Pairs the files of two patterns relative to `folder`, such as "input/*.png" and "gt/*_diffuse.png".

    What the one * stands for is the name of the sample and pairs the two. Suffixes may differ when both
    patterns end in *: the names are then compared without them.
    """
    inputs, targets = _matches(folder, input_glob), _matches(folder, target_glob)
    # "*.bmp" also finds what "*_gt.bmp" finds; a target is no input.
    target_files = set(targets.values())
    inputs = {name: path for name, path in inputs.items() if path not in target_files}
    found = Found()
    for name, path in inputs.items():
        if name in targets:
            found.records.append(Record(name, {"input": path, "diffuse": targets[name]}))
        else:
            found.problems.append(f"{path} has no partner {target_glob.replace('*', name)}")
    for name in targets.keys() - inputs.keys():
        found.problems.append(f"{targets[name]} has no partner {input_glob.replace('*', name)}")
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
