"""The caption under the tables: what the numbers mean."""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.metrics import METRICS
from evaluation.rows import Row
from evaluation.scored_methods import ResultsSpec, ScoredMethod
from evaluation.scored_pairs import PairSet
from evaluation.settings import PROTOCOLS, Settings
from evaluation.statistics import RESAMPLES
from evaluation.summary import MethodSummary
from utils.runs import git_commit


@dataclass(frozen=True)
class Circumstances:
    """What beside the settings belongs into a caption."""

    pair_set: PairSet
    transfer: str | None = None
    seed: int = 0
    workers: int = 0


def caption(summaries: Sequence[MethodSummary], settings: Settings, given: Circumstances) -> str:
    """Data, protocol, windows of the metrics, statistics, code and weights, in one paragraph."""
    rows = [row for summary in summaries for row in (*summary.scored, *summary.clean)]
    pairs = given.pair_set
    tone_corrected = pairs.pairs[0].compared_layer == "tone_corrected"
    sentences = [
        f"{pairs.name}, {pairs.split}: n = {max((len(s.scored) for s in summaries), default=0)} pairs"
        f"{_clean(summaries)}, {_sizes(rows)}",
        f"ground truth: {'tone-corrected diffuse' if tone_corrected else 'diffuse'} image",
        *_of_methods(summaries, settings),
        f"protocol {settings.protocol}: {PROTOCOLS[settings.protocol]}",
        f"colour: RGB, {_values_are(pairs.name, given.transfer)}, data range 1 ({_bits(rows)}-bit files)",
        *(METRICS[name].window for name in settings.metrics if METRICS[name].window),
        f"highlight region: {_regions(rows)}",
        f"detection: {_threshold(settings.map_threshold)} against that region, mean over pictures",
        f"means over pictures with 95 % bootstrap intervals (BCa, {RESAMPLES} resamples, seed {given.seed}); "
        f"PSNR above 100 dB counts as 100 dB in means{_infinite(summaries)}",
        "p: Wilcoxon signed-rank (w), exact sign test under 10 differences (s), two-sided, not corrected for "
        "the number of comparisons",
        f"runtime: median of the method call alone, {_processes(given.workers)}",
        f"code {git_commit()[:12]}{'-dirty' if git_commit().endswith('dirty') else ''}",
        *_weights_and_failures(summaries),
    ]
    return "; ".join(sentences) + "."


def _of_methods(summaries: Sequence[MethodSummary], settings: Settings) -> list[str]:
    sentences = []
    computed = [s.spec for s in summaries if not isinstance(ScoredMethod.parse(s.spec).what, ResultsSpec)]
    if any("tshr" in spec.lower() for spec in computed):
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
