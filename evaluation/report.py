"""`evaluate`: options in; scores, tables and files out."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from evaluation import tables
from evaluation.caption import Circumstances, caption
from evaluation.datasets import find_pairs
from evaluation.figures import check_names, write_figures
from evaluation.lpips_metric import check_weights
from evaluation.paper_tables import PICTURES, paper_tables, shipped_weights
from evaluation.published import computable, published
from evaluation.rows import Row, slug
from evaluation.runner import run
from evaluation.scored_methods import ScoredMethod
from evaluation.scored_pairs import PairSet
from evaluation.settings import PROTOCOLS, EvaluateOptions, Settings
from evaluation.summary import MethodSummary, column_keys, summarise
from evaluation.summary_tables import clean_table, paired_tables, region_tables
from evaluation.tables import Table
from evaluation.worst_and_best import write_sheet
from utils.atomic import write_text
from utils.folder_lock import locked
from utils.runs import describe_code


@dataclass
class Report:
    """What an evaluation found. `problems` are sentences on what could not be scored, `warnings` on scored
    results that look wrong."""

    summaries: list[MethodSummary]
    caption: str
    ranked: list[Table]
    paired: list[Table]
    published: list[Table] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def terminal(self) -> str:
        """All tables and the caption as plain text."""
        blocks = [tables.terminal(table) for table in (*self.ranked, *self.paired, *self.published)]
        return "\n\n".join([*blocks, self.caption])

    def markdown(self) -> str:
        """All tables and the caption as Markdown."""
        blocks = [tables.markdown(table) for table in (*self.ranked, *self.paired, *self.published)]
        return "\n\n".join([*blocks, self.caption]) + "\n"

    def latex(self) -> str:
        """One wide table of all regions, and one for each published table."""
        # Tables of fewer pictures have other notes and belong to no common line.
        wide = [t for t in self.ranked if len(t.rows) == len(self.summaries)]
        texts = []
        if wide:
            joined = tables.side_by_side("Evaluation", wide)
            texts.append(tables.latex(joined, self.caption, "tab:evaluation"))
        texts += [
            tables.latex(table, table.title, f"tab:published-{number}")
            for number, table in enumerate(self.published, start=1)
        ]
        return "\n\n".join(texts) + "\n"


def evaluate(options: EvaluateOptions) -> int:
    """Scores, prints and writes what the options ask for; the exit code. Raises UserError.

    Nothing else can evaluate into the same folder at the same time.
    """
    options.settings(mask_results=False)  # a wrong option is told before anything is looked for
    if options.lpips or "lpips" in options.metrics:
        check_weights()
    pair_set = _pair_set(options)
    with locked(options.out):
        _remove_leftovers(options.out)
        report = _evaluate(options, pair_set)
    print(report.terminal())
    folders = "".join(f", {name}/" for name in ("sheets", "figures") if getattr(options, name))
    print(f"\nwritten to {options.out}: table.{{txt,md,csv,tex,json}}, per_image.{{jsonl,csv}}{folders}")
    return _conclude(report, len(pair_set.problems), options.allow_missing)


def _evaluate(options: EvaluateOptions, pair_set: PairSet) -> Report:
    _print_lines([*pair_set.problems, *pair_set.notes])
    settings = options.settings(pair_set.masks_results)
    if options.table == "laboratory":
        settings = replace(settings, metrics=tuple(dict.fromkeys([*settings.metrics, "ssim3d"])))
    of_table = [*computable(options.table), *shipped_weights()] if options.table else []
    reference = [options.reference] if options.reference else []
    # A display name may be given where a method is asked for again.
    words = [ScoredMethod.parse(word) for word in ("input", *of_table, *options.methods, *reference)]
    given = {method.text: method for method in words if method.name is not None}
    methods = list({method.text: given.get(method.text, method) for method in words}.values())

    texts = [method.text for method in methods]
    rows = run(pair_set.pairs, texts, settings, options.out, workers=options.workers, fresh=options.fresh)
    report = make_report(rows, pair_set, settings, options, methods)
    write_files(report, rows, options.out)
    if options.sheets:
        for spec in texts:
            sheet = options.out / "sheets" / f"{slug(spec)}.png"
            write_sheet(sheet, spec, rows[spec], pair_set.pairs, settings, options.out)
    if options.figures:
        folder = options.out / "figures"
        write_figures(
            folder, report.summaries, pair_set.pairs, settings, options.out, options.figure_pictures
        )
    return report


def _remove_leftovers(out: Path) -> None:
    """Temporary files of runs that were killed; the caller holds the lock of the folder."""
    for folder in (out, out / "sheets", out / "figures", *(out / protocol for protocol in PROTOCOLS)):
        pattern = "**/.tmp-*" if folder.name in PROTOCOLS else ".tmp-*"
        for leftover in folder.glob(pattern):
            leftover.unlink(missing_ok=True)


def make_report(
    rows: dict[str, list[Row]],
    pair_set: PairSet,
    settings: Settings,
    options: EvaluateOptions,
    methods: Sequence[ScoredMethod],
) -> Report:
    """The tables of finished rows of `methods`."""
    references = dict.fromkeys(["input", ScoredMethod.parse(options.reference or "input").text])
    summaries = summarise(rows, list(references), options.seed, methods)
    given = Circumstances(pair_set, options.transfer, options.seed, options.workers)
    clean = clean_table(summaries)
    return Report(
        summaries,
        caption(summaries, settings, given),
        [*region_tables(summaries, options.regions, options.columns), *([clean] if clean else [])],
        paired_tables(summaries),
        paper_tables(options.table, summaries) if options.table else [],
        [*pair_set.problems, *_failures(rows)],
        _warnings(summaries),
    )


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
        | {"region": row.region, "clean": row.clean, "error": row.error or ""}
        for row in every_row
    ]
    write_text(out / "per_image.csv", tables.comma_separated(records))


def _pair_set(options: EvaluateOptions) -> PairSet:
    # What is given for the data wins over what the table would be about.
    dataset = options.dataset if options.dataset != "auto" else options.table or "auto"
    pair_set = find_pairs(
        options.dataroot,
        dataset,
        test_dir=options.test_dir,
        compared_layer=options.compared_layer,
        transfer=options.transfer,
        input_glob=options.input_glob,
        target_glob=options.target_glob,
        list_file=options.list_file,
        limit=options.limit,
        expected=PICTURES if options.table == "laboratory" else None,
    )
    if options.figures:
        check_names(pair_set.pairs, options.figure_pictures)
    return pair_set


def _conclude(report: Report, unpaired: int, allow_missing: bool) -> int:
    failures = report.problems[unpaired:]
    _print_lines([*failures, *report.warnings])
    if not report.problems:
        return 0
    print(
        f"{unpaired} inputs or ground truths without a partner, {len(failures)} failures"
        + ("" if allow_missing else " (allow_missing accepts them)"),
        file=sys.stderr,
    )
    return 0 if allow_missing else 1


def _print_lines(lines: Sequence[str], shown: int = 20) -> None:
    """The first lines on stderr, and how many more there are."""
    for line in lines[:shown]:
        print(line, file=sys.stderr)
    if len(lines) > shown:
        print(f"... and {len(lines) - shown} more", file=sys.stderr)


def _failures(rows: dict[str, list[Row]]) -> list[str]:
    bad_pairs = dict.fromkeys(row.error for of in rows.values() for row in of if row.error and row.bad_pair)
    failed = [
        f"{row.method} failed on {row.name}: {row.error}"
        for of_method in rows.values()
        for row in of_method
        if row.error and not row.bad_pair
    ]
    return [*bad_pairs, *failed]


def _warnings(summaries: Sequence[MethodSummary]) -> list[str]:
    warnings = []
    for summary in summaries:
        same = [row.name for row in summary.scored if row.unchanged]
        if same:
            named = ", ".join(same[:3]) + (", ..." if len(same) > 3 else "")
            warnings.append(
                f"warning: {summary.label}: {len(same)} of {len(summary.scored)} results equal the input "
                f"({named}): are these the results?"
            )
    return warnings


def _summary_records(report: Report) -> list[dict]:
    records = []
    for summary in report.summaries:
        record: dict[str, Any] = {
            "method": summary.spec,
            "label": summary.label,
            "weights": summary.weights or "",
        }
        record |= {"n": len(summary.scored), "clean": len(summary.clean), "failed": len(summary.failed)}
        record["seconds"] = summary.seconds
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
                "label": s.label,
                "weights_sha256": s.weights,
                "n": len(s.scored),
                "clean": len(s.clean),
                "failed": [row.name for row in s.failed],
                "seconds": s.seconds,
                "means": {key: m and asdict(m) for key, m in s.means.items()},
                "clean_means": {key: m and asdict(m) for key, m in s.clean_means.items()},
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
        "warnings": report.warnings,
    }
