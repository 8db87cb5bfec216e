"""SSHR (Fu et al., ICCV 2023): rendered objects, OBJECT/VIEW_{i,a,s,r,d,d_tc,m}.jpg, one in a picture."""

from pathlib import Path

from data.layouts.layers import Layers
from data.records import DatasetScan
from utils.image_files import list_pictures

LAYERS = {
    "i": "input",
    "a": "albedo",
    "s": "shading",
    "r": "specular",
    "d": "diffuse",
    "d_tc": "tone_corrected",
    "m": "object_mask",
}


def sshr(folder: Path) -> DatasetScan:
    """The samples in `folder` (a split of objects, or one object), by name OBJECT/VIEW.

    Input and diffuse are required, the other five are taken where they are; a view with neither is none.
    The views of an object are one scene.
    """
    layers = Layers({layer: f"{{}}_{letter}" for letter, layer in LAYERS.items()})
    for path in list_pictures(folder, recursive=True):
        view, _, letter = path.stem.partition("_")
        if view and letter in LAYERS:
            layers.add((path.parent.relative_to(folder) / view).as_posix(), LAYERS[letter], path)
    return layers.found(scenes=True)
