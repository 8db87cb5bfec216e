"""Tone-corrected diffuse pictures, TSHRNet's third target: the diffuse picture in the tone of the input.

    python -m data.tone_correction --dataroot SSHR            # writes VIEW_d_tc.jpg beside VIEW_d.jpg
    python -m data.tone_correction --dataroot SHIQ_data_10825 # NNNNN_D_tc.png beside NNNNN_D.png

Off the highlights, input_c = b0 + b1 R + b2 G + b3 B of the diffuse picture is fitted by least squares for
each channel c, and applied to the whole diffuse picture. Highlights are what one pass of Otsu's threshold on
Lab L of the residue finds.
"""

import functools
import io
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from tqdm import tqdm

from data.layouts.psd import TONE_CORRECTED, psd
from data.layouts.shiq import shiq
from data.layouts.sshr import sshr
from data.records import DatasetScan, Record
from utils import cli
from utils.atomic import remove_leftovers, write_bytes
from utils.cores import usable_cores
from utils.errors import UserError
from utils.image_files import read_rgb, write_rgb
from utils.signals import end_with_parent


def tone_correct(diffuse: np.ndarray, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The diffuse picture in the tone of the input: uint8 (H, W, 3), rounded and clipped.

    diffuse, image (H, W, 3), both uint8 or both float in [0, 1]; mask (H, W) True on the highlights, which
    take no part in the fit. Raises ValueError where sizes differ or the mask leaves no pixel.
    """
    if not diffuse.shape == image.shape == (*mask.shape, 3):
        raise ValueError(f"sizes differ: diffuse {diffuse.shape}, input {image.shape}, mask {mask.shape}")
    if mask.all():
        raise ValueError("the mask leaves no pixel to fit the tone on")
    level = 1.0 if diffuse.dtype == np.uint8 else 255.0
    colours = diffuse.reshape(-1, 3) * level
    terms = np.column_stack([np.ones(len(colours)), colours])
    fitted = ~mask.ravel().astype(bool)
    known = terms[fitted]
    wanted = image.reshape(-1, 3)[fitted] * level
    # The normal equations, exact in float64 for 8-bit values; lstsq takes the smallest weights where a
    # picture has too few colours to tell them apart.
    weights = np.linalg.lstsq(known.T @ known, known.T @ wanted, rcond=None)[0]
    corrected = (terms @ weights).reshape(diffuse.shape)
    return np.clip(np.rint(corrected), 0, 255).astype(np.uint8)


def tone_corrected_target(
    image: np.ndarray, diffuse: np.ndarray, residue: np.ndarray | None = None, passes: int = 1
) -> np.ndarray:
    """uint8 (H, W, 3) from pictures (H, W, 3) in [0, 1]; residue None: clip(image - diffuse, 0, 1)."""
    from data.regions import otsu_mask  # torch: not for --help

    if residue is None:
        residue = np.clip(image - diffuse, 0, 1)
    return tone_correct(diffuse, image, otsu_mask(residue, passes))


def target_path(record: Record) -> Path:
    """Where the tone-corrected picture of a sample stands.

    NNNNN_D.png -> NNNNN_D_tc.png, VIEW_d.jpg -> VIEW_d_tc.jpg; beside the input, NAME_D_tc, where one
    diffuse picture serves several inputs (PSD).
    """
    diffuse, image = record.files["diffuse"], record.files["input"]
    if diffuse.stem.endswith(("_D", "_d")):
        return diffuse.with_stem(f"{diffuse.stem}_tc")
    return image.with_stem(image.stem + TONE_CORRECTED)


@dataclass
class ToneCorrectionOptions:
    """Options of `python -m data.tone_correction`."""

    dataroot: str
    """folder of SSHR, SHIQ or PSD, searched with all folders in it"""
    layout: Literal["auto", "shiq", "psd", "sshr"] = "auto"
    """auto: whatever of the three is found"""
    out: str | None = None
    """folder for the pictures, under their paths relative to --dataroot; default: beside the others, where
    training looks for them"""
    passes: int = 1
    """Otsu passes for the highlight mask; SSHR's own files were made with 1, 2 keeps the brightest only"""
    jpeg_quality: int = 75
    """of *_d_tc.jpg (1 to 95); 75, with halved colour resolution, is what SSHR's own files have"""
    workers: int | None = None
    """processes; default: one a core"""
    overwrite: bool = False
    """write pictures that exist already again"""


def main(argv: list[str] | None = None) -> int:
    options = cli.parse(
        ToneCorrectionOptions,
        argv,
        prog="python -m data.tone_correction",
        description="Makes the tone-corrected diffuse pictures that TSHRNet is trained on. Can be stopped "
        "and started again: pictures that are there are left alone.",
    )
    if options.passes < 1 or not 1 <= options.jpeg_quality <= 95:
        raise UserError("`passes` must be at least 1, `jpeg_quality` between 1 and 95")
    root = Path(options.dataroot)
    found = find_samples(root, options.layout)
    jobs = [(record, _destination(record, root, options.out)) for record in found.records]
    for folder in {destination.parent for _, destination in jobs}:
        remove_leftovers(folder)  # of a run that was killed
    problems = list(found.problems)
    counts = {"made": 0, "kept": 0}
    bar = tqdm(_outcomes(jobs, options), total=len(jobs), unit="picture", disable=None)
    for outcome in bar:
        if outcome in counts:
            counts[outcome] += 1
        else:
            problems.append(outcome)
            bar.write(outcome, file=sys.stderr)
    print(f"{counts['made']} made, {counts['kept']} were there, {len(problems)} failed")
    for sentence in found.problems + found.notes:
        print(sentence, file=sys.stderr)
    return 1 if problems else 0


def find_samples(root: Path, layout: str = "auto") -> DatasetScan:
    """SSHR's, SHIQ's and PSD's samples in `root` and all folders in it; UserError where there are none."""
    if not root.is_dir():
        raise UserError(f"{root}: there is no such folder; give an existing one with `dataroot`")
    found = DatasetScan()
    if layout in ("auto", "sshr"):
        _add(found, sshr(root), layout)
    if layout in ("auto", "shiq"):
        for folder in sorted(Path(parent) for parent, _, _ in os.walk(root)):
            _add(found, shiq(folder), layout)
    if layout in ("auto", "psd"):
        _add(found, psd(root), layout)
    if not found.records:
        reasons = f" ({found.problems[0]})" if found.problems else ""
        raise UserError(f"{root} holds no samples of SSHR, SHIQ or PSD{reasons}")
    return found


def _add(found: DatasetScan, more: DatasetScan, layout: str) -> None:
    found.records += more.records
    # Searching for all three, a folder of one looks like a broken one of another.
    if more.records or layout != "auto":
        found.problems += more.problems
    if layout != "auto":
        found.notes += more.notes


def _destination(record: Record, root: Path, out: str | None) -> Path:
    path = target_path(record)
    return path if out is None else Path(out) / path.relative_to(root)


def _outcomes(jobs: list[tuple[Record, Path]], options: ToneCorrectionOptions) -> Iterator[str]:
    """ "made", "kept" or what went wrong, for each job in turn."""
    make = functools.partial(
        _make, passes=options.passes, quality=options.jpeg_quality, overwrite=options.overwrite
    )
    workers = min(options.workers or usable_cores(), len(jobs))
    if workers <= 1:
        yield from map(make, jobs)
        return
    # Forked on Linux only: a spawned process imports torch for seconds, but macOS does not survive a fork.
    forks = sys.platform == "linux"
    context = multiprocessing.get_context("fork" if forks else None)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_quiet_worker)
    try:
        yield from pool.map(make, jobs, chunksize=max(1, min(16, len(jobs) // (4 * workers))))
    except BrokenProcessPool as error:
        raise UserError("a worker process was killed (memory?); start again with fewer `workers`") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _quiet_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    import torch

    torch.set_num_threads(1)


def _make(job: tuple[Record, Path], passes: int, quality: int, overwrite: bool) -> str:
    record, path = job
    try:
        if not overwrite and _is_whole(path):
            return "kept"
        files = {key: record.files[key] for key in ("input", "diffuse", "specular") if key in record.files}
        layers = {key: read_rgb(file) for key, file in files.items()}
        for key, layer in layers.items():
            if layer.shape != layers["input"].shape:
                (height, width, _), (rows, columns, _) = layer.shape, layers["input"].shape
                return f"{files[key]} is {width}x{height}, its input {columns}x{rows}"
        target = tone_corrected_target(layers["input"], layers["diffuse"], layers.get("specular"), passes)
        _write(path, target, quality)
    except UserError as error:
        return str(error)
    return "made"


def _is_whole(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        read_rgb(path)
    except UserError:
        return False
    return True


def _write(path: Path, picture: np.ndarray, quality: int) -> None:
    if path.suffix.lower() not in (".jpg", ".jpeg"):
        write_rgb(path, picture)
        return
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    write_bytes(path, buffer.getvalue())


if __name__ == "__main__":
    sys.exit(cli.run(main))
