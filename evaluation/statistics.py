"""Means with bootstrap intervals and paired tests.

Means. A PSNR above 100 dB, infinite (equal images) included, enters a mean as 100 dB, and the number of
infinite values is reported beside it: excluding them would punish a method for being exact, and one of them
would make the mean infinite. (A 200x200 picture with a single 8-bit value off by one level has 98.9 dB.)

Intervals. 95 % bootstrap over pictures, bias-corrected and accelerated (BCa, by scipy), 2000 resamples,
seeded, so that all columns over the same number of pictures see the same resamples. With fewer than 2
pictures there is no interval; under about 10 it is too narrow.

Paired tests. Two-sided Wilcoxon signed-rank test (scipy; zero differences are dropped, as Wilcoxon did) with
10 or more non-zero differences, the exact sign test below that.
"""

from dataclasses import dataclass

import numpy as np

PSNR_CAP = 100.0
RESAMPLES = 2000
MOST_NUMBERS = 4_000_000
"""Numbers of a batch of resamples: bounds the memory, changes no result."""
WILCOXON_FROM = 10


@dataclass(frozen=True)
class Mean:
    """A mean over `n` pictures with its 95 % interval; `infinite` of them were infinite before capping."""

    value: float
    low: float | None
    high: float | None
    n: int
    infinite: int = 0


@dataclass(frozen=True)
class Paired:
    """Differences method - reference over the pictures that both have."""

    difference: Mean
    wins: int
    losses: int
    ties: int
    test: str
    p_value: float | None


def capped(values: np.ndarray) -> np.ndarray:
    """PSNR values in dB (n,) with everything above 100 dB set to 100 dB."""
    return np.minimum(values, PSNR_CAP)


def mean(values: np.ndarray, *, seed: int = 0, cap: bool = False) -> Mean | None:
    """Mean of (n,) values, NaN where a picture has none (not applicable); None when all are."""
    present = values[~np.isnan(values)]
    if not present.size:
        return None
    infinite = int(np.isinf(present).sum())
    present = capped(present) if cap else present
    low, high = _interval(present, seed)
    return Mean(float(present.mean()), low, high, present.size, infinite)


def _interval(values: np.ndarray, seed: int) -> tuple[float, float] | tuple[None, None]:
    """Ends of the 95 % interval of the mean of (n,) values; None where there is none."""
    if values.size < 2:
        return None, None
    if np.ptp(values) <= 1e-12 * np.abs(values).max():  # BCa divides by the spread, which is rounding here
        return float(values[0]), float(values[0])
    from scipy import stats  # only now: scipy is slow to import

    interval = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, MOST_NUMBERS // values.size),
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    low, high = float(interval.low), float(interval.high)
    return (low, high) if np.isfinite([low, high]).all() else (None, None)


def paired(
    method: np.ndarray, reference: np.ndarray, *, higher_is_better: bool, seed: int = 0, cap: bool = False
) -> Paired | None:
    """Compares two methods picture by picture, (n,) each, NaN where n/a; None without a common picture."""
    if cap:
        method, reference = capped(method), capped(reference)
    difference = method - reference
    difference = difference[~np.isnan(difference)]
    average = mean(difference, seed=seed)
    if average is None:
        return None
    better = difference > 0 if higher_is_better else difference < 0
    nonzero = difference[difference != 0]
    wins = int(better.sum())
    losses = int(nonzero.size) - wins
    test, p_value = _tested(nonzero, wins)
    return Paired(average, wins, losses, int(difference.size - nonzero.size), test, p_value)


def _tested(nonzero: np.ndarray, wins: int) -> tuple[str, float | None]:
    """Name and two-sided p of the test of non-zero differences (n,), `wins` of them for the better."""
    from scipy import stats

    if not nonzero.size:
        return "none", None
    if nonzero.size >= WILCOXON_FROM:
        return "Wilcoxon", float(stats.wilcoxon(nonzero).pvalue)
    return "sign", float(stats.binomtest(wins, nonzero.size).pvalue)
