"""All scores of one result, and the row that holds them."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import cv2
import numpy as np

from data.regions import otsu_mask
from evaluation import metrics
from evaluation.datasets import Pair, Sample
from restoration import Restored
from utils.colour import to_unit


@dataclass
class Row:
    """Scores of one method on one picture; `values`: "psnr.whole", "ber", ... -> a number or None (n/a)."""

    method: str
    name: str
    values: dict[str, float | None] = field(default_factory=dict)
    seconds: float | None = None
    size: tuple[int, int] | None = None
    """height and width in pixels"""
    region: str | None = None
    """where the highlight region came from: "T", "S" or "A-D" """
    clean: bool = False
    """whether the picture has no highlight (its highlight region is empty)"""
    unchanged: bool = False
    """whether another program's result equals the input, although that has a highlight"""
    bits: int | None = None
    """bits a channel of the files"""
    kept: tuple[int, int] | None = None
    """size and time of the kept result"""
    error: str | None = None
    bad_pair: bool = False
    """whether the error is the pair's: no method can be scored on it"""

    def to_json(self) -> dict:
        """Plain JSON values: infinite becomes "inf"."""
        record = asdict(self)
        record["values"] = {key: "inf" if v == math.inf else v for key, v in self.values.items()}
        return record

    @classmethod
    def from_json(cls, record: dict) -> "Row":
        """The inverse of `to_json`. Raises KeyError, TypeError or AttributeError where it is no row."""
        values = share_keys({key: math.inf if v == "inf" else v for key, v in record["values"].items()})
        pairs = {key: record[key] and tuple(record[key]) for key in ("size", "kept")}
        return cls(**record | pairs | {"values": values})


def share_keys(values: dict[str, float | None]) -> dict[str, float | None]:
    """The same values under interned keys: all rows of an evaluation are in memory at once, and each has some
    fifty keys."""
    return {sys.intern(name): value for name, value in values.items()}


def score_result(
    pair: Pair, sample: Sample, restored: Restored, names: Sequence[str], protocol: str, map_threshold: str
) -> dict[str, float | None]:
    """Scores of what a method made of `sample`, which is `pair` in memory, by column key ("psnr.whole",
    "ber", ...); None where not applicable.

    names          of metrics.METRICS
    protocol       "256" scores at 256x256; others at the original size
    map_threshold  the rule of `predicted_mask`
    """
    image, ground_truth, result = sample.image, sample.ground_truth, restored.diffuse
    regions: Mapping[str, np.ndarray] = sample.regions()
    if protocol == "256":
        image, ground_truth, result = (_to_256(layer) for layer in (image, ground_truth, result))
        regions = {name: _mask_to_256(mask) for name, mask in regions.items()}
    values = metrics.score(result, ground_truth, regions, names, pair.to_display)
    values |= metrics.highlight_measures(image, result, ground_truth, regions, names, pair.to_display)
    if "lpips" in names:
        values["lpips.whole"] = metrics.lpips(to_unit(result), to_unit(ground_truth))
    predicted = predicted_mask(sample.image, restored.diffuse, restored.highlight, map_threshold)
    return values | metrics.detect(predicted, sample.highlight)


def predicted_mask(image: np.ndarray, diffuse: np.ndarray, highlight: np.ndarray, rule: str) -> np.ndarray:
    """Where a method found highlights, bool (H, W).

    `rule` is that of `threshold` for the map `highlight` (H, W), or "specular": one Otsu pass on what was
    taken away, `image` - `diffuse` (H, W, 3), which is how SHIQ's masks were made of its specular layers.
    """
    if rule != "specular":
        return threshold(highlight, rule)
    return otsu_mask(np.clip(to_unit(image) - to_unit(diffuse), 0, 1))


def threshold(highlight: np.ndarray, rule: str) -> np.ndarray:
    """Predicted mask, bool (H, W), of a highlight map (H, W) in [0, 1] as it is stored in 8 bits.

    `rule` is a number (map >= number; 0.5 is mask >= 128) or "otsu" (one pass).
    """
    stored = np.rint(np.clip(highlight, 0, 1) * np.float32(255))
    if rule == "otsu":
        return otsu_mask((stored / 255).astype(np.float32))
    return stored >= np.ceil(float(rule) * 255 - 1e-9)


def _to_256(layer: np.ndarray) -> np.ndarray:
    resized = cv2.resize(to_unit(layer), (256, 256), interpolation=cv2.INTER_LINEAR)
    return resized.astype(np.float64)


def _mask_to_256(mask: np.ndarray) -> np.ndarray:
    return cv2.resize(mask.astype(np.uint8), (256, 256), interpolation=cv2.INTER_NEAREST) > 0
