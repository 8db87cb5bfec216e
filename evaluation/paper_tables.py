"""The papers' tables: figures that others published (published.yaml) with their sources, beside ours where
the method exists here, marked as such and never ranked with them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

from evaluation.summary import MethodSummary
from evaluation.tables import Cell, Heading, Line, Table

FILE = Path(__file__).with_name("published.yaml")
PICTURES = ("animals", "cups", "fruit", "masks")
NOT_RANKED = (
    "Published figures were not measured here, their protocols differ or are not stated, and they are in no "
    "ranking with the rows above."
)
OTHER_PICTURES = "*: not over the same pictures; n of both is given, or that the source states none."
WITH_CLEAN = (
    "Ours here: means over all pictures, as published ones are; the tables above leave out the {n} without a "
    "highlight, so their figures of the same method differ."
)


@dataclass(frozen=True)
class Published:
    """One published row, its figures with the digits that were printed.

    `pictures` and `pictures_ssim` are PSNR in dB and SSIM by picture, `ours` our method of the same row, `n`
    the number of pictures of the mean, where it is stated.
    """

    method: str
    source: str
    protocol: str
    psnr: str | None = None
    ssim: str | None = None
    seconds: str | None = None
    n: str | None = None
    ours: str | None = None
    pictures: dict[str, str] = field(default_factory=dict)
    pictures_ssim: dict[str, str] = field(default_factory=dict)


@cache
def published() -> dict[str, tuple[Published, ...]]:
    """Rows by table: "shiq", "psd", "sshr", "laboratory"."""
    # The base loader keeps numbers as text, and with it a final 0.
    content = yaml.load(FILE.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    sources = content["sources"]
    return {
        table: tuple(
            Published(
                **row
                | {
                    "source": sources[row["source"]]["text"],
                    "protocol": sources[row["source"]]["protocol"],
                }
            )
            for row in rows
        )
        for table, rows in content["tables"].items()
    }


def computable(table: str) -> list[str]:
    """Our methods that compute a published row of `table`, `input` first, each once."""
    return list(dict.fromkeys(["input", *(row.ours for row in published()[table] if row.ours)]))


def shipped_weights() -> list[str]:
    """The weights in savedmodel/."""
    return [str(p) for p in sorted((Path(__file__).parent.parent / "savedmodel").glob("*.safetensors"))]


def paper_tables(name: str, summaries: Sequence[MethodSummary]) -> list[Table]:
    """All that is printed for the paper's table `name`."""
    tables = laboratory_tables(summaries) if name == "laboratory" else []
    # The published means of this table are over four pictures and say nothing about fewer.
    if name != "laboratory" or set(PICTURES) <= {row.name for row in summaries[0].scored}:
        beside = beside_published(name, summaries)
        tables += [beside] if beside else []
    return [*tables, published_table(name)]


def published_table(name: str) -> Table:
    """All published rows of table `name` with their sources."""
    table = Table(
        f"PUBLISHED figures ({name}), not measured here",
        [Heading("PSNR"), Heading("SSIM"), Heading("n"), Heading("source"), Heading("protocol")],
        ranked=False,
        notes=[NOT_RANKED],
    )
    for row in published()[name]:
        if row.psnr is not None:
            shown = (row.psnr, row.ssim or "n/a", row.n or "not stated", row.source, row.protocol)
            table.rows.append(Line(f"{row.method} [published]", [Cell(text=text) for text in shown]))
    return table


def beside_published(name: str, summaries: Sequence[MethodSummary]) -> Table | None:
    """Reported beside ours for the published rows that were computed here; None without any.

    Rows whose n differs, or is not stated, are marked.
    """
    by_text = {summary.text: summary for summary in summaries}
    table = Table(
        f"Reported | ours ({name}; PSNR dB, SSIM 11x11)",
        [Heading("PSNR"), Heading("SSIM"), Heading("n")],
        ranked=False,
        notes=[OTHER_PICTURES],
    )
    for row in published()[name]:
        summary = by_text.get(row.ours or "")
        if summary is None or row.psnr is None:
            continue
        n = str(len(summary.scored) + len(summary.clean))
        note = _difference(row, _mean(summary, "psnr.whole"), n)
        table.notes += [note] if note else []
        cells = [
            Cell(text=_pair(reported, _mean(summary, key), decimals))
            for reported, key, decimals in ((row.psnr, "psnr.whole", 2), (row.ssim, "ssim.whole", 3))
        ]
        cells.append(Cell(text=f"{row.n or 'not stated'} | {n}"))
        mark = "" if row.n == n else " *"
        table.rows.append(Line(f"{row.method} ({summary.label}){mark}", cells))
    clean = len(summaries[0].clean)
    table.notes += [WITH_CLEAN.format(n=clean)] if clean else []
    return table if table.rows else None


def _difference(row: Published, ours: float | None, n: str) -> str | None:
    """What is known of why a published PSNR and ours differ; None where they are equal as printed."""
    if row.psnr is None or ours is None:
        return None
    decimals = len(row.psnr.partition(".")[2])
    if round(ours, decimals) == float(row.psnr):
        return None
    reasons = [f'the protocol of the source is "{row.protocol}"']
    if row.n != n:
        reasons.append(f"the mean is over {row.n or 'an unknown number of'} pictures there, over {n} here")
    if row.ours != "input":
        reasons.append("the method was written anew from its paper")
    return (
        f"{row.method}: {row.psnr} dB reported, {ours:.2f} dB here. Known differences: {'; '.join(reasons)}."
    )


def laboratory_tables(summaries: Sequence[MethodSummary]) -> list[Table]:
    """Reported beside ours for every picture, PSNR and SSIM; methods not computed show the reported one."""
    return [
        _per_picture("PSNR dB", "psnr.whole", summaries, lambda row: row.pictures, 1),
        _per_picture(
            "SSIM (MATLAB's, 11x11x11)", "ssim3d.whole", summaries, lambda row: row.pictures_ssim, 3
        ),
    ]


def _per_picture(
    title: str,
    key: str,
    summaries: Sequence[MethodSummary],
    figures: Callable[[Published], dict[str, str]],
    decimals: int,
) -> Table:
    """One table: a line per method, a column per picture, "reported | ours" in each cell.

    key      column key of ours
    figures  the published figures of a row by picture
    """
    rows = [row for row in published()["laboratory"] if figures(row)]
    reported = {row.ours or row.method: row for row in rows}
    names = {row.ours: row.method for row in published()["laboratory"] if row.ours}
    others = sorted({row.name for summary in summaries for row in summary.rows} - set(PICTURES))
    pictures = [*PICTURES, *others]
    table = Table(
        f"Laboratory pictures, {title}: reported | ours",
        [Heading(name) for name in pictures],
        ranked=False,
        notes=[_sources(rows)],
    )
    for summary in summaries:
        values = {row.name: row.values.get(key) for row in (*summary.scored, *summary.clean)}
        figure = figures(reported[summary.text]) if summary.text in reported else {}
        cells = [Cell(text=_pair(figure.get(name), values.get(name), decimals)) for name in pictures]
        label = f"{names[summary.text]} ({summary.label})" if summary.text in names else summary.label
        table.rows.append(Line(label, cells))
    computed = {summary.text for summary in summaries}
    for text, row in reported.items():
        if text not in computed:
            cells = [Cell(text=_pair(figures(row).get(name), None, decimals)) for name in pictures]
            table.rows.append(Line(f"{row.method} [published]", cells))
    return table


def _mean(summary: MethodSummary, key: str) -> float | None:
    """Over all pictures, as the published means are: those without a highlight included."""
    parts = [m for m in (summary.means.get(key), summary.clean_means.get(key)) if m is not None]
    n = sum(m.n for m in parts)
    return sum(m.value * m.n for m in parts) / n if n else None


def _pair(reported: str | None, ours: float | None, decimals: int) -> str:
    return f"{reported or '-'} | {'-' if ours is None else f'{ours:.{decimals}f}'}"


def _sources(rows: Sequence[Published]) -> str:
    sources = dict.fromkeys(f"{row.source} ({row.protocol})" for row in rows)
    return "Reported: " + "; ".join(sources) + ". '-': not reported, or no such picture or method here."
