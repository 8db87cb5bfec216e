"""TSHRNet's list files: a sample a line, its pictures as paths relative to the data root, spaces between.

Seven columns   input albedo shading residue diffuse tone-corrected object-mask   (SSHR)
four columns    input residue diffuse tone-corrected                              (SHIQ, PSD, mixed)

A residue written as - is computed: input - diffuse (PSD stores none). Lists may be joined: `cat a b > c`.

    python -m data.lists --dataroot dataset --folders SSHR/train SHIQ/train PSD/train --out dataset/mix.lst
"""

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.layouts import find
from data.records import Record
from data.splits import official_split
from utils import cli
from utils.atomic import write_text
from utils.errors import UserError

logger = logging.getLogger(__name__)

COLUMNS = {
    7: ("input", "albedo", "shading", "specular", "diffuse", "tone_corrected", "object_mask"),
    4: ("input", "specular", "diffuse", "tone_corrected"),
}
COMPUTED = "-"


def read_list(
    file: str | os.PathLike, dataroot: str | os.PathLike, required_keys: Sequence[str] = ()
) -> list[Record]:
    """The samples of a list file, in its order; a sample is named by its input without suffix.

    Paths may be absolute or lead out of `dataroot`; names are without the root and "..". Empty lines are
    skipped. Raises UserError with the number of the first bad line: another number of
    columns, columns without one of `required_keys`, a picture that is not there, or an input that an earlier
    line lists with other pictures. A line that only repeats an earlier one counts once, and is warned about.
    """
    file, root = Path(file), Path(dataroot)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the list file {file}: {getattr(error, 'strerror', error)}") from error
    records: dict[str, tuple[int, Record]] = {}
    doubled = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        record = _record(line.split(), root, f"{file}, line {number}", required_keys)
        first, earlier = records.setdefault(os.path.normpath(record.files["input"]), (number, record))
        if earlier.files != record.files:
            raise UserError(
                f"{file}, line {number} lists {record.files['input']} again, with other files than "
                f"line {first}"
            )
        if first != number:
            doubled.append(number)
    if not records:
        raise UserError(f"{file} lists no samples")
    if doubled:
        logger.warning(
            "%s: %d lines repeat earlier ones, such as line %d; each sample counts once",
            file, len(doubled), doubled[0],
        )  # fmt: skip
    return [record for _, record in records.values()]


def _record(columns: list[str], root: Path, place: str, required_keys: Sequence[str]) -> Record:
    if len(columns) not in COLUMNS:
        raise UserError(
            f"{place} has {len(columns)} columns; it must have 4 (input residue diffuse tone-corrected) "
            "or 7 (input albedo shading residue diffuse tone-corrected mask), without spaces in the paths"
        )
    lacking = sorted(set(required_keys) - set(COLUMNS[len(columns)]))
    if lacking:
        raise UserError(
            f"{place} has {len(columns)} columns, without {' and '.join(lacking)}; list seven pictures a "
            "line, or train the model tshrnet-mix, which needs four"
        )
    files = {
        key: root / column
        for key, column in zip(COLUMNS[len(columns)], columns, strict=True)
        if not (key == "specular" and column == COMPUTED)
    }
    for key, path in files.items():
        if not path.is_file():
            otherwise = f"the paths are relative to {root}"
            raise UserError(f"{place}: there is no {path}; {_way_out(key, root, otherwise)}")
    return Record(_name(columns[0]), files)


def _name(column: str) -> str:
    """The input without suffix, as a path that leads out of no folder: results are named by it."""
    parts = os.path.splitext(os.path.normpath(column))[0].split(os.sep)
    return "/".join(part for part in parts if part not in ("", ".."))


@dataclass
class ListOptions:
    """Options of `python -m data.lists`."""

    dataroot: str
    """folder that the paths in the list are relative to"""
    folders: list[str]
    """folders inside it, of SSHR, SHIQ or PSD, in any mixture"""
    out: str
    """the list file"""
    columns: Literal["4", "7"] = "4"
    """4 for --model tshrnet-mix; 7 for --model tshrnet, which only SSHR can give"""
    official_test: Literal["leave_out", "include", "only"] = "leave_out"
    """the official test pictures of a folder that holds others too (numbers 14001 to 15000 of SHIQ's one flat
    folder; the pairs of PSD_val and PSD_Test): published scores are computed on them"""


def main(argv: list[str] | None = None) -> int:
    options = cli.parse(
        ListOptions,
        argv,
        prog="python -m data.lists",
        description="Writes TSHRNet's list files: a line for each sample of some folders.",
    )
    root = Path(options.dataroot)
    keys = COLUMNS[int(options.columns)]
    lines = []
    for folder in options.folders:
        found = find(root / folder)
        if found.problems:
            raise UserError(found.problems[0])
        chosen = _chosen(found.records, options.official_test)
        if len(chosen) < len(found.records):
            left_out = f"{len(found.records) - len(chosen)} of {len(found.records)} samples left out"
            found.notes.append(f"{left_out} (--official_test {options.official_test})")
        for note in found.notes:
            print(f"{root / folder}: {note}", file=sys.stderr)
        lines += [_line(record, keys, root) for record in chosen]
    write_text(options.out, "\n".join(lines) + "\n")
    print(f"{options.out}: {len(lines)} samples")
    return 0


def _chosen(records: list[Record], official_test: str) -> list[Record]:
    train, test = official_split(records)
    if not test or len(test) == len(records) or official_test == "include":
        return records
    return train if official_test == "leave_out" else test


def _line(record: Record, keys: Sequence[str], root: Path) -> str:
    columns = []
    for key in keys:
        if key == "specular" and key not in record.files:
            columns.append(COMPUTED)
            continue
        if key not in record.files:
            way_out = _way_out(key, root, "list it with `columns=4`")
            raise UserError(f"{record.files['input']} has no {key} picture beside it; {way_out}")
        try:
            path = record.files[key].relative_to(root).as_posix()
        except ValueError as error:
            raise UserError(
                f"{record.files[key]} is not inside {root}, which the paths of a list are relative to"
            ) from error
        if len(path.split()) != 1:
            raise UserError(f"{record.files[key]}: a list file cannot hold paths with spaces; rename it")
        columns.append(path)
    return " ".join(columns)


def _way_out(key: str, root: Path, otherwise: str) -> str:
    if key == "tone_corrected":
        return f"make it with: python -m data.tone_correction --dataroot {root}"
    return otherwise


if __name__ == "__main__":
    sys.exit(cli.run(main))
