"""Figures for a paper, as PNG and PDF: pictures of methods side by side, and PSNR before and after."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluation.highlight_region import highlight_region
from evaluation.runner import result_file
from evaluation.scored_pairs import Pair
from evaluation.settings import Settings
from evaluation.statistics import capped
from evaluation.summary import MethodSummary
from utils.atomic import atomic_path
from utils.colour import grey_to_rgb, srgb_encode, to_unit
from utils.errors import UserError
from utils.image_files import read_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "pdf")
COLUMN = 1.6  # inches, width of a picture
TITLE = 0.3  # inches


def check_names(pairs: Sequence[Pair], names: Sequence[str]) -> None:
    """Raises UserError for names that none of the pairs has."""
    known = [pair.name for pair in pairs]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"there is no pair {unknown[0]}; the first ones are {', '.join(known[:4])}")


def write_figures(
    folder: Path,
    summaries: Sequence[MethodSummary],
    pairs: Sequence[Pair],
    settings: Settings,
    out: Path,
    names: Sequence[str] = (),
) -> None:
    """pictures.{png,pdf}: input, each method, ground truth and highlight region of the pictures `names`
    (default: the first four); psnr.{png,pdf}: PSNR of every picture, input against result, and the gains.

    `out` is the folder of the results. Raises UserError where matplotlib is missing or a name is unknown.
    """
    check_names(pairs, names)
    known = {pair.name: pair for pair in pairs}
    readable = [row.name for row in summaries[0].rows if row.error is None]
    chosen = [known[name] for name in names or readable[:4]]
    if not chosen:
        return
    _save(_pictures(summaries, chosen, settings, out), folder / "pictures")
    _save(_psnr(summaries), folder / "psnr")


def _pictures(
    summaries: Sequence[MethodSummary], pairs: Sequence[Pair], settings: Settings, out: Path
) -> "Figure":
    methods = [summary for summary in summaries if summary.spec != "input"]
    titles = ["input", *(summary.label for summary in methods), "ground truth", "highlight region"]
    samples = [pair.load() for pair in pairs]
    heights = [sample.image.shape[0] / sample.image.shape[1] for sample in samples]
    figure = _new_figure(COLUMN * len(titles), COLUMN * sum(heights) + TITLE)
    axes = figure.subplots(len(pairs), len(titles), squeeze=False, height_ratios=heights)
    for line, pair, sample in zip(axes, pairs, samples, strict=True):
        layers: list[np.ndarray | None] = [sample.image]
        layers += [_result(summary, pair, settings, out) for summary in methods]
        layers += [sample.ground_truth]
        shown = [None if layer is None else _display(layer, pair) for layer in layers]
        shown.append(grey_to_rgb(highlight_region(sample)[0].astype(np.float32)))
        for ax, layer in zip(line, shown, strict=True):
            ax.set_axis_off()
            if layer is not None:
                ax.imshow(layer, interpolation="none")
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, fontsize=7)
    return figure


def _psnr(summaries: Sequence[MethodSummary]) -> "Figure":
    before = {row.name: row.values.get("psnr.whole") for row in summaries[0].scored}
    figure = _new_figure(8, 4)
    scatter, gains = figure.subplots(1, 2)
    for summary in summaries[1:]:
        after = {row.name: row.values.get("psnr.whole") for row in summary.scored}
        both = [(before[name], value) for name, value in after.items() if value and before.get(name)]
        x, y = capped(np.array(both, dtype=float).reshape(-1, 2)).T
        scatter.scatter(x, y, s=12, label=summary.label)
        gains.plot(np.arange(1, len(x) + 1), np.sort(y - x)[::-1], marker=".", label=summary.label)
    low, high = scatter.get_xlim()
    scatter.axline((low, low), (high, high), color="grey", linewidth=0.8)
    scatter.set(xlabel="PSNR of the input, dB", ylabel="PSNR of the result, dB")
    gains.xaxis.get_major_locator().set_params(integer=True)
    gains.axhline(0, color="grey", linewidth=0.8)
    gains.set(xlabel="pictures, by their gain", ylabel="gain over the input, dB")
    if len(summaries) > 1:
        gains.legend(fontsize=7)
    return figure


def _result(summary: MethodSummary, pair: Pair, settings: Settings, out: Path) -> np.ndarray | None:
    """A method's picture, None where it failed."""
    if any(row.name == pair.name for row in summary.failed):
        return None
    return grey_to_rgb(read_picture(result_file(out, settings, summary.spec, pair)).pixels)


def _display(layer: np.ndarray, pair: Pair) -> np.ndarray:
    values = to_unit(layer)
    return srgb_encode(values) if pair.linear and not pair.encode else values


def _new_figure(width: float, height: float) -> "Figure":
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError("figures need matplotlib: pip install matplotlib") from error
    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: "Figure", path: Path) -> None:
    for kind in FORMATS:
        with atomic_path(path.with_suffix(f".{kind}")) as temporary:
            # Without a date, so that the same numbers give the same file.
            figure.savefig(temporary, dpi=200, metadata={"CreationDate": None} if kind == "pdf" else None)
