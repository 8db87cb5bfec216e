"""Clips through one remover, one after the other: frames streamed, smoothed, resumed after a stop.

What is finished of a clip lies in a folder RESULT.part beside its result: segments, and one file of state
that says how many they are, how many frames they hold, and the smoother after the last of them. The state is
written after its segment, both atomically: whatever the state counts is whole, whatever lies beside it is not
looked at. A run that goes on gives the same file, bit for bit, as one that was never stopped.
"""

import io
import os
import shutil
import sys
import time
import zipfile
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from tqdm import tqdm

from restoration.folder import Counts, format_error
from restoration.jobs import Job
from restoration.remover import HighlightRemover
from restoration.video.clip_reader import ClipFrame, ClipInfo, read_frames, read_info, subtract
from restoration.video.clip_writer import CONTAINERS, SegmentWriter, join
from restoration.video.temporal_smoothing import FRAMES, TemporalSmoother
from utils.atomic import atomic_path, remove_leftovers, write_bytes
from utils.folder_lock import NAME as LOCK_NAME
from utils.folder_lock import locked
from utils.image_files import MAX_PIXELS
from weights.backends import HasOutputs, OnnxNetwork
from weights.hashing import content_hash

SEGMENT_FRAMES = 120
"""Most frames that are lost when a run is stopped; each segment begins with a key frame."""


def restore_clips(
    jobs: list[Job],
    remover: HighlightRemover,
    *,
    smoothing: int = FRAMES,
    max_pixels: int = MAX_PIXELS,
    quiet: bool = False,
) -> Counts:
    """Does all jobs. Whatever goes wrong with a clip is reported by its name on stderr, and the others go on.

    smoothing   frames over which the specular layer is averaged where the picture stands still; 1: none
    max_pixels  clips with larger frames are refused
    quiet       no progress bars
    """
    counts = Counts()
    for job in jobs:
        try:
            clip = _Clip(job, remover, smoothing, max_pixels, quiet)
            clip.restore()
        except (KeyboardInterrupt, CancelledError):
            raise
        except Exception as error:  # any error: the other clips are still processed
            print(f"failed: {job.source}: {format_error(error, job)}", file=sys.stderr)
            counts.failed += 1
        else:
            counts.done += 1
            counts.unchanged += not clip.segments.changed
    return counts


class _Clip:
    """One clip on its way into its result. Raises UserError."""

    def __init__(self, job: Job, remover: HighlightRemover, smoothing: int, max_pixels: int, quiet: bool):
        self.job = job
        self.remover = remover
        self.quiet = quiet
        self.info = read_info(job.source, max_pixels)
        self.smoother = TemporalSmoother(smoothing)
        self.notes: set[str] = set()
        """what the remover says, once for all frames"""
        result = job.outputs["result"]
        self.folder = result.with_name(result.name + ".part")
        self.segments = Segments(self.folder, fingerprint(job, remover, self.info, smoothing))

    def restore(self) -> None:
        """Restores it from where an earlier run stopped; its notes go to stderr."""
        start = time.perf_counter()
        with locked(self.folder):
            self.segments.load()
            self.smoother.load_state(self.segments.smoother)
            before = self.segments.frames
            if before:
                self._say("note", f"goes on at frame {before}, where an earlier run stopped")
            try:
                notes = self._write_segments()
            except KeyboardInterrupt:
                self.remover.cancel()
                if self.segments.frames:
                    kept = f"{self.segments.frames} frames are kept in {self.segments.folder}"
                    self._say("stopped", f"{kept}; the same command goes on from there")
                raise
            notes += join(self.job.source, self.segments.paths(), self.job.outputs["result"], self.info)
            self.segments.remove()
        for note in (*notes, *sorted(self.notes)):
            self._say("note", note)
        if not self.quiet:
            seconds, frames = time.perf_counter() - start, self.segments.frames
            rate = (frames - before) / max(seconds, 1e-9)
            self._say("done", f"{frames} frames, {rate:.1f} frames/s")

    def _write_segments(self) -> tuple[str, ...]:
        info, segments = self.info, self.segments
        container = CONTAINERS[self.job.outputs["result"].suffix.lower()]
        frames = read_frames(self.job.source, info, skip=segments.frames)
        bar = tqdm(
            total=info.frames,
            initial=segments.frames,
            desc=self.job.source.name,
            unit="frame",
            disable=self.quiet,
            dynamic_ncols=True,
        )
        with bar, closing(self._separated(frames)) as separated:
            while first := next(separated, None):
                written, changed = 0, False
                path = segments.path(segments.count)
                with atomic_path(path) as temporary, SegmentWriter(temporary, info, container) as writer:
                    for frame, image, found in chain([first], islice(separated, SEGMENT_FRAMES - 1)):
                        specular = self.smoother(image, found)
                        changed |= bool(specular.any())
                        planes = subtract(frame.planes, frame.turned_back(specular), frame.coding)
                        writer.write(planes, frame.time, frame.duration)
                        written += 1
                        bar.update()
                segments.finish(written, changed, self.smoother.state())
        if info.exact and info.frames and segments.frames < info.frames:
            return (*info.notes, f"it says {info.frames} frames, but only {segments.frames} could be read")
        return info.notes

    def _separated(
        self, frames: Iterator[ClipFrame]
    ) -> Generator[tuple[ClipFrame, np.ndarray, np.ndarray], None, None]:
        """Frames in order, each with its picture and its specular layer; a few are in memory at once."""
        separator = self.remover.separator
        threads = separator.workers + 1  # while the others compute, one converts its colours
        pool = ThreadPoolExecutor(threads, "frame")
        running: deque[Future] = deque()
        try:
            # On an accelerator several frames share a forward.
            for some in iter(lambda: list(islice(frames, separator.batch_size)), []):
                running.append(pool.submit(self._separate, some))
                if len(running) > threads:
                    yield from running.popleft().result()
            while running:
                yield from running.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _separate(self, frames: list[ClipFrame]) -> list[tuple[ClipFrame, np.ndarray, np.ndarray]]:
        images = [frame.rgb() for frame in frames]
        results = self.remover.restore_all(images)
        self.notes.update(note for restored in results for note in restored.notes)
        return [
            (frame, image, image - restored.diffuse)
            for frame, image, restored in zip(frames, images, results, strict=True)
        ]

    def _say(self, kind: str, text: str) -> None:
        tqdm.write(f"{kind}: {self.job.source}: {text}", file=sys.stderr)


def fingerprint(job: Job, remover: HighlightRemover, info: ClipInfo, smoothing: int) -> str:
    """A hash of all that the frames of a result depend on."""
    status = os.stat(job.source)
    network, separator = remover.network, remover.separator
    weights = network.identity if isinstance(network, OnnxNetwork) else network.state_dict()
    settings = {
        "clip": [str(job.source.name), status.st_size, status.st_mtime_ns, repr(info)],
        "network": [network.spec.name, weights, network.output if isinstance(network, HasOutputs) else None],
        "augmentation": remover.tta_copies,
        "sizes": [remover.working_size, remover.exposure, repr(remover.tile), remover.strength],
        "machine": [separator.device.type, separator.precision, separator.batch_size, os.cpu_count()],
        "encoding": [job.outputs["result"].suffix, smoothing, SEGMENT_FRAMES, av.__version__],
    }
    return content_hash(settings)


STATE = "state.npz"
NUMBERS = "count", "frames", "changed"
SMOOTHER = "smoother_"  # before the names of its arrays in the file


class Segments:
    """The finished part of one clip; hold `locked(folder)` while working on it.

    folder       where it lies, beside the result
    fingerprint  of all that the frames depend on; what was kept under another one is thrown away
    """

    def __init__(self, folder: Path, fingerprint: str):
        self.folder = folder
        self.fingerprint = fingerprint
        self.count = 0
        """segments finished"""
        self.frames = 0
        """frames in them"""
        self.changed = False
        """something was removed from one of them"""
        self.smoother: dict[str, np.ndarray] = {}
        """state of the smoother behind them"""

    def load(self) -> None:
        """Resumes from the segments of an earlier run; removes all else."""
        try:
            with np.load(self.folder / STATE, allow_pickle=False) as arrays:
                kept = dict(arrays)
            whole = str(kept.pop("fingerprint")) == self.fingerprint
            count, frames, changed = (int(kept.pop(name)) for name in NUMBERS)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            whole = False
        if whole and all(self.path(number).is_file() for number in range(count)):
            self.count, self.frames, self.changed = count, frames, bool(changed)
            self.smoother = {name.removeprefix(SMOOTHER): array for name, array in kept.items()}
        remove_leftovers(self.folder)
        wanted = {LOCK_NAME, STATE, *(self.path(number).name for number in range(self.count))}
        for entry in list(os.scandir(self.folder)):
            if entry.name not in (wanted if self.count else {LOCK_NAME}):
                os.unlink(entry.path)

    def path(self, number: int) -> Path:
        """Of one segment."""
        return self.folder / f"{number:06}.nut"

    def paths(self) -> list[Path]:
        """Of the finished ones."""
        return [self.path(number) for number in range(self.count)]

    def finish(self, frames: int, changed: bool, smoother: dict[str, np.ndarray]) -> None:
        """Counts the next segment, which lies at its path and holds `frames` frames."""
        self.count += 1
        self.frames += frames
        self.changed |= changed
        self.smoother = smoother
        content = io.BytesIO()
        state: dict[str, Any] = dict(zip(NUMBERS, (self.count, self.frames, self.changed), strict=True))
        state |= {SMOOTHER + name: array for name, array in smoother.items()}
        np.savez(content, fingerprint=self.fingerprint, **state)
        write_bytes(self.folder / STATE, content.getvalue())

    def remove(self) -> None:
        """Removes the folder, when the result is written."""
        shutil.rmtree(self.folder, ignore_errors=True)
