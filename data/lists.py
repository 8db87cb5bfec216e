"""TSHRNet's list files: a sample a line, its pictures as paths relative to the data root, spaces between.

Seven columns   input albedo shading residue diffuse tone-corrected object-mask   (SSHR)
four columns    input residue diffuse tone-corrected                              (SHIQ, PSD, mixed)

A residue written as - is computed: input - diffuse (PSD stores none). Lists may be joined: `cat a b > c`.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from data.records import Record
from utils.errors import UserError

COLUMNS = {
    7: ("input", "albedo", "shading", "specular", "diffuse", "tone_corrected", "object_mask"),
    4: ("input", "specular", "diffuse", "tone_corrected"),
}
COMPUTED = "-"


def read_list(
    file: str | os.PathLike, dataroot: str | os.PathLike, required_keys: Sequence[str] = ()
) -> list[Record]:
    """The samples of a list file, in its order; a sample is named by its input without suffix.

    Empty lines are skipped. Raises UserError with the number of the first bad line: another number of
    columns, columns without one of `required_keys`, or a picture that is not there.
    """
    file, root = Path(file), Path(dataroot)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the list file {file}: {getattr(error, 'strerror', error)}") from error
    records = [
        _record(line.split(), root, f"{file}, line {number}", required_keys)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    if not records:
        raise UserError(f"{file} lists no samples")
    return records


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
            "line, or train --model tshrnet-mix, which needs four"
        )
    files = {
        key: root / column
        for key, column in zip(COLUMNS[len(columns)], columns, strict=True)
        if not (key == "specular" and column == COMPUTED)
    }
    for key, path in files.items():
        if not path.is_file():
            way_out = (
                f"make it with: python -m data.tone_correction --dataroot {root}"
                if key == "tone_corrected"
                else f"the paths are relative to --dataroot {root}"
            )
            raise UserError(f"{place}: there is no {path}; {way_out}")
    return Record(os.path.splitext(columns[0])[0], files)
