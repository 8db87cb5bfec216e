"""Means, infinite values, intervals, paired tests."""

import math

import numpy as np
import pytest
from scipy import stats

from evaluation.statistics import mean, paired


def test_mean_leaves_out_what_is_not_applicable() -> None:
    result = mean(np.array([1.0, math.nan, 3.0]))
    assert (result.value, result.n, result.infinite) == (2, 2, 0)
    assert mean(np.array([math.nan])) is None


def test_infinite_psnr_counts_as_100_db_and_is_reported() -> None:
    result = mean(np.array([30.0, math.inf, 120.0]), cap=True)
    assert result.value == pytest.approx((30 + 100 + 100) / 3)
    assert result.infinite == 1
    assert math.isfinite(result.high)


def test_one_picture_has_no_interval() -> None:
    result = mean(np.array([5.0]))
    assert (result.value, result.low, result.high) == (5, None, None)


def test_interval_agrees_with_theory_and_repeats() -> None:
    values = np.random.default_rng(1).normal(30, 4, 400)
    result = mean(values, seed=3)
    half = 1.96 * values.std() / 20
    # A bootstrap's quantile strays by a share of the half width (0.39); numpy draws alike everywhere.
    assert result.low == pytest.approx(values.mean() - half, abs=0.06)
    assert result.high == pytest.approx(values.mean() + half, abs=0.06)  # as above
    assert mean(values, seed=3) == result
    assert mean(values, seed=4) != result


def test_interval_agrees_with_scipy() -> None:
    values = np.random.default_rng(2).exponential(2, 60)
    ours = mean(values)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(0))
    # Two bootstraps of other draws, alike on every machine.
    assert ours.low == pytest.approx(theirs.confidence_interval.low, rel=0.04)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, rel=0.04)  # as above


def test_paired_wilcoxon() -> None:
    rng = np.random.default_rng(5)
    reference = rng.normal(30, 5, 50)
    method = reference + rng.normal(0.5, 1, 50)
    result = paired(method, reference, higher_is_better=True)
    assert result.test == "Wilcoxon"
    assert result.p_value == pytest.approx(stats.wilcoxon(method, reference).pvalue)
    assert result.difference.value == pytest.approx((method - reference).mean())
    assert result.wins == (method > reference).sum()
    assert paired(method, reference, higher_is_better=False).losses == result.wins


def test_paired_sign_test_for_few_pictures() -> None:
    result = paired(np.array([1.0, 2, 3, 4]), np.array([0.0, 1, 2, 4]), higher_is_better=True)
    assert (result.wins, result.losses, result.ties, result.test) == (3, 0, 1, "sign")
    assert result.p_value == pytest.approx(0.25)


def test_paired_with_itself_and_with_nothing_in_common() -> None:
    values = np.array([1.0, 2.0])
    same = paired(values, values, higher_is_better=True)
    assert (same.ties, same.test, same.p_value) == (2, "none", None)
    assert paired(np.array([1.0, math.nan]), np.array([math.nan, 1.0]), higher_is_better=True) is None


def test_paired_psnr_of_two_exact_results_is_a_tie() -> None:
    result = paired(np.array([math.inf, 30.0]), np.array([math.inf, 20.0]), higher_is_better=True, cap=True)
    assert (result.wins, result.ties) == (1, 1)
