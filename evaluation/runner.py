"""Runs methods over pairs: one row of scores per method and picture, kept so that a second run goes on.

Under `out`/PROTOCOL/METHOD/ lie the results (NAME.png and the highlight map NAME-HFE.png) and the scores
(score_cache.py).
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from pathlib import Path

import cv2
from tqdm import tqdm

from evaluation.adapters import Method, Results, load
from evaluation.rows import Row, result_path, shared_names, slug, stamp
from evaluation.score_cache import ScoreCache
from evaluation.scored_methods import ScoredMethod
from evaluation.scored_pairs import Pair, Sample
from evaluation.scoring import score_result
from evaluation.settings import Settings
from restoration import Restored
from utils.errors import UserError
from utils.image_files import write_rgb
from utils.signals import end_with_parent

WORKER_START = 6.0
"""Seconds of work from which on starting processes pays: each first imports torch for some seconds."""


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
    processes share the pictures, once the first of them show that it pays. Raises UserError where a method
    cannot be loaded at all.
    """
    kept = ScoreCache(out, settings, fresh)
    rows: dict[tuple[str, str], Row] = {}
    todo = []
    for spec in methods:
        method = _method(spec, settings)
        finished = kept.finished(spec, method, pairs)
        rows |= {(spec, name): row for name, row in finished.items()}
        todo += [(spec, pair) for pair in pairs if pair.name not in finished]
        if len(finished) < len(pairs):
            method.prepare()
    bar = tqdm(total=len(todo), unit="picture", disable=None if progress and todo else True, leave=False)
    for spec, pair, row in _work_all(todo, settings, out, workers):
        rows[spec, pair.name] = row
        kept.keep(spec, _method(spec, settings), pair, row)
        bar.set_postfix_str(slug(spec)[:24], refresh=False)
        bar.update()
    bar.close()
    return {spec: [rows[spec, pair.name] for pair in pairs] for spec in methods}


def result_file(out: Path, settings: Settings, spec: str, pair: Pair) -> Path:
    """The picture that a method made of `pair`."""
    return ScoreCache(out, settings).result_file(spec, _method(spec, settings), pair)


@cache
def _method(spec: str, settings: Settings) -> Method:
    return load(ScoredMethod.parse(spec), settings.output, settings.remover_options)


def _work_all(
    todo: Sequence[tuple[str, Pair]], settings: Settings, out: Path, workers: int
) -> Iterator[tuple[str, Pair, Row]]:
    waiting = list(todo)
    start, done = time.perf_counter(), 0
    while waiting:
        # Two pictures, because the first one also pays for loading libraries.
        if workers > 0 and done >= 2 and len(waiting) > 1:
            remaining = (time.perf_counter() - start) / (done - 1) * len(waiting)
            if remaining * (1 - 1 / workers) > WORKER_START:
                break
        spec, pair = waiting.pop(0)
        yield spec, pair, _work(spec, pair, settings, out)
        done += 1
        if done == 1:
            start = time.perf_counter()
    yield from _work_in_processes(waiting, settings, out, workers)


def _work_in_processes(
    todo: Sequence[tuple[str, Pair]], settings: Settings, out: Path, workers: int
) -> Iterator[tuple[str, Pair, Row]]:
    if not todo:
        return
    threads = max(1, (os.cpu_count() or 1) // workers)
    with ProcessPoolExecutor(workers, _process_context(), _start_worker, (threads,)) as pool:
        jobs = {pool.submit(_work, spec, pair, settings, out): (spec, pair) for spec, pair in todo}
        try:
            for job in as_completed(jobs):
                yield *jobs[job], job.result()
        except BrokenProcessPool as error:
            raise UserError(
                "a worker was killed, probably for lack of memory: use fewer workers "
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
    end_with_parent()
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def _work(spec: str, pair: Pair, settings: Settings, out: Path) -> Row:
    row = Row(spec, pair.name)
    try:
        sample = pair.load()
    except Exception as error:
        # Whatever a damaged file makes a decoder raise is that pair's failure.
        known = isinstance(error, UserError)
        row.error = str(error) if known else f"{pair.input_file}: {type(error).__name__}: {error}"
        row.bad_pair = True
        return row
    try:
        _separate_and_score(row, pair, sample, settings, out)
    except UserError as error:
        row.error = str(error)
    except Exception as error:
        # One picture on which a method breaks must not lose the other nine hundred.
        row.error = f"{type(error).__name__}: {error}"
    return row


def _separate_and_score(row: Row, pair: Pair, sample: Sample, settings: Settings, out: Path) -> None:
    method = _method(row.method, settings)
    start = time.perf_counter()
    restored = method(pair, sample)
    row.seconds = time.perf_counter() - start if method.timed else None
    if settings.mask_results and method.timed and sample.object_mask is not None:
        restored = Restored(restored.diffuse * sample.object_mask[..., None], restored.highlight)
    scores = score_result(pair, sample, restored, settings)
    row.values, row.region, row.clean = shared_names(scores.values), scores.region, scores.clean
    row.size, row.bits = sample.image.shape[:2], sample.image.dtype.itemsize * 8
    if method.timed:
        path = result_path(out, settings.protocol, row.method, pair.name)
        write_rgb(path, restored.diffuse)
        write_rgb(path.with_name(f"{path.stem}-HFE.png"), restored.highlight)
        row.kept = stamp(path)
    elif isinstance(method, Results):
        row.unchanged = not row.clean and not restored.highlight.any()
