"""Variants of scenes beyond the ordinary ones, whose statistics are those of SHIQ's pairs.

CLIPPED: highlights that clip every channel over blobs of some size, on vivid surfaces: what the sensor no
longer tells must come from the surroundings. PAINTED: white and painted matte things in hard or soft light
(hard negatives). SPARKLING: many highlights of a few pixels, as on wet fruit or glitter.
"""

import numpy as np

from synthetic.draws import Draws
from synthetic.options import SceneOptions

ORDINARY, CLIPPED, PAINTED, SPARKLING = range(4)


def scene_variants(draws: Draws, options: SceneOptions) -> np.ndarray:
    """int64 (B,): the variant of each scene."""
    shares = (options.clipped_share, options.painted_share, options.sparkling_share)
    return draws.choice("variant", weights=(max(0.0, 1.0 - sum(shares)), *shares))
