"""From rows to what is printed: means with intervals, paired differences, and the caption."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

from evaluation.detection import DETECTION
from evaluation.methods import RESULTS, weights_hash, weights_of
from evaluation.metrics import METRICS, Metric
from evaluation.regions import REGIONS
from evaluation.runner import PROTOCOLS, Row, Settings
from evaluation.statistics import Mean, Paired, mean, paired
from evaluation.tables import Cell, Heading, Table
from utils.runs import git_commit

PAIRED_COLUMNS = ("psnr.whole", "psnr.highlight", "psnr.rest", "ssim.whole", "delta_e.whole")
TITLES = {
    "whole": "Whole picture",
    "highlight": "Highlight region",
    "rest": "Outside the highlight region",
    "object": "Object",
}


@dataclass
class MethodSummary:
    """All about one method: means by column key, paired differences by reference and column key."""

    spec: str
    label: str
    weights: str | None
    rows: list[Row]
    means: dict[str, Mean | None] = field(default_factory=dict)
    against: dict[str, dict[str, Paired | None]] = field(default_factory=dict)

    @property
    def scored(self) -> list[Row]:
        return [row for row in self.rows if row.error is None]

    @property
    def failed(self) -> list[Row]:
        return [row for row in self.rows if row.error is not None and not row.bad_pair]

    @property
    def seconds(self) -> float | None:
        """Median runtime of a picture: the first one, which warms up caches, does not move it."""
        times = [row.seconds for row in self.scored if row.seconds is not None]
        return median(times) if times else None


def metric_of(key: str) -> Metric:
    """The metric of a column key such as "psnr.whole" or "ber"."""
    return (METRICS | DETECTION)[key.partition(".")[0]]


def summarise(
    rows: dict[str, list[Row]], references: Sequence[str] = ("input",), seed: int = 0
) -> list[MethodSummary]:
    """Means and paired differences; `rows` by method hold the same pictures in the same order."""
    labels = unique_labels(list(rows))
    summaries = [
        MethodSummary(spec, labels[spec], weights_hash(spec), of_method) for spec, of_method in rows.items()
    ]
    keys = column_keys(rows)
    values = {s.spec: {key: _values(s.rows, key) for key in keys} for s in summaries}
    for summary in summaries:
        for key in keys:
            summary.means[key] = mean(values[summary.spec][key], seed=seed, cap=key.startswith("psnr"))
        for reference in references:
            if reference == summary.spec or reference not in values:
                continue
            summary.against[reference] = {
                key: paired(
                    values[summary.spec][key],
                    values[reference][key],
                    higher_is_better=metric_of(key).higher_is_better,
                    seed=seed,
                    cap=key.startswith("psnr"),
                )
                for key in PAIRED_COLUMNS
                if key in keys
            }
    return summaries


def column_keys(rows: dict[str, list[Row]]) -> list[str]:
    """All keys that any row has, by region and then in the order of METRICS."""
    present = {key for of_method in rows.values() for row in of_method for key in row.values}
    ordered = [f"{name}.{region}" for region in REGIONS for name in METRICS] + list(DETECTION)
    return [key for key in ordered if key in present]


def unique_labels(specs: Sequence[str]) -> dict[str, str]:
    """Short names: the file's name for weights, unless two would be the same."""
    short = {}
    for spec in specs:
        path = Path(spec.removeprefix(RESULTS)) if spec.startswith(RESULTS) else weights_of(spec)
        kept = f"{RESULTS}{path.name}" if path and spec.startswith(RESULTS) else Path(spec).name
        short[spec] = kept if path else spec
    taken = list(short.values())
    return {spec: label if taken.count(label) == 1 else spec for spec, label in short.items()}


def region_tables(summaries: Sequence[MethodSummary]) -> list[Table]:
    """A table a region, then detection; the columns are the metrics, whole also has the runtime and n."""
    keys = list(summaries[0].means)
    tables = []
    for region, title in TITLES.items():
        of_region = [key for key in keys if key.endswith(f".{region}")]
        if of_region:
            tables.append(_table(title, summaries, of_region))
    detection = [key for key in keys if key in DETECTION]
    if detection:
        tables.append(_table("Highlight detection (%)", summaries, detection))
    if tables:
        first = tables[0]
        first.headings += [Heading("s/picture", decimals=3), Heading("n", decimals=0)]
        for (_, cells), summary in zip(first.rows, summaries, strict=True):
            cells += [
                Cell(summary.seconds) if summary.seconds is not None else Cell(text="-"),
                Cell(text=str(len(summary.scored))),
            ]
    return tables


def paired_tables(summaries: Sequence[MethodSummary]) -> list[Table]:
    """A table a reference: mean difference with interval, wins-losses-ties and p."""
    references = [s.spec for s in summaries if any(s.spec in other.against for other in summaries)]
    labels = {s.spec: s.label for s in summaries}
    tables = []
    for reference in references:
        compared = [s for s in summaries if reference in s.against]
        keys = list(compared[0].against[reference])
        table = Table(
            f"Paired difference to {labels[reference]}: mean [95 %], wins-losses-ties, p",
            [Heading(f"{metric_of(key).label} {key.partition('.')[2]}") for key in keys],
            ranked=False,
        )
        for summary in compared:
            cells = [Cell(text=_paired_text(summary.against[reference][key], key)) for key in keys]
            table.rows.append((summary.label, cells))
        tables.append(table)
    return tables


def caption(
    summaries: Sequence[MethodSummary],
    settings: Settings,
    *,
    dataset: str,
    split: str,
    truth: str,
    transfer: str | None,
    seed: int,
    workers: int,
) -> str:
    """What the numbers mean: data, protocol, metrics' windows, statistics, code and weights."""
    rows = [row for summary in summaries for row in summary.scored]
    sentences = [
        f"{dataset}, {split}: n = {max((len(s.scored) for s in summaries), default=0)} pairs, {_sizes(rows)}",
        f"truth: {'tone-corrected diffuse' if truth == 'tone_corrected' else 'diffuse'} image",
        f"protocol {settings.protocol}: {PROTOCOLS[settings.protocol]}",
        f"colour: RGB, {_values_are(dataset, transfer)}, data range 1 ({_bits(rows)}-bit files)",
        *(METRICS[name].window for name in settings.metrics if METRICS[name].window),
        f"highlight region: {_regions(rows)}",
        f"detection: map {_threshold(settings.map_threshold)} against that region, mean over pictures",
        "means over pictures with 95 % percentile bootstrap intervals "
        f"(2000 resamples, seed {seed}); PSNR above 100 dB counts as 100 dB in means{_infinite(summaries)}",
        "p: Wilcoxon signed-rank (w), exact sign test under 10 differences (s), two-sided, not corrected for "
        "the number of comparisons",
        f"runtime: median of the method call alone, {_processes(workers)}",
        f"code {git_commit()[:12]}{'-dirty' if git_commit().endswith('dirty') else ''}",
    ]
    if settings.mask_results:
        sentences.insert(3, "results (not the input) multiplied by the object mask")
    if any("tshr" in summary.spec.lower() for summary in summaries):
        sentences.insert(3, f"TSHRNet's result: its {settings.output.replace('_', '-')} stage")
    weights = [f"{s.label} {s.weights}" for s in summaries if s.weights]
    if weights:
        sentences.append(f"weights (sha256): {', '.join(weights)}")
    failed = [f"{s.label} failed on {len(s.failed)}" for s in summaries if s.failed]
    if failed:
        sentences.append(f"failures, left out of the means: {', '.join(failed)}")
    return "; ".join(sentences) + "."


def _values(rows: Sequence[Row], key: str) -> np.ndarray:
    values = [row.values.get(key) for row in rows]
    return np.array([math.nan if v is None else v for v in values])


def _table(title: str, summaries: Sequence[MethodSummary], keys: Sequence[str]) -> Table:
    metrics = [metric_of(key) for key in keys]
    headings = [Heading(m.label, "", 1 if m.higher_is_better else -1, m.decimals) for m in metrics]
    table = Table(title, headings)
    for summary in summaries:
        table.rows.append((summary.label, [_cell(summary.means[key]) for key in keys]))
    return table


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
        return "linear values as stored (dE00 after the sRGB curve)"
    return "display values as stored"


def _regions(rows: Sequence[Row]) -> str:
    names = {
        "T": "the data set's mask T >= 128",
        "S": "Otsu on Lab L of S",
        "A-D": "Otsu on Lab L of A - D",
    }
    sources = [source for source in names if any(row.region == source for row in rows)]
    return " or ".join(names[source] for source in sources) or "none"


def _threshold(rule: str) -> str:
    return "by Otsu's threshold" if rule == "otsu" else f">= {rule}"


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
        return f"{workers} processes at a time"
    return f"one picture at a time, {torch.get_num_threads()} threads"
