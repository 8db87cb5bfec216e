"""From rows to one summary per method: means with intervals and paired differences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from evaluation.methods import ScoredMethod, labels
from evaluation.metrics import DETECTION, METRICS, Metric
from evaluation.scoring import Row
from evaluation.settings import REGION_NAMES
from evaluation.statistics import Mean, Paired, mean, paired

PAIRED_COLUMNS = (
    "psnr.whole",
    "psnr.highlight",
    "psnr.rest",
    "ssim.whole",
    "delta_e.whole",
    "chroma_error.highlight",
)
CLEAN_COLUMNS = ("psnr.whole", "ssim.whole", "delta_e.whole")
"""What is reported of pictures without a highlight."""


@dataclass
class MethodSummary:
    """All about one method: means by column key, paired differences by reference and column key."""

    method: ScoredMethod
    label: str
    weights: str | None
    """the hash of its weights"""
    rows: list[Row]
    means: dict[str, Mean | None] = field(default_factory=dict)
    """over the pictures that have a highlight"""
    clean_means: dict[str, Mean | None] = field(default_factory=dict)
    """over those that have none"""
    against: dict[str, dict[str, Paired | None]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The method as the user wrote it."""
        return self.method.text

    @property
    def scored(self) -> list[Row]:
        """Rows of pictures with a highlight."""
        return [row for row in self.rows if row.error is None and not row.clean]

    @property
    def clean(self) -> list[Row]:
        """Rows of pictures without a highlight."""
        return [row for row in self.rows if row.error is None and row.clean]

    @property
    def failed(self) -> list[Row]:
        """Rows on which the method failed; pairs that cannot be read are not its fault."""
        return [row for row in self.rows if row.error is not None and not row.bad_pair]

    @property
    def seconds(self) -> float | None:
        """Median runtime of a picture: the first one, which warms up caches, does not move it."""
        times = [row.seconds for row in self.rows if row.seconds is not None and row.error is None]
        return median(times) if times else None


def metric_of(key: str) -> Metric:
    """The metric of a column key such as "psnr.whole" or "ber"."""
    return (METRICS | DETECTION)[key.partition(".")[0]]


def summarise(
    rows: dict[str, list[Row]], methods: Sequence[ScoredMethod], references: Sequence[str], seed: int
) -> list[MethodSummary]:
    """Means, and paired differences to `references`; `rows` by method hold the same pictures in the same
    order."""
    label_of = labels(methods)
    summaries = [MethodSummary(m, label_of[m.text], m.weights_hash(), rows[m.text]) for m in methods]
    keys = column_keys(rows)
    values = {s.text: {key: _values(s.rows, key) for key in keys} for s in summaries}
    for summary in summaries:
        for key in keys:
            summary.means[key] = mean(values[summary.text][key], seed=seed, cap=key.startswith("psnr"))
        for key in CLEAN_COLUMNS:
            if key in keys:
                of_clean = _values(summary.rows, key, clean=True)
                summary.clean_means[key] = mean(of_clean, seed=seed, cap=key.startswith("psnr"))
        for reference in references:
            if reference != summary.text and reference in values:
                summary.against[reference] = _against(values[summary.text], values[reference], seed)
    return summaries


def column_keys(rows: dict[str, list[Row]]) -> list[str]:
    """All keys that any row has, by region and then in the order of METRICS."""
    present = {key for of_method in rows.values() for row in of_method for key in row.values}
    ordered = [f"{name}.{region}" for region in REGION_NAMES for name in METRICS] + list(DETECTION)
    return [key for key in ordered if key in present]


def _against(method: dict[str, np.ndarray], reference: dict[str, np.ndarray], seed: int) -> dict:
    return {
        key: paired(
            method[key],
            reference[key],
            higher_is_better=bool(metric_of(key).higher_is_better),
            seed=seed,
            cap=key.startswith("psnr"),
        )
        for key in PAIRED_COLUMNS
        if key in method
    }


def _values(rows: Sequence[Row], key: str, clean: bool = False) -> np.ndarray:
    """(n,) values of a column, NaN where a picture has none or is not of the kind asked for."""
    values = [row.values.get(key) if row.clean == clean else None for row in rows]
    return np.array([math.nan if v is None else v for v in values])
