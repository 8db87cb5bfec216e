"""One table, four ways to print it: terminal, Markdown, LaTeX (booktabs), and rows of plain values for CSV.

The best value of a column is bold, the second underlined (in Markdown and LaTeX), among rows that may be
ranked: published figures never are. Values that print alike rank alike.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Heading:
    """A column. `better` is +1 where higher is better, -1 where lower is, 0 where it is not ranked."""

    label: str
    group: str = ""
    better: int = 0
    decimals: int = 2


@dataclass(frozen=True)
class Cell:
    """A number with what stands behind it, or a text."""

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


@dataclass
class Table:
    """`rows` are (label, cells); `ranked` says for which rows best and second are looked for."""

    title: str
    headings: list[Heading]
    rows: list[tuple[str, list[Cell]]] = field(default_factory=list)
    ranked: bool = True
    notes: list[str] = field(default_factory=list)

    def ranks(self) -> list[list[int]]:
        """Per row and column 1 for the best, 2 for the second, else 0."""
        ranks = [[0] * len(self.headings) for _ in self.rows]
        if not self.ranked or len(self.rows) < 2:
            return ranks
        for column, heading in enumerate(self.headings):
            values = [cells[column].value for _, cells in self.rows]
            printed = [None if v is None else round(v, heading.decimals) for v in values]
            levels = sorted({v for v in printed if v is not None}, reverse=heading.better > 0)
            # A column in which all are alike has no best.
            if heading.better and len(levels) > 1:
                for row, value in enumerate(printed):
                    if value in levels[:2]:
                        ranks[row][column] = 1 + levels.index(value)
        return ranks


def side_by_side(title: str, tables: Sequence[Table]) -> Table:
    """Joins tables of the same rows into one wide table, each table's title the group of its columns."""
    headings = [
        Heading(h.label, table.title, h.better, h.decimals) for table in tables for h in table.headings
    ]
    labels = [label for label, _ in tables[0].rows]
    rows = [
        (label, [cell for table in tables for cell in table.rows[i][1]]) for i, label in enumerate(labels)
    ]
    return Table(title, headings, rows, tables[0].ranked)


def terminal(table: Table) -> str:
    """Aligned plain text with intervals."""
    lines = _grid(table, interval=True)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    texts = [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    rule = "-" * max(map(len, texts))
    return "\n".join([table.title, rule, texts[0], rule, *texts[1:], *table.notes])


def markdown(table: Table) -> str:
    """A Markdown table with intervals."""
    lines = [[_markdown_text(cell) for cell in line] for line in _grid(table, interval=True)]
    for line, ranks in zip(lines[1:], table.ranks(), strict=True):
        for i, rank in enumerate(ranks, start=1):
            value, _, interval = line[i].partition(" ")
            marked = {0: value, 1: f"**{value}**", 2: f"<u>{value}</u>"}[rank]
            line[i] = f"{marked} {interval}".rstrip()
    body = ["| " + " | ".join(line) + " |" for line in lines]
    rule = "|---|" + "---:|" * len(table.headings)
    return "\n".join([f"**{table.title}**", "", body[0], rule, *body[1:], *("\n" + n for n in table.notes)])


def latex(table: Table, caption: str) -> str:
    """A booktabs table of the means; groups of columns share a heading."""
    groups: list[list] = []
    for heading in table.headings:
        if groups and groups[-1][0] == heading.group:
            groups[-1][1] += 1
        else:
            groups.append([heading.group, 1])
    lines = [
        "% \\usepackage{booktabs,graphicx}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{_latex_text(caption)}}}",
        "\\resizebox{\\textwidth}{!}{%",
        f"\\begin{{tabular}}{{l{'r' * len(table.headings)}}}",
        "\\toprule",
    ]
    if any(name for name, _ in groups):
        lines.append(
            " & ".join(["", *(f"\\multicolumn{{{n}}}{{c}}{{{_latex_text(name)}}}" for name, n in groups)])
            + " \\\\"
        )
        start, rules = 2, []
        for _, n in groups:
            rules.append(f"\\cmidrule(lr){{{start}-{start + n - 1}}}")
            start += n
        lines.append(" ".join(rules))
    head = [_latex_text(h.label) + _ARROWS[h.better] for h in table.headings]
    lines += [" & ".join(["Method", *head]) + " \\\\", "\\midrule"]
    for (label, cells), ranks in zip(table.rows, table.ranks(), strict=True):
        shown = []
        for cell, heading, rank in zip(cells, table.headings, ranks, strict=True):
            text = _latex_text(cell.show(heading.decimals, interval=False))
            shown.append({0: text, 1: f"\\textbf{{{text}}}", 2: f"\\underline{{{text}}}"}[rank])
        lines.append(" & ".join([_latex_text(label), *shown]) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}}", "\\end{table}"])


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
}


def _latex_text(text: str) -> str:
    return "".join(_LATEX_SPECIAL.get(letter, letter) for letter in text)


def _markdown_text(text: str) -> str:
    return text.replace("|", "\\|")


def _grid(table: Table, interval: bool) -> list[list[str]]:
    head = ["method", *(heading.label for heading in table.headings)]
    return [head] + [
        [label, *(c.show(h.decimals, interval) for c, h in zip(cells, table.headings, strict=True))]
        for label, cells in table.rows
    ]
