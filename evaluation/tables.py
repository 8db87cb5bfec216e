"""Tables of the summaries (one per region, detection, pictures without highlights, paired differences), and
four ways to print one: terminal, Markdown, LaTeX (booktabs), and rows of plain values for CSV.

The best value of a column is bold, the second underlined (in Markdown and LaTeX), among rows that may be
ranked: published figures and incomplete results never are. Values that print alike rank alike.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from evaluation.metrics import DETECTION
from evaluation.statistics import Mean, Paired
from evaluation.summary import MethodSummary, metric_of
from utils.markdown import markdown_table

TITLES = {
    "whole": "Whole picture",
    "highlight": "Highlight region",
    "clipped": "Clipped part of the highlight region (input >= 254/255 in a channel)",
    "rest": "Outside the highlight region",
    "object": "Object",
}
PAGE_COLUMNS = ("psnr", "ssim", "lpips")
PAGE_WIDTH = 80
"""Letters of a line that fit a page of LaTeX without being made smaller."""
LONG_TEXT = 30
"""Letters from which on the texts of a column are broken into lines in LaTeX."""
INCOMPLETE = "incomplete: not all pictures have a score, so the row is in no ranking."


@dataclass(frozen=True)
class Heading:
    """A column. `better` is +1 where higher is better, -1 where lower is, 0 where it is not ranked."""

    label: str
    group: str = ""
    better: int = 0
    decimals: int = 2


@dataclass(frozen=True)
class Cell:
    """A number with its interval and count, or a text."""

    value: float | None = None
    text: str | None = None
    low: float | None = None
    high: float | None = None

    def show(self, decimals: int, interval: bool) -> str:
        """The cell as text; None is n/a."""
        if self.text is not None:
            return self.text
        if self.value is None:
            return "n/a"
        shown = f"{self.value:.{decimals}f}"
        if interval and self.low is not None and self.high is not None:
            # An interval is wide: the last digit of its ends says nothing.
            ends = max(decimals - 1, 0)
            shown += f" [{self.low:.{ends}f}, {self.high:.{ends}f}]"
        return shown


@dataclass(frozen=True)
class Line:
    """A row of a table; `ranked`: it takes part in the search for best and second."""

    label: str
    cells: list[Cell]
    ranked: bool = True


@dataclass
class Table:
    """Rows of cells under headings; without `ranked` no value is marked."""

    title: str
    headings: list[Heading]
    rows: list[Line] = field(default_factory=list)
    ranked: bool = True
    notes: list[str] = field(default_factory=list)

    def ranks(self) -> list[list[int]]:
        """Per row and column 1 for the best, 2 for the second, else 0."""
        ranks = [[0] * len(self.headings) for _ in self.rows]
        competing = [index for index, row in enumerate(self.rows) if self.ranked and row.ranked]
        if len(competing) < 2:
            return ranks
        for column, heading in enumerate(self.headings):
            values = {index: self.rows[index].cells[column].value for index in competing}
            printed = {i: round(v, heading.decimals) for i, v in values.items() if v is not None}
            levels = sorted(set(printed.values()), reverse=heading.better > 0)
            # A column in which all are alike has no best.
            if heading.better and len(levels) > 1:
                for index, value in printed.items():
                    if value in levels[:2]:
                        ranks[index][column] = 1 + levels.index(value)
        return ranks


def region_tables(
    summaries: Sequence[MethodSummary],
    regions: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    counts: bool = True,
) -> list[Table]:
    """A table per region, then detection; the columns are the metrics and n, whole also has the runtime.

    `regions` of TITLES and `columns` (names of metrics) choose; None: all. Without `counts` there are neither
    n nor the runtime. Pictures without a highlight are in none of them (`clean_table`).
    """
    chosen = [key for key in summaries[0].means if not columns or key.partition(".")[0] in columns]
    tables = []
    for region, title in TITLES.items():
        of_region = [key for key in chosen if key.endswith(f".{region}")]
        # Data sets of linear values have no clipped pixel: a table of n/a says nothing.
        empty = region == "clipped" and not any(s.means[key] for s in summaries for key in of_region)
        if of_region and not empty and (not regions or region in regions):
            tables.append(_table(title, summaries, of_region, counts))
            if region == "whole" and counts:
                _add_runtime(tables[-1], summaries)
    detection = [key for key in chosen if key in DETECTION]
    if detection and not regions:
        tables.append(_table("Highlight detection (%)", summaries, detection, counts))
    return tables


def page_table(
    summaries: Sequence[MethodSummary], regions: Sequence[str], columns: Sequence[str]
) -> Table | None:
    """One table that fits a page: PSNR, SSIM and LPIPS of the whole picture, or what `regions` and `columns`
    choose, side by side; None where there is no such score."""
    scored = {key.partition(".")[0] for key in summaries[0].means}
    usual = [name for name in PAGE_COLUMNS if name in scored]
    chosen = region_tables(
        summaries, regions or ([] if columns else ["whole"]), columns or usual, counts=False
    )
    return side_by_side("Evaluation", chosen) if chosen else None


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
    tables = []
    for reference, label in ((s.text, s.label) for s in summaries):
        compared = [s for s in summaries if reference in s.against]
        if not compared:
            continue
        keys = list(compared[0].against[reference])
        table = Table(
            f"Paired difference to {label}: mean [95 %], wins-losses-ties, p",
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


def _table(title: str, summaries: Sequence[MethodSummary], keys: Sequence[str], counts: bool) -> Table:
    """With `counts` the last column is n: pictures with a value in the first column."""
    pictures = [next((m.n for key in keys if (m := s.means[key])), 0) for s in summaries]
    most = max(len(s.scored) for s in summaries)
    table = Table(title, [*_headings(keys), *([Heading("n")] if counts else [])])
    for summary, n in zip(summaries, pictures, strict=True):
        complete = len(summary.scored) == most
        cells = [*(_cell(summary.means[key]) for key in keys), *([Cell(text=str(n))] if counts else [])]
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


def side_by_side(title: str, tables: Sequence[Table]) -> Table:
    """Joins tables of the same rows into one wide table, each table's title the group of its columns."""
    headings = [
        Heading(h.label, table.title, h.better, h.decimals) for table in tables for h in table.headings
    ]
    rows = [
        Line(row.label, [cell for table in tables for cell in table.rows[i].cells], row.ranked)
        for i, row in enumerate(tables[0].rows)
    ]
    notes = list(dict.fromkeys(note for table in tables for note in table.notes))
    return Table(title, headings, rows, tables[0].ranked, notes)


def terminal(table: Table) -> str:
    """Aligned plain text with intervals, as wide as it needs to be."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable

    grid = RichTable(title=table.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    head, *lines = _grid(table)
    for index, heading in enumerate(head):
        grid.add_column(heading, justify="right" if index else "left", no_wrap=True)
    for line in lines:
        grid.add_row(*line)
    # Neither markup in names nor colours nor the terminal's width: the same text goes into a file.
    buffer = io.StringIO()
    console = Console(file=buffer, width=10_000, color_system=None, markup=False, highlight=False)
    console.print(grid)
    text = [line.rstrip() for line in buffer.getvalue().splitlines()]
    return "\n".join([*(line for line in text if line), *table.notes])


def markdown(table: Table) -> str:
    """A Markdown table with intervals."""
    head, *lines = _grid(table)
    for line, ranks in zip(lines, table.ranks(), strict=True):
        for i, rank in enumerate(ranks, start=1):
            value, _, interval = line[i].partition(" ")
            if rank:
                line[i] = f"{f'**{value}**' if rank == 1 else f'<u>{value}</u>'} {interval}".rstrip()
    notes = ["\n" + note for note in table.notes]
    return "\n".join([f"**{table.title}**", "", markdown_table(head, lines, numeric=True), *notes])


def latex(table: Table, caption: str, label: str) -> str:
    """A booktabs table of the means with its notes; groups of columns share a heading. The title is the short
    caption. Only what is wider than a page is made smaller."""
    grid = _grid(table, interval=False)
    widths = [max(len(line[i]) for line in grid) for i in range(len(grid[0]))]
    kinds = ["l", *"r" * len(table.headings)]
    kinds = ["p{3.3cm}" if width > LONG_TEXT else kind for kind, width in zip(kinds, widths, strict=True)]
    wide = sum(min(width, LONG_TEXT) + 2 for width in widths) > PAGE_WIDTH
    lines = [
        f"% \\usepackage{{booktabs{',graphicx' if wide else ''}}}",
        "\\begin{table}",
        "\\centering",
        f"\\caption[{_latex_text(table.title)}]{{{_latex_text(caption)}}}",
        f"\\label{{{label}}}",
        *(["\\resizebox{\\textwidth}{!}{%"] if wide else []),
        f"\\begin{{tabular}}{{{''.join(kinds)}}}",
        "\\toprule",
        *_latex_groups(table.headings),
    ]
    head = [_latex_text(h.label) + _ARROWS[h.better] for h in table.headings]
    lines += [" & ".join(["Method", *head]) + " \\\\", "\\midrule"]
    marks = ("{}", "\\textbf{{{}}}", "\\underline{{{}}}")
    for texts, ranks in zip(grid[1:], table.ranks(), strict=True):
        cells = [marks[rank].format(_latex_text(text)) for text, rank in zip(texts, [0, *ranks], strict=True)]
        lines.append(" & ".join(cells) + " \\\\")
    lines += ["\\bottomrule", f"\\end{{tabular}}{'}' if wide else ''}"]
    lines += [f"\\par\\smallskip\\footnotesize {_latex_text(note)}" for note in table.notes]
    return "\n".join([*lines, "\\end{table}"])


def _latex_groups(headings: Sequence[Heading]) -> list[str]:
    """The line of group names and the rules under them; nothing where no heading has a group."""
    groups: list[list] = []
    for heading in headings:
        if groups and groups[-1][0] == heading.group:
            groups[-1][1] += 1
        else:
            groups.append([heading.group, 1])
    if not any(name for name, _ in groups):
        return []
    start, rules = 2, []
    for _, n in groups:
        rules.append(f"\\cmidrule(lr){{{start}-{start + n - 1}}}")
        start += n
    names = [f"\\multicolumn{{{n}}}{{c}}{{{_latex_text(name)}}}" for name, n in groups]
    return [" & ".join(["", *names]) + " \\\\", " ".join(rules)]


def comma_separated(records: Sequence[dict]) -> str:
    """CSV of records with the same keys, None as n/a; the first record's keys are the header."""
    buffer = io.StringIO()
    if records:
        writer = csv.DictWriter(buffer, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: "n/a" if v is None else v for k, v in record.items()} for record in records)
    return buffer.getvalue()


_ARROWS = {1: " $\\uparrow$", -1: " $\\downarrow$", 0: ""}
_LATEX_SPECIAL = {
    "\\": "\\textbackslash{}",
    "&": "\\&",
    "%": "\\%",
    "$": "\\$",
    "#": "\\#",
    "_": "\\_",
    "{": "\\{",
    "}": "\\}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "\\textbar{}",  # in TeX's own encoding a bare | prints as a dash
}


def _latex_text(text: str) -> str:
    return "".join(_LATEX_SPECIAL.get(letter, letter) for letter in text)


def _grid(table: Table, interval: bool = True) -> list[list[str]]:
    head = ["method", *(heading.label for heading in table.headings)]
    return [head] + [
        [row.label, *(c.show(h.decimals, interval) for c, h in zip(row.cells, table.headings, strict=True))]
        for row in table.rows
    ]
