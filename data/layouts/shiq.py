"""SHIQ (Fu et al., CVPR 2021): NNNNN_A.png input, _D.png diffuse, _S.png specular, _T.png highlight mask.

The set is one flat folder, SHIQ_data_10825; its official test list is the numbers 14001 to 15000.
"""

import re
from dataclasses import replace
from pathlib import Path

from data.layouts.layers import Layers
from data.records import DatasetScan
from utils.image_files import list_pictures

LAYERS = {"A": "input", "D": "diffuse", "S": "specular", "T": "mask", "D_tc": "tone_corrected"}
STEM = re.compile(rf"(.+)_({'|'.join(LAYERS)})")
OFFICIAL_TEST = range(14001, 15001)


def shiq(folder: Path) -> DatasetScan:
    """The samples right inside `folder`: every *_A with its _D; S, T and D_tc where they are.

    Any picture suffix. D_tc is what `python -m data.tone_correction` writes.
    """
    layers = Layers({layer: f"{{}}_{letter}" for letter, layer in LAYERS.items()})
    for path in list_pictures(folder):
        if match := STEM.fullmatch(path.stem):
            layers.add(match[1], LAYERS[match[2]], path)
    found = layers.found()
    found.records = [replace(record, split=_split(record.name)) for record in found.records]
    return found


def _split(name: str) -> str:
    return "test" if name.isdecimal() and int(name) in OFFICIAL_TEST else "train"
