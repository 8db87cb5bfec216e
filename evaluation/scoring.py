"""All scores of one result: metrics by region, highlight measures, detection."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np

from evaluation import detection, highlight_measures, metrics
from evaluation.highlight_region import highlight_region, split
from evaluation.scored_pairs import Pair, Sample
from evaluation.settings import Settings
from restoration import Restored
from utils.colour import srgb_encode, to_unit


@dataclass(frozen=True)
class Scores:
    """Values by column key ("psnr.whole", "ber", ...), None where not applicable; `region` is the source of
    the highlight region, `clean` says that it is empty."""

    values: dict[str, float | None] = field(default_factory=dict)
    region: str | None = None
    clean: bool = False


def score_result(pair: Pair, sample: Sample, restored: Restored, settings: Settings) -> Scores:
    """Scores of what a method made of `sample`, which is `pair` in memory."""
    image, ground_truth, result = sample.image, sample.ground_truth, restored.diffuse
    highlight, source = highlight_region(sample)
    regions: Mapping[str, np.ndarray] = split(sample, highlight)
    if settings.protocol == "256":
        image, ground_truth, result = (_to_256(layer) for layer in (image, ground_truth, result))
        regions = {name: _mask_to_256(mask) for name, mask in regions.items()}
    display = srgb_encode if pair.linear and not pair.encode else None

    of_highlights = tuple(name for name in settings.metrics if name in highlight_measures.NAMES)
    names = [name for name in settings.metrics if name not in (*of_highlights, "lpips")]
    values = metrics.score(result, ground_truth, regions, names, display)
    values |= highlight_measures.highlight_measures(
        image, result, ground_truth, regions, of_highlights, display
    )
    if "lpips" in settings.metrics:
        from evaluation.lpips_metric import lpips

        values["lpips.whole"] = lpips(to_unit(result), to_unit(ground_truth))
    predicted = detection.predicted_mask(
        sample.image, restored.diffuse, restored.highlight, settings.map_threshold
    )
    values |= detection.detect(predicted, highlight)
    return Scores(values, source, not highlight.any())


def _to_256(layer: np.ndarray) -> np.ndarray:
    resized = cv2.resize(to_unit(layer), (256, 256), interpolation=cv2.INTER_LINEAR)
    return resized.astype(np.float64)


def _mask_to_256(mask: np.ndarray) -> np.ndarray:
    return cv2.resize(mask.astype(np.uint8), (256, 256), interpolation=cv2.INTER_NEAREST) > 0
