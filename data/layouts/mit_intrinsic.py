"""MIT Intrinsic Images (Grosse et al., ICCV 2009): 16-bit *linear* values, original = diffuse + specular.

    X_original.png, X_diffuse.png, X_specular.png, X_mask.png       all in one folder, or
    X/original.png, X/diffuse.png, X/specular.png, X/mask.png       as downloaded

For measuring: training refuses its 16-bit files, since the networks learn sRGB values.
"""

from pathlib import Path

from data.layouts.layers import Layers
from data.records import DatasetScan
from utils.image_files import list_pictures

LAYERS = {
    "original": "input",
    "diffuse": "diffuse",
    "specular": "specular",
    "mask": "object_mask",
}


def mit_intrinsic(folder: Path) -> DatasetScan:
    """The samples in `folder` and below; original and diffuse are required, the other two taken if there."""
    layers = Layers({layer: f"{{}}_{word}" for word, layer in LAYERS.items()})
    for path in list_pictures(folder, recursive=True):
        name, _, word = path.stem.rpartition("_")
        if word in LAYERS:
            layers.add(name or path.parent.relative_to(folder).as_posix(), LAYERS[word], path)
    return layers.found()
