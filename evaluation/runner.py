"""Runs methods over pairs: one row of scores per method and picture, kept so that a second run goes on.

Under `out`/PROTOCOL/METHOD/ lie the results (NAME.png and the highlight map NAME-HFE.png) and rows.jsonl, a
line per finished picture. A line is used again while all that decides it is the same: our release and the git
commit, the method and the content of its weights, the settings, and the size and time of the picture files.
Changes that are not committed are not seen: `fresh` discards the lines.
"""

import hashlib
import json
import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import cv2
from tqdm import tqdm

from evaluation.datasets import Pair, Sample
from evaluation.methods import Method, Results, ScoredMethod, load
from evaluation.scoring import Row, score_result, share_keys
from evaluation.settings import Settings
from utils.cores import usable_cores
from utils.errors import UserError, WriteError, reason
from utils.image_files import write_rgb
from utils.release import VERSION
from utils.runs import git_commit
from utils.signals import end_with_parent

WORKER_START = 6.0
"""Seconds of work from which on starting processes pays: each first imports torch for some seconds."""
LONGEST = 100
"""Letters of a folder's name that come from a method's: file systems take 255 bytes."""


def run(
    pairs: Sequence[Pair],
    methods: Sequence[ScoredMethod],
    settings: Settings,
    out: Path,
    *,
    workers: int = 0,
    fresh: bool = False,
    progress: bool = True,
) -> dict[str, list[Row]]:
    """Rows by the text of the method, in the order of `pairs`.

    A picture on which a method fails has a row with `error`. `workers` 0 works in this process; else so many
    processes share the pictures, once the first of them show that it pays. Raises UserError where a method
    cannot be loaded at all.
    """
    caches: dict[ScoredMethod, ScoreCache] = {}
    rows: dict[tuple[ScoredMethod, str], Row] = {}
    todo: list[tuple[ScoredMethod, Pair]] = []
    for method in methods:
        caches[method] = ScoreCache(method, settings, out, fresh)
        finished = caches[method].finished(pairs)
        rows |= {(method, name): row for name, row in finished.items()}
        todo += [(method, pair) for pair in pairs if pair.name not in finished]
        if len(finished) < len(pairs):
            _loaded(method, settings).prepare()
    bar = tqdm(total=len(todo), unit="picture", disable=None if progress and todo else True, leave=False)
    for method, pair, row in _work_all(todo, settings, out, workers):
        rows[method, pair.name] = row
        caches[method].keep(pair, row)
        bar.set_postfix_str(slug(method.text)[:24], refresh=False)
        bar.update()
    bar.close()
    return {method.text: [rows[method, pair.name] for pair in pairs] for method in methods}


class ScoreCache:
    """Finished rows of one method on disk. Not for two processes at a time."""

    def __init__(self, method: ScoredMethod, settings: Settings, out: Path, fresh: bool = False):
        self._method, self._settings, self._out = method, settings, out
        self._path = method_folder(out, settings.protocol, method.text) / "rows.jsonl"
        self._facts = [method.text, method.weights_hash(), code_version(), asdict(settings)]
        if fresh:
            self._path.unlink(missing_ok=True)

    def finished(self, pairs: Sequence[Pair]) -> dict[str, Row]:
        """Rows by the pair's name, of the pairs whose scores are still right."""
        kept = self._read()
        finished = {}
        for pair in pairs:
            row = kept.get(self._key(pair))
            if row and (row.kept is None or row.kept == stamp(self._result(pair))):
                finished[pair.name] = row
        return finished

    def keep(self, pair: Pair, row: Row) -> None:
        """Appends the row of `pair`; not a failed one, which is tried again. Raises WriteError."""
        if row.error is not None:
            return
        # The leading line break keeps this line whole behind one that a kill cut short.
        line = "\n" + json.dumps({"key": self._key(pair), "row": row.to_json()})
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise WriteError(f"cannot write {self._path}: {reason(error)}") from error

    def _result(self, pair: Pair) -> Path:
        return result_file(self._out, self._settings, self._method, pair)

    def _key(self, pair: Pair) -> str:
        """Changes with everything that can change a score; of a file that is missing, the absence."""
        files = pair.files | _loaded(self._method, self._settings).files(pair)
        stamps = [[key, str(path), *stamp(path)] for key, path in sorted(files.items())]
        facts = [*self._facts, pair.compared_layer, pair.linear, pair.encode, stamps]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]

    def _read(self) -> dict[str, Row]:
        """Rows by key. Lines that are no rows are passed over: a kill can cut the last one short."""
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return {}
        rows = {}
        for line in lines:
            try:
                record = json.loads(line)
                rows[record["key"]] = Row.from_json(record["row"])
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
        return rows


@cache
def code_version() -> str:
    """Our release, and the commit of the checkout, where it is one."""
    return f"{VERSION} {git_commit()}"


def slug(text: str) -> str:
    """A folder name for a method: its letters and digits, and a hash where others had to go."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("_.")[-LONGEST:]
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def method_folder(out: Path, protocol: str, method: str) -> Path:
    """Where the results and rows of a method lie."""
    return out / protocol / slug(method)


def result_file(out: Path, settings: Settings, method: ScoredMethod, pair: Pair) -> Path:
    """The picture that a method made of `pair`: its own file, or the one of another program.

    Raises UserError where its own file would lie outside of the method's folder."""
    given = _loaded(method, settings).files(pair).get("result")
    if given:
        return given
    folder = method_folder(out, settings.protocol, method.text)
    path = folder / f"{pair.name}.png"
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"the pair {pair.name} cannot be written below {folder}: rename its files")
    return path


def stamp(path: Path) -> tuple[int, int]:
    """Size in bytes and time of change in nanoseconds; (0, 0) where there is no file."""
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0)
    return (status.st_size, status.st_mtime_ns)


@cache
def _loaded(method: ScoredMethod, settings: Settings) -> Method:
    return load(method, settings.output, settings.remover_options)


def _work_all(
    todo: Sequence[tuple[ScoredMethod, Pair]], settings: Settings, out: Path, workers: int
) -> Iterator[tuple[ScoredMethod, Pair, Row]]:
    waiting = list(todo)
    start, done = time.perf_counter(), 0
    while waiting:
        # Two pictures, because the first one also pays for loading libraries.
        if workers > 0 and done >= 2 and len(waiting) > 1:
            remaining = (time.perf_counter() - start) / (done - 1) * len(waiting)
            if remaining * (1 - 1 / workers) > WORKER_START:
                break
        method, pair = waiting.pop(0)
        yield method, pair, _work(method, pair, settings, out)
        done += 1
        if done == 1:
            start = time.perf_counter()
    yield from _work_in_processes(waiting, settings, out, workers)


def _work_in_processes(
    todo: Sequence[tuple[ScoredMethod, Pair]], settings: Settings, out: Path, workers: int
) -> Iterator[tuple[ScoredMethod, Pair, Row]]:
    if not todo:
        return
    threads = max(1, usable_cores() // workers)
    with ProcessPoolExecutor(workers, _process_context(), _start_worker, (threads,)) as pool:
        jobs = {pool.submit(_work, method, pair, settings, out): (method, pair) for method, pair in todo}
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
    # The frameworks of macOS do not survive a fork, and Windows has none.
    if sys.platform != "linux":
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


def _work(method: ScoredMethod, pair: Pair, settings: Settings, out: Path) -> Row:
    row = Row(method.text, pair.name)
    try:
        sample = pair.load()
    except Exception as error:
        # Whatever a damaged file makes a decoder raise is that pair's failure.
        known = isinstance(error, UserError)
        row.error = str(error) if known else f"{pair.input_file}: {type(error).__name__}: {error}"
        row.bad_pair = True
        return row
    try:
        _separate_and_score(row, method, pair, sample, settings, out)
    except UserError as error:
        row.error = str(error)
    except Exception as error:
        # One picture on which a method breaks must not end the run.
        row.error = f"{type(error).__name__}: {error}"
    return row


def _separate_and_score(
    row: Row, method: ScoredMethod, pair: Pair, sample: Sample, settings: Settings, out: Path
) -> None:
    loaded = _loaded(method, settings)
    start = time.perf_counter()
    restored = loaded(pair, sample)
    row.seconds = time.perf_counter() - start if loaded.timed else None
    if settings.mask_results and loaded.timed and sample.object_mask is not None:
        restored = replace(restored, diffuse=restored.diffuse * sample.object_mask[..., None])
    scores = score_result(pair, sample, restored, settings.metrics, settings.protocol, settings.map_threshold)
    row.values, row.region, row.clean = share_keys(scores), sample.region_source, not sample.highlight.any()
    row.size, row.bits = sample.image.shape[:2], sample.image.dtype.itemsize * 8
    if loaded.timed:
        path = result_file(out, settings, method, pair)
        write_rgb(path, restored.diffuse)
        write_rgb(path.with_name(f"{path.stem}-HFE.png"), restored.highlight)
        row.kept = stamp(path)
    elif isinstance(loaded, Results):
        row.unchanged = not row.clean and not restored.highlight.any()
