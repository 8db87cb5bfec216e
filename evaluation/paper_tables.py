"""The papers' tables: what can be computed here is, beside it the published figure, marked as such."""

from collections.abc import Sequence
from pathlib import Path

from evaluation.published import Published, published
from evaluation.summary import MethodSummary
from evaluation.tables import Cell, Heading, Table

PICTURES = ("animals", "cups", "fruit", "masks")
NOT_RANKED = (
    "Published figures were not measured here, their protocols differ or are not stated, and they are in no "
    "ranking with the rows above."
)


def shipped_weights() -> list[str]:
    """The weights in savedmodel/."""
    return [str(p) for p in sorted((Path(__file__).parent.parent / "savedmodel").glob("*.safetensors"))]


def published_table(name: str) -> Table:
    """All published rows of table `name` with their sources."""
    rows = [row for row in published()[name] if row.psnr is not None]
    table = Table(
        f"PUBLISHED figures ({name}), not measured here",
        [Heading("PSNR"), Heading("SSIM", decimals=3), Heading("source"), Heading("protocol")],
        ranked=False,
        notes=[NOT_RANKED],
    )
    for row in rows:
        label = f"{row.method} [published]"
        cells = [Cell(row.psnr), Cell(row.ssim), Cell(text=row.source), Cell(text=row.protocol)]
        table.rows.append((label, cells))
    return table


def beside_published(name: str, summaries: Sequence[MethodSummary]) -> Table | None:
    """Reported beside ours for the published rows that were computed here; None without any."""
    by_spec = {summary.spec: summary for summary in summaries}
    table = Table(
        f"Reported | ours ({name}; PSNR dB, SSIM 11x11)",
        [Heading("PSNR"), Heading("SSIM")],
        ranked=False,
    )
    for row in published()[name]:
        summary = by_spec.get(row.ours or "")
        if summary is None or row.psnr is None:
            continue
        means = [summary.means.get(key) for key in ("psnr.whole", "ssim.whole")]
        ours = [m and m.value for m in means]
        cells = [
            Cell(text=_pair(reported, value, decimals))
            for reported, value, decimals in zip((row.psnr, row.ssim), ours, (2, 3), strict=True)
        ]
        table.rows.append((f"{row.method} ({summary.label})", cells))
    return table if table.rows else None


def laboratory_tables(summaries: Sequence[MethodSummary]) -> list[Table]:
    """Reported beside ours for every picture, PSNR and SSIM; methods not computed show the reported one."""
    return [
        _per_picture("PSNR dB", "psnr.whole", summaries, lambda row: row.pictures, 1),
        _per_picture("SSIM (ours 11x11)", "ssim.whole", summaries, lambda row: row.pictures_ssim, 3),
    ]


def _per_picture(title, key, summaries, figures, decimals: int) -> Table:
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
        values = {row.name: row.values.get(key) for row in summary.scored}
        figure = figures(reported[summary.spec]) if summary.spec in reported else {}
        cells = [Cell(text=_pair(figure.get(name), values.get(name), decimals)) for name in pictures]
        label = f"{names[summary.spec]} ({summary.label})" if summary.spec in names else summary.label
        table.rows.append((label, cells))
    computed = {summary.spec for summary in summaries}
    for spec, row in reported.items():
        if spec not in computed:
            cells = [Cell(text=_pair(figures(row).get(name), None, decimals)) for name in pictures]
            table.rows.append((f"{row.method} [published]", cells))
    return table


def _pair(reported: float | None, ours: float | None, decimals: int) -> str:
    return " | ".join("-" if v is None else f"{v:.{decimals}f}" for v in (reported, ours))


def _sources(rows: Sequence[Published]) -> str:
    sources = dict.fromkeys(f"{row.source} ({row.protocol})" for row in rows)
    return "Reported: " + "; ".join(sources) + ". '-': not reported, or no such picture or method here."
