"""Options of synthetic scenes; the defaults are tuned to the statistics of real pairs."""

from dataclasses import dataclass, field, fields
from typing import Literal

from utils.cli import named_values
from utils.errors import UserError

Composition = Literal["display", "linear", "mixed"]


@dataclass(frozen=True)
class SceneOptions:
    """Options of the scene generator. Shares are probabilities in [0, 1], drawn per scene."""

    composition: Composition = "display"
    """display: input = diffuse + grey specular in display values, as SHIQ; linear: layers add in linear
    light and pass one display curve, highlights may be coloured; mixed: `linear_share` of the scenes
    linear.
    """
    linear_share: float = 0.5
    """Share of linear scenes where composition is "mixed"."""
    photo_share: float = 0.35
    """Share of scenes whose whole diffuse layer is a photograph (only with `photos`)."""
    studio_share: float = 0.25
    """Share of coloured objects before a dark background, half of them with a linear (dark) display curve."""
    close_up_share: float = 0.2
    """Share of scenes that one relief surface fills."""
    clean_share: float = 0.12
    """Share of scenes without any highlight: hard negatives."""
    matte_studio_share: float = 0.65
    """Share of the ordinary studio scenes without any highlight, as the objects of MIT Intrinsic Images
    nearly are: a bright surface before a dark background is not a highlight."""
    pale_share: float = 0.15
    """Share of scenes of near-white materials, whose highlights (if any) are faint."""
    pale_studio_share: float = 0.4
    """The same of the studio scenes."""
    clipped_share: float = 0.25
    """Share of scenes of vivid surfaces whose highlights clip every channel over contiguous blobs."""
    clipped_extent: tuple[float, float] = (0.002, 0.045)
    """Range of the share of the picture that clips in these: blobs of some 10 to 60 of 256 pixels."""
    painted_share: float = 0.12
    """Share of scenes of white and painted matte things, print and paper in hard or soft light, mostly
    without any highlight: hard negatives."""
    sparkling_share: float = 0.08
    """Share of scenes with many highlights of a few pixels: wet fruit, glitter, grained plastic."""
    figurine_share: float = 0.0
    """Share of objects that are figurines: thin curved limbs before one another, as toy animals have."""
    rim_share: float = 0.0
    """Share of surfaces with rims and edges of a lighter colour, as on worn things: hard negatives."""
    ridged_share: float = 0.0
    """Share of the round bodies that have ridges, as stacked plates and turned wood."""
    film_share: float = 0.0
    """Share of scenes, except painted ones, under plastic film with highlights on its creases."""
    overexposed_share: float = 0.0
    """Share of the scenes, except clipped ones, whose lightest surfaces are clipped without any highlight, as
    white walls and paper in snapshots: hard negatives."""
    lamp_share: float = 0.04
    """Share of scenes with a glowing lamp in the diffuse layer."""
    environment_share: float = 0.5
    """Share of scenes that reflect an environment map besides their lamps."""
    texture_share: float = 0.5
    """Share of albedo tiles from `textures` and `materials` where these are given; the rest is procedural."""
    peak: tuple[float, float] = (0.2, 0.95)
    """Range of the brightest specular value of a scene (display)."""
    wide_share: float = 0.06
    """Share of scenes whose highlights may be of any extent."""
    extent: tuple[float, float] = (0.02, 0.15)
    """Range of the share of the picture that the highlights of the others may cover."""
    untouched: tuple[float, float] = (0.3, 0.68)
    """Range of the share of pixels whose specular value is exactly zero (display composition)."""
    noise: tuple[float, float] = (0.0, 0.012)
    """Range of the sensor noise's standard deviation at mid-grey, display values."""
    blur: tuple[float, float] = (0.2, 0.75)
    """Range of the optical blur's standard deviation in pixels of a 224-pixel picture."""
    jpeg_share: float = 0.3
    """Share of scenes whose diffuse layer, and share of those whose specular layer, passed JPEG
    compression.
    """
    jpeg_quality: tuple[int, int] = (60, 97)
    """Range of the JPEG quality."""
    mask_passes: int = 1
    """Otsu passes of the highlight mask, see `data.regions`; one fits SHIQ's own masks better
    than two (docs/EVALUATION.md)."""

    def __post_init__(self) -> None:
        for name in (known for known in self.__dataclass_fields__ if known.endswith("_share")):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be within [0, 1], got {getattr(self, name)}")
        for name in ("peak", "extent", "clipped_extent", "untouched", "noise", "blur", "jpeg_quality"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name} must be (low, high) with 0 <= low <= high, got {(low, high)}")
        for name in ("extent", "clipped_extent"):
            low, high = getattr(self, name)
            if not 0 < low <= high <= 1:
                raise ValueError(f"{name} must be within (0, 1], got {(low, high)}")
        if self.clipped_share + self.painted_share + self.sparkling_share > 1:
            raise ValueError("clipped_share, painted_share and sparkling_share add up to more than 1")
        if self.composition not in ("display", "linear", "mixed"):
            raise ValueError(f"composition must be display, linear or mixed, got {self.composition!r}")
        if self.mask_passes < 1:
            raise ValueError(f"mask_passes must be at least 1, got {self.mask_passes}")


def scene_options(composition: Composition, words: list[str]) -> SceneOptions:
    """The options of a composition and of words NAME=VALUE; raises UserError on unknown or wrong ones."""
    chosen = {"composition": composition} | named_values(words, "scene_options")
    unknown = chosen.keys() - SceneOptions.__dataclass_fields__.keys()
    if unknown:
        known = ", ".join(SceneOptions.__dataclass_fields__)
        raise UserError(f"`scene_options`: there is no {sorted(unknown)[0]}; choose among {known}")
    try:
        return SceneOptions(**chosen)
    except (ValueError, TypeError) as error:
        raise UserError(f"`scene_options`: {error}") from error


@dataclass(kw_only=True)
class AssetFolders:
    """A user's own material for the scenes; what is left out the generator draws itself.

    Folders are searched with their subfolders; single files and patterns such as DIR/paper* pick some.
    """

    textures: list[str] = field(default_factory=list)
    """folders of pictures to use as tileable surface colour"""
    photos: list[str] = field(default_factory=list)
    """folders of photographs without highlights, used whole as diffuse layers; DIR/paper* picks
    some of a folder"""
    materials: list[str] = field(default_factory=list)
    """folders of materials: NAME_albedo, NAME_normal (OpenGL), NAME_roughness"""
    envmaps: list[str] = field(default_factory=list)
    """folders of HDR environment maps: npz with linear "rgb", or .hdr"""

    @classmethod
    def of(cls, options: "AssetFolders") -> "AssetFolders":
        """The folders alone, of options that hold others beside them."""
        return cls(**{known.name: getattr(options, known.name) for known in fields(cls)})
