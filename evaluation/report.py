"""`evaluate`: pairs and methods in; scores, tables and files out."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from evaluation import tables
from evaluation.datasets import PairSet
from evaluation.paper_tables import PICTURES, beside_published, laboratory_tables, published_table
from evaluation.published import published
from evaluation.runner import Row, Settings, run, slug
from evaluation.sheets import write_sheet
from evaluation.summary import (
    MethodSummary,
    caption,
    column_keys,
    paired_tables,
    region_tables,
    summarise,
)
from evaluation.tables import Table
from utils.atomic import write_text
from utils.runs import describe_code


@dataclass
class Report:
    """What an evaluation found. `problems` are sentences on what could not be scored."""

    summaries: list[MethodSummary]
    caption: str
    ranked: list[Table]
    paired: list[Table]
    published: list[Table] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def terminal(self) -> str:
        blocks = [tables.terminal(table) for table in (*self.ranked, *self.paired, *self.published)]
        return "\n\n".join([*blocks, self.caption])

    def markdown(self) -> str:
        blocks = [tables.markdown(table) for table in (*self.ranked, *self.paired, *self.published)]
        return "\n\n".join([*blocks, self.caption]) + "\n"

    def latex(self) -> str:
        wide = [tables.side_by_side("Evaluation", self.ranked)] if self.ranked else []
        texts = [tables.latex(table, self.caption) for table in wide]
        return "\n\n".join([*texts, *(tables.latex(t, t.title) for t in self.published)]) + "\n"


def evaluate(
    pair_set: PairSet,
    methods: Sequence[str],
    settings: Settings,
    out: Path,
    *,
    transfer: str | None = None,
    references: Sequence[str] = ("input",),
    table: str | None = None,
    workers: int = 0,
    seed: int = 0,
    fresh: bool = False,
    sheets: bool = True,
    progress: bool = True,
) -> Report:
    """Scores `methods` ("input" is put in front) on the pairs; writes tables, rows and sheets under `out`."""
    methods = list(dict.fromkeys(["input", *methods]))
    pairs = pair_set.pairs
    rows = run(pairs, methods, settings, out, workers=workers, fresh=fresh, progress=progress)
    summaries = summarise(rows, references, seed)
    report = Report(
        summaries,
        caption(
            summaries,
            settings,
            dataset=pair_set.name,
            split=pair_set.split,
            truth=pairs[0].truth,
            transfer=transfer,
            seed=seed,
            workers=workers,
        ),
        region_tables(summaries),
        paired_tables(summaries),
        _published_tables(table, summaries),
        [*pair_set.problems, *_failures(rows)],
    )
    write_files(report, rows, out)
    if sheets:
        for spec in methods:
            write_sheet(out / "sheets" / f"{slug(spec)}.png", spec, rows[spec], pairs, settings, out)
    return report


def write_files(report: Report, rows: dict[str, list[Row]], out: Path) -> None:
    """table.{txt,md,csv,tex,json}, per_image.{jsonl,csv}."""
    write_text(out / "table.txt", report.terminal() + "\n")
    write_text(out / "table.md", report.markdown())
    write_text(out / "table.tex", report.latex())
    write_text(out / "table.csv", tables.comma_separated(_summary_records(report)))
    write_text(out / "table.json", json.dumps(_summary_json(report), indent=1, allow_nan=False) + "\n")
    every_row = [row for of_method in rows.values() for row in of_method]
    lines = [json.dumps(row.to_json(), allow_nan=False) for row in every_row]
    write_text(out / "per_image.jsonl", "\n".join(lines) + "\n")
    keys = column_keys(rows)
    records = [
        {"method": row.method, "name": row.name, "seconds": row.seconds}
        | {key: row.values.get(key) for key in keys}
        | {"region": row.region, "error": row.error or ""}
        for row in every_row
    ]
    write_text(out / "per_image.csv", tables.comma_separated(records))


def print_problems(problems: Sequence[str], shown: int = 20) -> None:
    """Names what could not be scored on stderr, and counts it."""
    for problem in problems[:shown]:
        print(problem, file=sys.stderr)
    if len(problems) > shown:
        print(f"... and {len(problems) - shown} more", file=sys.stderr)


def _published_tables(table: str | None, summaries: Sequence[MethodSummary]) -> list[Table]:
    if table is None:
        return []
    if table == "laboratory":
        first = laboratory_tables(summaries)
        # The published means are over four pictures and say nothing about fewer.
        if not set(PICTURES) <= {row.name for row in summaries[0].scored}:
            return [*first, published_table(table)]
    else:
        first = []
    beside = beside_published(table, summaries)
    return [*first, *([beside] if beside else []), published_table(table)]


def _failures(rows: dict[str, list[Row]]) -> list[str]:
    bad_pairs = dict.fromkeys(row.error for of in rows.values() for row in of if row.error and row.bad_pair)
    failed = [
        f"{row.method} failed on {row.name}: {row.error}"
        for of_method in rows.values()
        for row in of_method
        if row.error and not row.bad_pair
    ]
    return [*bad_pairs, *failed]


def _summary_records(report: Report) -> list[dict]:
    records = []
    for summary in report.summaries:
        record = {"method": summary.spec, "weights": summary.weights or "", "n": len(summary.scored)}
        record |= {"failed": len(summary.failed), "seconds": summary.seconds}
        for key, m in summary.means.items():
            record[key] = m and m.value
            record[f"{key}.low"] = m and m.low
            record[f"{key}.high"] = m and m.high
            record[f"{key}.n"] = m.n if m else 0
        records.append(record)
    return records


def _summary_json(report: Report) -> dict:
    return {
        "caption": report.caption,
        "code": describe_code(),
        "methods": [
            {
                "method": s.spec,
                "weights_sha256": s.weights,
                "n": len(s.scored),
                "failed": [row.name for row in s.failed],
                "seconds": s.seconds,
                "means": {key: m and asdict(m) for key, m in s.means.items()},
                "paired": {
                    reference: {key: p and asdict(p) for key, p in of_reference.items()}
                    for reference, of_reference in s.against.items()
                },
            }
            for s in report.summaries
        ],
        "published_not_measured_here": {
            name: [asdict(row) for row in rows]
            for name, rows in published().items()
            if any(name in table.title for table in report.published)
        },
        "problems": report.problems,
    }
