"""What kind of scene each one is: its setting, and whether it is a variant beyond the ordinary scenes.

The ordinary scenes have the statistics of SHIQ's pairs. CLIPPED ones have highlights that clip every channel
over blobs of some size, on vivid surfaces: the colour that the sensor lost must come from the surroundings.
PAINTED ones are white and painted matte things in hard or soft light (hard negatives). SPARKLING ones have
many highlights of a few pixels, as wet fruit or glitter.
"""

from dataclasses import dataclass

import numpy as np

from synthetic.draws import Draws, Plan
from synthetic.scene_options import SceneOptions

STUDIO, CLOSE_UP, TABLE, PHOTO = range(4)
ORDINARY, CLIPPED, PAINTED, SPARKLING = range(4)


@dataclass(frozen=True)
class SceneKinds(Plan):
    """Setting and variant of each scene of a batch."""

    setting: np.ndarray
    """int64 (B,): STUDIO (dark background), CLOSE_UP (one surface fills the picture), TABLE or PHOTO."""
    variant: np.ndarray
    """int64 (B,): ORDINARY, CLIPPED, PAINTED or SPARKLING."""
    film: np.ndarray
    """bool (B,): under plastic film; never where PAINTED."""

    @property
    def studio(self) -> np.ndarray:
        """bool (B,)."""
        return self.setting == STUDIO

    @property
    def clipped(self) -> np.ndarray:
        """bool (B,)."""
        return self.variant == CLIPPED

    @property
    def painted(self) -> np.ndarray:
        """bool (B,)."""
        return self.variant == PAINTED

    @property
    def sparkling(self) -> np.ndarray:
        """bool (B,)."""
        return self.variant == SPARKLING


def draw_kinds(draws: Draws, options: SceneOptions, have_photos: bool) -> SceneKinds:
    """Settings and variants with the shares of `options`; no PHOTO without photographs."""
    photo = options.photo_share if have_photos else 0.0
    table = max(0.0, 1.0 - photo - options.studio_share - options.close_up_share)
    variants = (options.clipped_share, options.painted_share, options.sparkling_share)
    ordinary = max(0.0, 1.0 - sum(variants))
    variant = draws.choice("variant", weights=(ordinary, *variants))
    return SceneKinds(
        setting=draws.choice("kind", weights=(options.studio_share, options.close_up_share, table, photo)),
        variant=variant,
        film=draws.chance("film", share=options.film_share) & (variant != PAINTED),
    )
