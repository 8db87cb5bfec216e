"""MIT Intrinsic Images (Grosse et al., ICCV 2009): 16-bit *linear* values, original = diffuse + specular.

For measuring: training refuses its 16-bit files, since the networks learn sRGB values.
"""

from pathlib import Path

from data.layouts.layers import Layers
from data.records import Found
from utils.image_files import list_pictures

LAYERS = {"original": "input", "diffuse": "diffuse", "specular": "specular", "mask": "object_mask"}


def mit_intrinsic(folder: Path) -> Found:
    """X_original with X_diffuse in one folder, or X/original with X/diffuse; the rest where it is."""
    layers = Layers({layer: f"{{}}_{word}" for word, layer in LAYERS.items()})
    for path in list_pictures(folder, recursive=True):
        name, _, word = path.stem.rpartition("_")
        if word in LAYERS:
            layers.add(name or path.parent.relative_to(folder).as_posix(), LAYERS[word], path)
    return layers.found()
