"""Synthetic dichromatic scenes: input, diffuse, specular, mask, albedo, shading and tone-corrected target.

`SyntheticScenes` is a map-style data set, `render_batch` renders batches on any device, `SceneOptions` holds
what can be chosen, `AssetFolders` a user's own textures, photographs, materials and environment maps.
`python -m synthetic` writes data sets.
"""

from typing import TYPE_CHECKING

from synthetic.scene_options import AssetFolders, SceneOptions

if TYPE_CHECKING:
    from synthetic.generator import SyntheticScenes, render_batch

__all__ = ["AssetFolders", "SceneOptions", "SyntheticScenes", "render_batch"]


def __getattr__(name: str) -> object:
    # Imported when first used: commands check their options before torch is imported.
    if name not in ("SyntheticScenes", "render_batch"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from synthetic import generator

    return getattr(generator, name)
