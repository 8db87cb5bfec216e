"""Runs methods over pairs: one row of scores per method and picture, kept so that a second run goes on.

Under `out`/PROTOCOL/METHOD/ lie the results (NAME.png and the highlight map NAME-HFE.png) and rows.jsonl, a
line per finished picture. A line is taken again only when everything that could change it is the same: the
method, its weights' hash, the code, the protocol, and the size and time of the picture files.
"""

import hashlib
import json
import math
import multiprocessing
import os
import re
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from evaluation import detection, metrics, regions
from evaluation.datasets import Pair, Sample, srgb_encode, to_unit
from evaluation.methods import Method, Output, load, source_hash, weights_hash
from utils.errors import UserError
from utils.image_files import write_rgb

PROTOCOLS = {
    "native": "original size; results rounded to the bit depth of the files",
    "released": (
        "released arithmetic (network at 224x224 or 448x448, bicubic back, truncated to 8 bit), "
        "scored at original size"
    ),
    "256": "result at original size, then result and truth resized to 256x256, bilinear",
}


@dataclass(frozen=True)
class Settings:
    """All that decides a score beside the method and the files."""

    protocol: str = "native"
    metrics: tuple[str, ...] = ("psnr", "ssim", "ssim7", "mse", "rmse", "delta_e")
    map_threshold: str = "0.5"
    device: str = "auto"
    precision: str = "auto"
    output: str = "tone_corrected"
    """the stage of TSHRNet that is scored: tone_corrected or diffuse"""
    mask_results: bool = False
    """multiply what methods made (not the input, not other programs' results) by the object mask"""

    @property
    def remover_options(self) -> dict:
        released = self.protocol == "released"
        return {
            "device": self.device,
            "precision": self.precision,
            "protocol": "released" if released else "native",
        }


@dataclass
class Row:
    """Scores of one method on one picture; `values`: "psnr.whole", "ber", ... -> a number or None (n/a)."""

    method: str
    name: str
    values: dict[str, float | None] = field(default_factory=dict)
    seconds: float | None = None
    size: tuple[int, int] | None = None
    region: str | None = None
    bits: int | None = None
    kept: tuple[int, int] | None = None
    """size and time of the kept result"""
    error: str | None = None
    bad_pair: bool = False

    def to_json(self) -> dict:
        """Plain JSON values: infinite becomes "inf"."""
        record = asdict(self)
        record["values"] = {key: "inf" if v == math.inf else v for key, v in self.values.items()}
        return record

    @classmethod
    def from_json(cls, record: dict) -> "Row":
        """The inverse of `to_json`."""
        values = {key: math.inf if v == "inf" else v for key, v in record["values"].items()}
        pairs = {key: record[key] and tuple(record[key]) for key in ("size", "kept")}
        return cls(**record | pairs | {"values": values})


def slug(spec: str) -> str:
    """A folder name for a method: its letters and digits, and a hash where others had to go."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", spec).strip("_.")
    return plain if plain == spec else f"{plain}-{hashlib.sha256(spec.encode()).hexdigest()[:6]}"


def run(
    pairs: Sequence[Pair],
    methods: Sequence[str],
    settings: Settings,
    out: Path,
    *,
    workers: int = 0,
    fresh: bool = False,
    progress: bool = True,
) -> dict[str, list[Row]]:
    """Rows by method, in the order of `pairs`.

    A picture on which a method fails has a row with `error`. `workers` 0 works in this process; else so many
    processes share the pictures. Raises UserError where a method cannot be loaded at all.
    """
    store = _Store(out, settings, fresh)
    rows: dict[tuple[str, str], Row] = {}
    todo = []
    for spec in methods:
        finished = store.finished(spec, pairs)
        rows |= {(spec, name): row for name, row in finished.items()}
        todo += [(spec, pair) for pair in pairs if pair.name not in finished]
        if len(finished) < len(pairs):
            _method(spec, settings).prepare()
    bar = tqdm(total=len(todo), unit="picture", disable=None if progress and todo else True, leave=False)
    for spec, pair, row in _work_all(todo, settings, out, workers):
        rows[spec, pair.name] = row
        store.keep(spec, pair, row)
        bar.set_postfix_str(slug(spec)[:24], refresh=False)
        bar.update()
    bar.close()
    return {spec: [rows[spec, pair.name] for pair in pairs] for spec in methods}


def score_output(pair: Pair, sample: Sample, output: Output, settings: Settings) -> tuple[dict, str]:
    """(values, source of the highlight region) of one result; `sample` is the loaded pair."""
    image, truth, result = to_unit(sample.image), to_unit(sample.truth), to_unit(output.diffuse)
    highlight, source = regions.highlight_region(image, truth, sample.mask, sample.specular)
    parts = regions.split(highlight, sample.object_mask)
    if settings.protocol == "256":
        truth, result = (_to_256(layer, cv2.INTER_LINEAR) for layer in (truth, result))
        parts = {name: _to_256(mask.astype(np.uint8), cv2.INTER_NEAREST) > 0 for name, mask in parts.items()}
    names = [name for name in settings.metrics if name != "lpips"]
    values = metrics.score(
        result, truth, parts, names, display=srgb_encode if pair.linear and not pair.encode else None
    )
    if "lpips" in settings.metrics:
        from evaluation.perceptual import lpips

        values["lpips.whole"] = lpips(result, truth)
    predicted = detection.threshold(output.highlight, settings.map_threshold)
    values |= detection.detect(predicted, highlight)
    return values, source


class _Store:
    """Finished rows on disk, one file a method."""

    def __init__(self, out: Path, settings: Settings, fresh: bool):
        self.out, self.settings, self.fresh = out, settings, fresh
        self.code = source_hash()
        self.hashes: dict[str, str | None] = {}

    def finished(self, spec: str, pairs: Sequence[Pair]) -> dict[str, Row]:
        path = self._file(spec)
        if self.fresh:
            path.unlink(missing_ok=True)
        if not path.is_file():
            return {}
        known = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue  # the last line of a run that was killed while writing it
            known[record["key"]] = record["row"]
        finished = {}
        for pair in pairs:
            record = known.get(self._key(spec, pair))
            row = record and Row.from_json(record)
            if row and self._is_kept(spec, pair, row):
                finished[pair.name] = row
        return finished

    def _is_kept(self, spec: str, pair: Pair, row: Row) -> bool:
        """Whether the result is the one that was scored: other data with the same names may replace it."""
        return row.kept is None or row.kept == _stamp(result_file(self.out, self.settings, spec, pair))

    def keep(self, spec: str, pair: Pair, row: Row) -> None:
        if row.error is not None:
            return
        path = self._file(spec)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            # The leading line break keeps this line whole behind one that a kill cut short.
            file.write("\n" + json.dumps({"key": self._key(spec, pair), "row": row.to_json()}))

    def _file(self, spec: str) -> Path:
        return folder_of(self.out, self.settings, spec) / "rows.jsonl"

    def _key(self, spec: str, pair: Pair) -> str:
        """Changes with everything that can change a score; of a file that is missing, the absence."""
        if spec not in self.hashes:
            self.hashes[spec] = weights_hash(spec)
        files = pair.files | _method(spec, self.settings).files(pair)
        stamps = [[key, str(path), *_stamp(path)] for key, path in sorted(files.items())]
        facts = [spec, self.hashes[spec], self.code, asdict(self.settings), pair.truth, pair.encode, stamps]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def folder_of(out: Path, settings: Settings, spec: str) -> Path:
    """Where the results and rows of a method lie."""
    return out / settings.protocol / slug(spec)


def result_file(out: Path, settings: Settings, spec: str, pair: Pair) -> Path:
    """The picture that a method made of `pair`: what it wrote, or the input, or the other program's file."""
    given = _method(spec, settings).files(pair).get("result")
    return given or folder_of(out, settings, spec) / f"{pair.name}.png"


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0)
    return (status.st_size, status.st_mtime_ns)


@cache
def _method(spec: str, settings: Settings) -> Method:
    return load(spec, settings.output, settings.remover_options)


def _work_all(
    todo: Sequence[tuple[str, Pair]], settings: Settings, out: Path, workers: int
) -> Iterator[tuple[str, Pair, Row]]:
    if workers < 1 or len(todo) < 2:
        for spec, pair in todo:
            yield spec, pair, _work(spec, pair, settings, out)
        return
    context = _process_context()
    threads = max(1, (os.cpu_count() or 1) // workers)
    with ProcessPoolExecutor(workers, context, _start_worker, (threads,)) as pool:
        jobs = {pool.submit(_work, spec, pair, settings, out): (spec, pair) for spec, pair in todo}
        try:
            for job in as_completed(jobs):
                yield *jobs[job], job.result()
        except BrokenProcessPool as error:
            raise UserError(
                "a worker was killed, probably for lack of memory: use fewer --workers "
                "(finished pictures are kept)"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _process_context() -> multiprocessing.context.BaseContext:
    # Never forked from here: a fork copies the locks of torch's threads but not the threads. Workers are
    # forked from a server that has the libraries loaded, once for all of them, and no threads yet.
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["evaluation.runner", "classical"])
    return context


def _start_worker(threads: int) -> None:
    import torch

    # Ctrl-C reaches all processes of a terminal: a worker ends at once and silently, the parent says so.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def _work(spec: str, pair: Pair, settings: Settings, out: Path) -> Row:
    row = Row(spec, pair.name)
    try:
        sample = pair.load()
    except UserError as error:
        row.error, row.bad_pair = str(error), True
        return row
    method = _method(spec, settings)
    try:
        start = time.perf_counter()
        output = method(pair, sample)
        row.seconds = time.perf_counter() - start if method.timed else None
        if settings.mask_results and method.timed and sample.object_mask is not None:
            output = Output(output.diffuse * sample.object_mask[..., None], output.highlight)
        row.values, row.region = score_output(pair, sample, output, settings)
        row.size, row.bits = sample.image.shape[:2], sample.image.dtype.itemsize * 8
        if method.timed:
            path = result_file(out, settings, spec, pair)
            write_rgb(path, output.diffuse)
            write_rgb(path.with_name(f"{path.stem}-HFE.png"), output.highlight)
            row.kept = _stamp(path)
    except UserError as error:
        row.error = str(error)
    except Exception as error:
        # One picture on which a method breaks must not lose the other nine hundred.
        row.error = f"{type(error).__name__}: {error}"
    return row


def _to_256(layer: np.ndarray, interpolation: int) -> np.ndarray:
    return cv2.resize(layer.astype(np.float32), (256, 256), interpolation=interpolation).astype(np.float64)
