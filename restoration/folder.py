"""Many pictures through one remover: read, restore and write side by side, each on its own."""

import sys
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, CancelledError, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
from tqdm import tqdm

from restoration.composition import Restored, describe_change
from restoration.jobs import Job
from restoration.methods import INPUT
from restoration.pictures import write_results
from restoration.remover import HighlightRemover
from restoration.separator import FunctionNetwork
from restoration.tiling import is_out_of_memory
from utils.errors import UserError
from utils.guarded_decoding import decode_guarded
from utils.image_files import MAX_PIXELS, Picture, read_bytes

TILES_SHOWN = 8
"""Number of tiles from which on a picture shows its own progress."""


@dataclass
class Counts:
    """Number of pictures by outcome."""

    done: int = 0
    failed: int = 0
    unchanged: int = 0
    """of those done: no pixel changed"""

    def __add__(self, others: "Counts") -> "Counts":
        return Counts(self.done + others.done, self.failed + others.failed, self.unchanged + others.unchanged)


def restore_folder(
    jobs: list[Job], remover: HighlightRemover, *, max_pixels: int = MAX_PIXELS, quiet: bool = False
) -> Counts:
    """Does all jobs. Whatever goes wrong with a picture, in reading, restoring or writing it, is reported by
    its name on stderr, and the others go on.

    max_pixels  larger pictures are refused; of all that are in memory at once, the sum is no larger
    quiet       no progress bar
    """
    # Pictures read together, so that equal sizes can share a forward.
    group = remover.separator.batch_size
    groups = iter([jobs[i : i + group] for i in range(0, len(jobs), group)])
    # One more than the workers: while the others compute, one reads or writes.
    threads = remover.separator.workers + 1
    pool = ThreadPoolExecutor(threads, "picture")
    work = _Work(remover, max_pixels, _Report(len(jobs), quiet))
    try:
        running = {pool.submit(work.do, some) for some in islice(groups, threads)}
        while running:
            ready, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ready:
                future.result()
            running |= {pool.submit(work.do, some) for some in islice(groups, len(ready))}
    except BaseException:
        remover.cancel()
        raise
    finally:
        # Waits for files being written: none is left half.
        pool.shutdown(cancel_futures=True)
        work.report.bar.close()
    return work.report.counts


class _PixelBudget:
    """Pixels of all pictures in memory. A picture waits until it fits beside the others."""

    def __init__(self, most: int):
        self.most = most
        self.used = 0
        self._changed = threading.Condition()

    def take(self, pixels: int, already: int) -> None:
        """Waits until there is room for `pixels`.

        A group of pictures that holds some already never waits: two groups would wait for each other.
        """
        with self._changed:
            self._changed.wait_for(lambda: already or not self.used or self.used + pixels <= self.most)
            self.used += pixels

    def give_back(self, pixels: int) -> None:
        with self._changed:
            self.used -= pixels
            self._changed.notify_all()


class _Report:
    """Progress and messages of several threads."""

    def __init__(self, total: int, quiet: bool):
        self.counts = Counts()
        self.bar = tqdm(total=total, unit="picture", disable=quiet, dynamic_ncols=True)
        self._lock = threading.Lock()

    def done(self, job: Job, notes: tuple[str, ...], changed: bool) -> None:
        with self._lock:
            for note in notes:
                tqdm.write(f"note: {job.source}: {note}", file=sys.stderr)
            self.counts.done += 1
            self.counts.unchanged += not changed
            self.bar.update()

    def tile(self, job: Job, done: int, of: int) -> None:
        """Shows the progress within a large picture."""
        if of >= TILES_SHOWN:
            with self._lock:
                self.bar.set_postfix_str(f"{job.source.name}: tile {done} of {of}" if done < of else "")

    def failed(self, job: Job, error: Exception) -> None:
        with self._lock:
            tqdm.write(f"failed: {job.source}: {format_error(error, job)}", file=sys.stderr)
            self.counts.failed += 1
            self.bar.update()


class _Work:
    """What each thread does with its pictures."""

    def __init__(self, remover: HighlightRemover, max_pixels: int, report: _Report):
        self.remover = remover
        self.max_pixels = max_pixels
        self.report = report
        self.budget = _PixelBudget(max_pixels)

    def do(self, jobs: list[Job]) -> None:
        held: list[int] = []

        def admit(pixels: int) -> None:
            self.budget.take(pixels, already=sum(held))
            held.append(pixels)

        try:
            pictures: dict[Job, Picture] = {}
            for job in jobs:
                picture = self._guarded(job, partial(self._read, job, admit))
                if picture is not None:
                    pictures[job] = picture
            for job, restored in self._restore(pictures).items():
                self._guarded(job, partial(self._finish, job, pictures[job], restored))
        finally:
            self.budget.give_back(sum(held))

    def _guarded(self, job: Job, step: Callable):
        """The result of a step, or None after reporting what it raised."""
        try:
            return step()
        except CancelledError:
            raise
        except Exception as error:  # any error: the other pictures are still processed
            self.report.failed(job, error)
            return None

    def _read(self, job: Job, admit: Callable[[int], None]) -> Picture:
        data = read_bytes(job.source, self.max_pixels)
        try:
            return decode_guarded(data, self.max_pixels, admit)
        except UserError as error:
            raise UserError(f"cannot read it: {error}") from error

    def _restore(self, pictures: dict[Job, Picture]) -> dict[Job, Restored]:
        if len(pictures) > 1:
            try:
                results = self.remover.restore_all([picture.pixels for picture in pictures.values()])
                return dict(zip(pictures, results, strict=True))
            except CancelledError:
                raise
            except Exception:  # each alone, to find the one that fails
                pass
        alone = {
            job: self._guarded(
                job, partial(self.remover.restore, picture.pixels, partial(self.report.tile, job))
            )
            for job, picture in pictures.items()
        }
        return {job: restored for job, restored in alone.items() if restored is not None}

    def _finish(self, job: Job, picture: Picture, restored: Restored) -> None:
        notes = write_results(job, picture, restored, self.remover.protocol)
        network = self.remover.network
        if isinstance(network, FunctionNetwork) and network.spec.name != INPUT:
            odd = describe_change(picture.pixels, restored.diffuse)
            notes += (odd,) if odd else ()
        self.report.done(job, notes, changed=not np.array_equal(restored.diffuse, picture.pixels))


def format_error(error: Exception, job: Job) -> str:
    """What went wrong with a picture or a clip, in one line without its name."""
    if is_out_of_memory(error):
        return "out of memory; smaller tiles and fewer workers need less"
    lines = str(error).strip().splitlines()
    words = lines[0] if lines else type(error).__name__
    return words.replace(f"cannot read {job.source}: ", "cannot read it: ")
