"""Synthetic dichromatic scenes: input, diffuse, specular, mask, albedo, shading and tone-corrected target.

`SyntheticScenes` is a map-style data set, `render_batch` renders batches on any device, `SceneOptions`
holds what can be chosen. `python -m synthetic` writes data sets; `python -m synthetic.stats`
compares their statistics with those of real pairs.
"""

from synthetic.options import SceneOptions
from synthetic.scenes import SyntheticScenes, render_batch

__all__ = ["SceneOptions", "SyntheticScenes", "render_batch"]
