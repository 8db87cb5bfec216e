"""SHIQ (Fu et al., CVPR 2021): NNNNN_A.png input, _D.png diffuse, _S.png specular, _T.png highlight mask."""

import re
from pathlib import Path

from data.records import Found, Record

KEYS = {"A": "input", "D": "diffuse", "S": "specular", "T": "mask", "D_tc": "tone_corrected"}
STEM = re.compile(r"(.+)_(A|D|S|T|D_tc)")
OFFICIAL_TEST = range(14001, 15001)
"""The numbers of the official test list, in the one flat folder SHIQ_data_10825."""


def shiq(folder: Path) -> Found:
    """The samples right inside `folder`: every *_A with its _D; S, T and D_tc where they are.

    Any picture suffix. D_tc is what `python -m data.tone_correction` writes.
    """
    by_name: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        match = STEM.fullmatch(path.stem)
        if match and path.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp"):
            by_name.setdefault(match[1], {})[KEYS[match[2]]] = path
    found = Found()
    for name, files in by_name.items():
        if "input" not in files:
            if "diffuse" in files:
                found.problems.append(f"{files['diffuse']} has no input {name}_A beside it")
        elif "diffuse" not in files:
            found.problems.append(f"{files['input']} has no diffuse picture {name}_D beside it")
        else:
            found.records.append(Record(name, files))
    return found


def official_split(records: list[Record]) -> tuple[list[Record], list[Record]]:
    """(train, test) of one flat folder, by the numbers in the names."""
    test = [record for record in records if record.name.isdigit() and int(record.name) in OFFICIAL_TEST]
    chosen = {record.name for record in test}
    return [record for record in records if record.name not in chosen], test
