"""`evaluate`: options in; scores, tables and files out."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from evaluation import tables
from evaluation.datasets import PairSet, find_pairs
from evaluation.figures import check_names, write_figures, write_sheet
from evaluation.methods import ResultsSpec, ScoredMethod
from evaluation.metrics import METRICS, check_lpips_weights
from evaluation.paper_tables import PICTURES, computable, paper_tables, published, shipped_weights
from evaluation.runner import result_file, run, slug
from evaluation.scoring import Row
from evaluation.settings import PROTOCOLS, EvaluateOptions, Settings
from evaluation.statistics import RESAMPLES
from evaluation.summary import MethodSummary, column_keys, summarise
from evaluation.tables import Table
from utils.atomic import write_text
from utils.folder_lock import locked
from utils.runs import describe_code, git_commit


@dataclass
class Report:
    """What an evaluation found. `problems` are sentences on what could not be scored, `warnings` on scored
    results that look wrong, `table` is the name of the paper's table beside it."""

    summaries: list[MethodSummary]
    caption: str
    ranked: list[Table]
    paired: list[Table]
    page: Table | None = None
    """what the LaTeX file has"""
    published: list[Table] = field(default_factory=list)
    table: str | None = None
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def text(self, show: Callable[[Table], str]) -> str:
        """All tables, each as `show` writes it (tables.terminal, tables.markdown), and the caption."""
        blocks = [show(table) for table in (*self.ranked, *self.paired, *self.published)]
        return "\n\n".join([*blocks, self.caption])

    def latex(self) -> str:
        """One table of the scores that fits a page, and one for each published table."""
        texts = [tables.latex(self.page, self.caption, "tab:evaluation")] if self.page else []
        texts += [
            tables.latex(table, table.title, f"tab:published-{number}")
            for number, table in enumerate(self.published, start=1)
        ]
        return "\n\n".join(texts) + "\n"


def evaluate(options: EvaluateOptions) -> int:
    """Scores, prints and writes what the options ask for; the exit code. Raises UserError.

    Nothing else can evaluate into the same folder at the same time.
    """
    settings = options.settings()
    out = options.out
    if "lpips" in settings.metrics:
        check_lpips_weights()
    pair_set = _pair_set(options)
    pairs = pair_set.pairs
    if options.object_mask is None:
        settings = replace(settings, mask_results=pair_set.masks_results)
    methods, references = _methods(options.table, options.methods, options.reference or "input")
    with locked(out):
        _remove_leftovers(out)
        _print_lines([*pair_set.problems, *pair_set.notes])
        rows = run(pairs, methods, settings, out, workers=options.workers, fresh=options.fresh)
        summaries = summarise(rows, methods, references, options.seed)
        context = CaptionContext(pair_set, options.transfer, options.seed, options.workers)
        clean = tables.clean_table(summaries)
        report = Report(
            summaries,
            caption(summaries, settings, context),
            [*tables.region_tables(summaries, options.regions, options.columns), *([clean] if clean else [])],
            tables.paired_tables(summaries),
            tables.page_table(summaries, options.regions, options.columns),
            paper_tables(options.table, summaries) if options.table else [],
            options.table,
            [*pair_set.problems, *_failures(rows)],
            _warnings(summaries),
        )
        results = {
            method.text: [
                None if row.error else result_file(out, settings, method, pair)
                for pair, row in zip(pairs, rows[method.text], strict=True)
            ]
            for method in methods
        }
        write_files(report, rows, out)
        if options.sheets:
            for name, files in results.items():
                write_sheet(out / "sheets" / f"{slug(name)}.png", rows[name], pairs, files)
        if options.figures:
            write_figures(out / "figures", summaries, pairs, results, options.figure_pictures)
    print(report.text(tables.terminal))
    folders = "".join(f", {name}/" for name in ("sheets", "figures") if getattr(options, name))
    print(f"\nwritten to {out}: table.{{txt,md,csv,tex,json}}, per_image.{{jsonl,csv}}{folders}")
    return _conclude(report, len(pair_set.problems), options.allow_missing)


def _methods(table: str | None, words: Sequence[str], reference: str) -> tuple[list[ScoredMethod], list[str]]:
    """(the input, what the paper's table needs, the `words` and the reference, each once; the texts of those
    that the others are compared with: the input and the reference)."""
    of_table = [*computable(table), *shipped_weights()] if table else []
    # A display name may be given where a method is asked for again.
    asked = [ScoredMethod.parse(word) for word in ("input", *of_table, *words, reference)]
    named = {method.text: method for method in asked if method.name is not None}
    methods = {method.text: named.get(method.text, method) for method in asked}
    return list(methods.values()), list(dict.fromkeys(["input", asked[-1].text]))


def _remove_leftovers(out: Path) -> None:
    """Temporary files of runs that were killed; the caller holds the lock of the folder."""
    for folder in (out, out / "sheets", out / "figures", *(out / protocol for protocol in PROTOCOLS)):
        pattern = "**/.tmp-*" if folder.name in PROTOCOLS else ".tmp-*"
        for leftover in folder.glob(pattern):
            leftover.unlink(missing_ok=True)


def write_files(report: Report, rows: dict[str, list[Row]], out: Path) -> None:
    """table.{txt,md,csv,tex,json}, per_image.{jsonl,csv}."""
    every_row = [row for of_method in rows.values() for row in of_method]
    lines = [json.dumps(row.to_json(), allow_nan=False) for row in every_row]
    keys = column_keys(rows)
    records = [
        {"method": row.method, "name": row.name, "seconds": row.seconds}
        | {key: row.values.get(key) for key in keys}
        | {"region": row.region, "clean": row.clean, "error": row.error or ""}
        for row in every_row
    ]
    contents = {
        "table.txt": report.text(tables.terminal) + "\n",
        "table.md": report.text(tables.markdown) + "\n",
        "table.tex": report.latex(),
        "table.csv": tables.comma_separated(_summary_records(report.summaries)),
        "table.json": json.dumps(_summary_json(report), indent=1, allow_nan=False) + "\n",
        "per_image.jsonl": "\n".join(lines) + "\n",
        "per_image.csv": tables.comma_separated(records),
    }
    for name, text in contents.items():
        write_text(out / name, text)


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


def _summary_records(summaries: Sequence[MethodSummary]) -> list[dict]:
    records = []
    for summary in summaries:
        record: dict[str, Any] = {
            "method": summary.text,
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
                "method": s.text,
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
        "published_not_measured_here": {report.table: [asdict(row) for row in published()[report.table]]}
        if report.table
        else {},
        "problems": report.problems,
        "warnings": report.warnings,
    }


@dataclass(frozen=True)
class CaptionContext:
    """What a caption says beside the settings."""

    pair_set: PairSet
    transfer: str | None = None
    seed: int = 0
    workers: int = 0


def caption(summaries: Sequence[MethodSummary], settings: Settings, context: CaptionContext) -> str:
    """Data, protocol, windows of the metrics, statistics, code and weights, in one paragraph."""
    rows = [row for summary in summaries for row in (*summary.scored, *summary.clean)]
    pairs, commit = context.pair_set, git_commit()
    tone_corrected = pairs.pairs[0].compared_layer == "tone_corrected"
    sentences = [
        f"{pairs.name}, {pairs.split}: n = {max((len(s.scored) for s in summaries), default=0)} pairs"
        f"{_clean(summaries)}, {_sizes(rows)}",
        f"ground truth: {'tone-corrected diffuse' if tone_corrected else 'diffuse'} image",
        *_of_methods(summaries, settings),
        f"protocol {settings.protocol}: {PROTOCOLS[settings.protocol]}",
        f"colour: RGB, {_values_are(pairs.name, context.transfer)}, data range 1 ({_bits(rows)}-bit files)",
        *(METRICS[name].window for name in settings.metrics if METRICS[name].window),
        f"highlight region: {_regions(rows)}",
        f"detection: {_threshold(settings.map_threshold)} against that region, mean over pictures",
        f"means over pictures with 95 % bootstrap intervals (BCa, {RESAMPLES} resamples, seed "
        f"{context.seed}); PSNR above 100 dB counts as 100 dB in means{_infinite(summaries)}",
        "p: Wilcoxon signed-rank (w), exact sign test under 10 differences (s), two-sided, not corrected for "
        "the number of comparisons",
        f"runtime: median of the method call alone, {_processes(context.workers)}",
        f"code {commit[:12]}{'-dirty' if commit.endswith('dirty') else ''}",
        *_weights_and_failures(summaries),
    ]
    return "; ".join(sentences) + "."


def _of_methods(summaries: Sequence[MethodSummary], settings: Settings) -> list[str]:
    sentences = []
    computed = [s.text for s in summaries if not isinstance(s.method.spec, ResultsSpec)]
    if any("tshr" in text.lower() for text in computed):
        sentences.append(f"TSHRNet's result: its {settings.output.replace('_', '-')} stage")
    if settings.mask_results:
        sentences.append("results (not the input) multiplied by the object mask")
    return sentences


def _weights_and_failures(summaries: Sequence[MethodSummary]) -> list[str]:
    weights = [f"{s.label} {s.weights}" for s in summaries if s.weights]
    failed = [f"{s.label} failed on {len(s.failed)}" for s in summaries if s.failed]
    sentences = [f"weights (sha256): {', '.join(weights)}"] if weights else []
    return sentences + ([f"failures, left out of the means: {', '.join(failed)}"] if failed else [])


def _clean(summaries: Sequence[MethodSummary]) -> str:
    count = max((len(s.clean) for s in summaries), default=0)
    return f" with a highlight ({count} without one are reported apart)" if count else ""


def _sizes(rows: Sequence[Row]) -> str:
    sizes = sorted({row.size for row in rows if row.size})
    if not sizes:
        return "none scored"
    if len(sizes) == 1:
        return f"{sizes[0][1]}x{sizes[0][0]} pixels"
    smallest, largest = (f(sizes, key=lambda s: s[0] * s[1]) for f in (min, max))
    return f"{smallest[1]}x{smallest[0]} to {largest[1]}x{largest[0]} pixels"


def _bits(rows: Sequence[Row]) -> str:
    return "/".join(str(bits) for bits in sorted({row.bits for row in rows if row.bits})) or "8"


def _values_are(dataset: str, transfer: str | None) -> str:
    if transfer == "srgb":
        return "linear files encoded with the sRGB curve"
    if transfer == "linear" or dataset == "mit_intrinsic":
        return "linear values as stored (dE00 and dC after the sRGB curve)"
    return "display values as stored"


def _regions(rows: Sequence[Row]) -> str:
    names = {
        "T": "the data set's mask T >= 128",
        "S": "one Otsu pass on Lab L of S",
        "A-D": "one Otsu pass on Lab L of A - D",
    }
    sources = [source for source in names if any(row.region == source for row in rows)]
    return " or ".join(names[source] for source in sources) or "none"


def _threshold(rule: str) -> str:
    rules = {"otsu": "map by one Otsu pass", "specular": "what was taken away, by one Otsu pass,"}
    return rules.get(rule, f"map >= {rule}")


def _infinite(summaries: Sequence[MethodSummary]) -> str:
    counts = [
        f"{s.label} {key.partition('.')[2]} {m.infinite}"
        for s in summaries
        for key, m in s.means.items()
        if key.startswith("psnr.") and m is not None and m.infinite
    ]
    return f" (infinite: {', '.join(counts)})" if counts else ""


def _processes(workers: int) -> str:
    import torch

    if workers > 0:
        return f"up to {workers} processes at a time"
    return f"one picture at a time, {torch.get_num_threads()} threads"
