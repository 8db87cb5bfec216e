"""NAME.bmp with NAME_gt.bmp in one folder, as Shen and Zheng's laboratory pictures are distributed.

The ground truth of those was photographed through a polariser; of some pictures there is none.
"""

from pathlib import Path

from data.layouts.layers import Layers
from data.records import DatasetScan
from utils.image_files import list_pictures

SUFFIX = "_gt"


def ground_truth(folder: Path) -> DatasetScan:
    """The pairs right inside `folder`, any picture suffix.

    A picture without a NAME_gt is `unpaired`, not a problem: it may be any other picture.
    """
    layers = Layers({"input": "{}", "diffuse": f"{{}}{SUFFIX}"})
    for path in list_pictures(folder):
        name = path.stem.removesuffix(SUFFIX)
        if name:
            layers.add(name, "input" if name == path.stem else "diffuse", path)
    found = layers.found()
    found.problems = [problem for problem in found.problems if problem not in found.unpaired.values()]
    return found
