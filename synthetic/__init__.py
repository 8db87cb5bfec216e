"""Synthetic dichromatic scenes: input, diffuse, specular, mask, albedo, shading and tone-corrected target.

`SyntheticScenes` is a map-style data set, `render_batch` renders batches on any device, `SceneOptions` holds
what can be chosen, `AssetFolders` a user's own textures, photographs, materials and environment maps.
`python -m synthetic` writes data sets.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from utils.errors import explain_missing_packages

if TYPE_CHECKING:
    from synthetic.generator import SyntheticScenes, render_batch
    from synthetic.scene_options import AssetFolders, SceneOptions

explain_missing_packages()

__all__ = ["AssetFolders", "SceneOptions", "SyntheticScenes", "render_batch"]


def __getattr__(name: str) -> object:
    # Imported when first used: commands check their options before torch is imported.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "scene_options" if name in ("AssetFolders", "SceneOptions") else "generator"
    return getattr(import_module(f"{__name__}.{home}"), name)
