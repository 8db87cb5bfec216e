"""Pictures of the results: sheets of a method's worst and best pictures, and figures for a paper.

Files of results are given by method, one for each pair in the order of the pairs, None where it failed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluation.datasets import Pair, Sample
from evaluation.scoring import Row
from evaluation.statistics import capped
from evaluation.summary import MethodSummary
from utils.atomic import atomic_path
from utils.colour import grey_to_rgb, to_unit
from utils.errors import UserError
from utils.image_files import read_picture, write_rgb
from utils.sheets import labelled_sheet, shrink

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 240  # pixels, longer side of a sheet's panel
GAIN = 4
SHEET_COLUMNS = ("input", "result", "ground truth", f"{GAIN} x |result - ground truth|")
SHOWN = (("whole", "psnr.whole"), ("highlight", "psnr.highlight"), ("rest", "psnr.rest"))
COLUMN = 1.6  # inches, width of a figure's picture
TITLE = 0.3  # inches


def write_sheet(
    path: Path, rows: Sequence[Row], pairs: Sequence[Pair], results: Sequence[Path | None], count: int = 4
) -> None:
    """Writes the `count` worst and best pictures of a method by PSNR (whole); nothing where none has one."""
    scored = [(row.values["psnr.whole"], i) for i, row in enumerate(rows) if row.values.get("psnr.whole")]
    order = [i for _, i in sorted(scored)]
    half = min(count, (len(order) + 1) // 2)
    chosen = [*(("worst", i) for i in order[:half]), *(("best", i) for i in order[half:][::-1][:count])]
    lines = []
    for title, i in chosen:
        values = rows[i].values
        shown = "  ".join(f"{label} {values[key]:.2f}" for label, key in SHOWN if values.get(key) is not None)
        lines.append((f"{title}: {rows[i].name}, PSNR {shown}", _sheet_panels(pairs[i], results[i])))
    if lines:
        write_rgb(path, labelled_sheet(SHEET_COLUMNS, lines))


def _sheet_panels(pair: Pair, result: Path | None) -> list[np.ndarray]:
    layers = [layer for layer in _read(pair, [result])[1] if layer is not None]
    error = np.clip(GAIN * np.abs(layers[1] - layers[2]), 0, 1)
    return [shrink(layer.astype(np.float32), SIDE) for layer in (*layers, error)]


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
    results: Mapping[str, Sequence[Path | None]],
    names: Sequence[str] = (),
) -> None:
    """pictures.{png,pdf}: input, each method, ground truth and highlight region of the pictures `names`
    (default: the first four); psnr.{png,pdf}: PSNR of every picture, input against result, and the gains.

    Raises UserError where matplotlib is missing.
    """
    shown = [summary for summary in summaries if summary.text != "input"]
    readable = [row.name for row in summaries[0].rows if row.error is None]
    order = [pair.name for pair in pairs]
    chosen = [order.index(name) for name in names or readable[:4]]
    if not chosen:
        return
    lines = [_figure_panels(pairs[i], [results[summary.text][i] for summary in shown]) for i in chosen]
    titles = ["input", *(summary.label for summary in shown), "ground truth", "highlight region"]
    figures = {"pictures": _side_by_side(titles, lines), "psnr": _psnr(summaries)}
    for name, figure in figures.items():
        for kind in ("png", "pdf"):
            with atomic_path(folder / f"{name}.{kind}") as temporary:
                # Without a date, so that the same numbers give the same file.
                figure.savefig(temporary, dpi=200, metadata={"CreationDate": None} if kind == "pdf" else None)


def _figure_panels(pair: Pair, results: Sequence[Path | None]) -> list[np.ndarray | None]:
    sample, layers = _read(pair, results)
    return [*layers, grey_to_rgb(sample.highlight.astype(np.float32))]


def _side_by_side(titles: Sequence[str], lines: Sequence[Sequence[np.ndarray | None]]) -> "Figure":
    heights = [line[0].shape[0] / line[0].shape[1] for line in lines if line[0] is not None]
    figure = _new_figure(COLUMN * len(titles), COLUMN * sum(heights) + TITLE)
    axes = figure.subplots(len(lines), len(titles), squeeze=False, height_ratios=heights)
    for of_line, layers in zip(axes, lines, strict=True):
        for ax, layer in zip(of_line, layers, strict=True):
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


def _read(pair: Pair, results: Sequence[Path | None]) -> tuple[Sample, list[np.ndarray | None]]:
    """The pair in memory, and as sRGB values its input, the results and its ground truth; None for None."""
    to_display, sample = pair.to_display, pair.load()
    layers: list[np.ndarray | None] = [sample.image]
    for file in results:
        if file == pair.input_file:
            layers.append(sample.image)
        else:
            layers.append(None if file is None else grey_to_rgb(read_picture(file).pixels))
    layers.append(sample.ground_truth)
    values = [None if layer is None else to_unit(layer) for layer in layers]
    if to_display is not None:
        values = [None if layer is None else to_display(layer) for layer in values]
    return sample, values


def _new_figure(width: float, height: float) -> "Figure":
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError("figures need matplotlib: pip install matplotlib") from error
    return Figure(figsize=(width, height), layout="constrained")
