"""Ranking, formats, published figures."""

import math

import numpy as np
import pytest
from scipy import stats

from evaluation.paper_tables import computable, published, published_table
from evaluation.statistics import mean, paired
from evaluation.tables import (
    Cell,
    Heading,
    Line,
    Table,
    comma_separated,
    latex,
    markdown,
    side_by_side,
    terminal,
)


def example(ranked: bool = True, title: str = "Whole & all") -> Table:
    rows = [
        Line("in_put", [Cell(30.0, None, 29.0, 31.0), Cell(0.5)]),
        Line("b", [Cell(31.234), Cell(0.3)]),
        Line("c", [Cell(31.231), Cell()]),
        Line("d", [Cell(12.0), Cell(text="-")]),
    ]
    return Table(title, [Heading("PSNR", "", 1, 2), Heading("MSE", "", -1, 1)], rows, ranked)


def test_best_and_second_by_direction_ties_as_printed() -> None:
    assert example().ranks() == [[2, 2], [1, 1], [1, 0], [0, 0]]
    assert example(ranked=False).ranks() == [[0, 0]] * 4


def test_one_row_or_equal_values_have_no_best() -> None:
    table = Table("t", [Heading("x", "", 1)], [Line("a", [Cell(1.0)]), Line("b", [Cell(1.0)])])
    assert table.ranks() == [[0], [0]]
    table.rows.pop()
    assert table.ranks() == [[0]]


def test_a_row_that_is_not_ranked_leaves_the_best_to_the_others() -> None:
    table = example()
    table.rows.append(Line("partial", [Cell(99.0), Cell(0.0)], ranked=False))
    assert table.ranks() == [[2, 2], [1, 1], [1, 0], [0, 0], [0, 0]]


def test_markdown_and_terminal_show_intervals_and_what_is_missing() -> None:
    text = markdown(example())
    assert "| in_put | <u>30.00</u> [29.0, 31.0] | <u>0.5</u> |" in text
    assert "| c | **31.23** | n/a |" in text
    assert "30.00 [29.0, 31.0]" in terminal(example())
    lines = terminal(example()).splitlines()
    assert lines[0] == "Whole & all"
    assert len({line.index("30.00") + len("30.00 [29.0, 31.0]") for line in lines if "30.00" in line}) == 1
    assert "\x1b" not in terminal(example())


def test_latex_is_booktabs_and_escaped() -> None:
    text = latex(side_by_side("t", [example(), example(title="rest")]), "100 % of_all | x", "tab:x")
    assert "\\multicolumn{2}{c}{Whole \\& all}" in text
    assert "in\\_put & \\underline{30.00} & \\underline{0.5} &" in text
    assert "\\textbf{31.23}" in text
    assert "\\caption[t]{100 \\% of\\_all \\textbar{} x}\n\\label{tab:x}" in text
    assert text.count("\\toprule") == text.count("\\bottomrule") == 1
    lines = [line for line in text.splitlines() if line.endswith("\\\\") and "multicolumn" not in line]
    assert {line.count(" & ") for line in lines} == {4}


def test_csv_keeps_infinity_and_marks_what_is_missing() -> None:
    text = comma_separated([{"m": "a,b", "x": math.inf, "y": None}])
    assert text == 'm,x,y\n"a,b",inf,n/a\n'


def test_published_figures_have_sources() -> None:
    tables = published()
    assert set(tables) == {"shiq", "psd", "sshr", "laboratory"}
    for rows in tables.values():
        for row in rows:
            assert row.source
            assert row.protocol
            assert row.psnr is not None or row.pictures
    figure = next(row for row in tables["laboratory"] if row.ours == "shen2013" and row.pictures)
    assert figure.pictures == {"animals": "37.3", "cups": "39.3", "fruit": "38.9", "masks": "34.1"}
    assert computable("shiq") == ["input", "shen2013"]


def test_published_rows_are_never_ranked() -> None:
    table = published_table("psd")
    assert len(table.rows) == 13
    assert not any(any(ranks) for ranks in table.ranks())
    assert all(row.label.endswith("[published]") for row in table.rows)
    assert table.rows[0].cells[1].text == "0.970"  # the digits that were printed


# ---- means, infinite values, intervals, paired tests


def test_mean_leaves_out_what_is_not_applicable() -> None:
    result = mean(np.array([1.0, math.nan, 3.0]))
    assert (result.value, result.n, result.infinite) == (2, 2, 0)
    assert mean(np.array([math.nan])) is None


def test_infinite_psnr_counts_as_100_db_and_is_reported() -> None:
    result = mean(np.array([30.0, math.inf, 120.0]), cap=True)
    assert (result.value, result.infinite) == (pytest.approx((30 + 100 + 100) / 3), 1)
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
