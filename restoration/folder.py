"""Many pictures through one remover: read, restore and write side by side, and count."""

import sys
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from tqdm import tqdm

from restoration.comparison import comparison_sheet
from restoration.composition import Restored, removed_layer
from restoration.jobs import Job
from restoration.released_protocol import to_bytes, truncate
from restoration.remover import HighlightRemover
from utils.colour import quantise
from utils.errors import UserError
from utils.image_files import WRITERS, Picture, read_picture, write_picture, write_rgb


@dataclass
class Counts:
    """What became of the pictures."""

    done: int = 0
    failed: int = 0


def restore_folder(jobs: list[Job], remover: HighlightRemover, *, quiet: bool = False) -> Counts:
    """Does all jobs; a picture that fails is reported by name on stderr and the others go on.

    quiet  no progress bar
    """
    report = _Report(len(jobs), quiet)
    # Pictures read together, so that equal sizes can share a forward.
    group = remover.separator.batch_size
    groups = iter([jobs[i : i + group] for i in range(0, len(jobs), group)])
    # One more than the workers: while the others compute, one reads or writes.
    threads = remover.separator.workers + 1
    pool = ThreadPoolExecutor(threads, "picture")
    try:
        running = {pool.submit(_work, some, remover, report) for some in islice(groups, threads)}
        while running:
            ready, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ready:
                future.result()
            running |= {pool.submit(_work, some, remover, report) for some in islice(groups, len(ready))}
    except BaseException:
        remover.cancel()
        raise
    finally:
        # Waits for files being written: none is left half.
        pool.shutdown(cancel_futures=True)
        report.bar.close()
    return report.counts


class _Report:
    """Progress and messages of several threads."""

    def __init__(self, total: int, quiet: bool):
        self.counts = Counts()
        self.bar = tqdm(total=total, unit="picture", disable=quiet, dynamic_ncols=True)
        self._lock = threading.Lock()

    def done(self, job: Job, notes: tuple[str, ...]) -> None:
        with self._lock:
            for note in notes:
                tqdm.write(f"note: {job.source}: {note}", file=sys.stderr)
            self.counts.done += 1
            self.bar.update()

    def failed(self, job: Job, error: Exception) -> None:
        with self._lock:
            tqdm.write(f"failed: {job.source}: {_sentence(error)}", file=sys.stderr)
            self.counts.failed += 1
            self.bar.update()


# What one bad picture may raise: a reason to report it, not to stop.
_FAILURES = (UserError, OSError, MemoryError, RuntimeError)


def _work(jobs: list[Job], remover: HighlightRemover, report: _Report) -> None:
    pictures: dict[Job, Picture] = {}
    for job in jobs:
        try:
            pictures[job] = read_picture(job.source)
        except _FAILURES as error:
            report.failed(job, error)
    try:
        results = remover.restore_all([picture.pixels for picture in pictures.values()])
    except _FAILURES as error:
        if len(pictures) > 1:  # find out whose fault it is
            for job in pictures:
                _work([job], remover, report)
        else:
            report.failed(next(iter(pictures)), error)
        return
    for job, result in zip(pictures, results, strict=True):
        try:
            report.done(job, _save(job, pictures[job], result, remover.protocol == "released"))
        except _FAILURES as error:
            report.failed(job, error)


def _save(job: Job, picture: Picture, restored: Restored, released: bool) -> tuple[str, ...]:
    """Writes the files of one job; returns what the user should know."""
    result, source = replace(picture, pixels=restored.diffuse), picture.pixels
    notes = picture.notes
    if released:
        # The authors' script knows 8-bit RGB only.
        result, source = replace(result, alpha=None), to_bytes(source)
        if source.ndim == 2:
            source = np.repeat(source[..., None], 3, axis=2)
        if picture.alpha is not None or picture.pixels.dtype != np.uint8:
            notes += ("the released protocol writes 8-bit RGB without alpha",)
    path = job.result(picture.format)
    if path.suffix != job.outputs["result"].suffix and WRITERS[path.suffix.lower()] != picture.format:
        notes += (f"written as {WRITERS[path.suffix.lower()]}, not {picture.format}",)
    if "highlight" in job.outputs:
        highlight = truncate(restored.highlight) if released else quantise(restored.highlight, np.uint8)
        write_rgb(job.outputs["highlight"], highlight)
    wanted = job.outputs.keys() & {"specular", "comparison"}
    specular = removed_layer(source, result.pixels) if wanted else None
    if "specular" in job.outputs:
        write_picture(job.outputs["specular"], Picture(specular, icc=picture.icc))
    if "comparison" in job.outputs:
        write_rgb(job.outputs["comparison"], comparison_sheet(source, restored, specular))
    # The result last: where it exists the picture is finished.
    return notes + write_picture(path, result)


def _sentence(error: Exception) -> str:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return "out of memory; smaller tiles and fewer workers need less"
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
