"""Tables of the summaries: one per region, detection, pictures without highlights, paired differences."""

from collections.abc import Sequence

from evaluation.detection import DETECTION
from evaluation.statistics import Mean, Paired
from evaluation.summary import MethodSummary, metric_of
from evaluation.tables import Cell, Heading, Line, Table

TITLES = {
    "whole": "Whole picture",
    "highlight": "Highlight region",
    "clipped": "Clipped part of the highlight region (input >= 254/255 in a channel)",
    "rest": "Outside the highlight region",
    "object": "Object",
}
INCOMPLETE = "incomplete: not all pictures have a score, so the row is in no ranking."


def region_tables(
    summaries: Sequence[MethodSummary],
    regions: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
) -> list[Table]:
    """A table per region, then detection; the columns are the metrics and n, whole also has the runtime.

    `regions` of TITLES and `columns` (names of metrics) choose; None: all. Pictures without a highlight are
    in none of them (`clean_table`).
    """
    chosen = [key for key in summaries[0].means if not columns or key.partition(".")[0] in columns]
    tables = []
    for region, title in TITLES.items():
        of_region = [key for key in chosen if key.endswith(f".{region}")]
        # Data sets of linear values have no clipped pixel: a table of n/a says nothing.
        empty = region == "clipped" and not any(s.means[key] for s in summaries for key in of_region)
        if of_region and not empty and (not regions or region in regions):
            tables.append(_table(title, summaries, of_region))
            if region == "whole":
                _add_runtime(tables[-1], summaries)
    detection = [key for key in chosen if key in DETECTION]
    if detection and not regions:
        tables.append(_table("Highlight detection (%)", summaries, detection))
    return tables


def clean_table(summaries: Sequence[MethodSummary]) -> Table | None:
    """How well pictures without a highlight are left alone; None where there are none."""
    most = max(len(summary.clean) for summary in summaries)
    if not most:
        return None
    keys = list(summaries[0].clean_means)
    table = Table("Pictures without a highlight", [*_headings(keys), Heading("n")])
    for summary in summaries:
        cells = [_cell(summary.clean_means[key]) for key in keys]
        cells.append(Cell(text=str(len(summary.clean))))
        table.rows.append(Line(summary.label, cells, len(summary.clean) == most))
    return table


def paired_tables(summaries: Sequence[MethodSummary]) -> list[Table]:
    """A table per reference: mean difference with interval, wins-losses-ties, p and n."""
    references = [s.spec for s in summaries if any(s.spec in other.against for other in summaries)]
    labels = {s.spec: s.label for s in summaries}
    tables = []
    for reference in references:
        compared = [s for s in summaries if reference in s.against]
        keys = list(compared[0].against[reference])
        table = Table(
            f"Paired difference to {labels[reference]}: mean [95 %], wins-losses-ties, p",
            [*(Heading(f"{metric_of(key).label} {key.partition('.')[2]}") for key in keys), Heading("n")],
            ranked=False,
        )
        for summary in compared:
            results = summary.against[reference]
            cells = [Cell(text=_paired_text(results[key], key)) for key in keys]
            n = max((p.difference.n for p in results.values() if p), default=0)
            table.rows.append(Line(summary.label, [*cells, Cell(text=str(n))]))
        tables.append(table)
    return tables


def _table(title: str, summaries: Sequence[MethodSummary], keys: Sequence[str]) -> Table:
    """The last column is n: pictures with a value in the first column."""
    counts = [next((m.n for key in keys if (m := s.means[key])), 0) for s in summaries]
    most = max(len(s.scored) for s in summaries)
    table = Table(title, [*_headings(keys), Heading("n")])
    for summary, n in zip(summaries, counts, strict=True):
        complete = len(summary.scored) == most
        cells = [*(_cell(summary.means[key]) for key in keys), Cell(text=str(n))]
        table.rows.append(Line(summary.label if complete else f"{summary.label} *", cells, complete))
        if not complete:
            table.notes = [f"* {INCOMPLETE}"]
    return table


def _add_runtime(table: Table, summaries: Sequence[MethodSummary]) -> None:
    table.headings.insert(-1, Heading("s/picture", decimals=3))
    for row, summary in zip(table.rows, summaries, strict=True):
        seconds = summary.seconds
        row.cells.insert(-1, Cell(seconds) if seconds is not None else Cell(text="-"))


def _headings(keys: Sequence[str]) -> list[Heading]:
    better = {True: 1, False: -1, None: 0}
    metrics = [metric_of(key) for key in keys]
    return [Heading(m.label, "", better[m.higher_is_better], m.decimals) for m in metrics]


def _cell(m: Mean | None) -> Cell:
    if m is None:
        return Cell()
    # Where every picture is exact, the cap of 100 dB would look like a measurement.
    return Cell(m.value, "inf" if m.infinite == m.n else None, m.low, m.high)


def _paired_text(result: Paired | None, key: str) -> str:
    if result is None:
        return "n/a"
    decimals, d = metric_of(key).decimals, result.difference
    text = f"{d.value:+.{decimals}f}"
    if d.low is not None and d.high is not None:
        text += f" [{d.low:+.{decimals}f}, {d.high:+.{decimals}f}]"
    text += f" {result.wins}-{result.losses}-{result.ties}"
    if result.p_value is None:
        return text
    p = "p<0.001" if result.p_value < 0.001 else f"p={result.p_value:.3f}"
    return f"{text} {p}{result.test[0].lower()}"
