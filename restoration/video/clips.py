"""Clips through one remover, one after the other: frames streamed, smoothed, resumed after a stop."""

import os
import sys
import time
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing
from itertools import chain, islice

import av
import numpy as np
from tqdm import tqdm

from restoration.folder import Counts, in_words
from restoration.jobs import Job
from restoration.remover import HighlightRemover
from restoration.video.clip_reader import ClipFrame, ClipInfo
from restoration.video.clip_writer import CONTAINERS, SegmentWriter, join
from restoration.video.guarded_reader import read_frames, read_info
from restoration.video.segments import Segments
from restoration.video.temporal_smoothing import FRAMES, TemporalSmoother
from restoration.video.yuv import subtract
from utils.atomic import atomic_path
from utils.image_files import MAX_PIXELS
from weights.hashing import content_hash

SEGMENT_FRAMES = 120
"""A stop costs at most so many frames; each segment begins with a key frame."""


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
        except Exception as error:  # whatever it is, the other clips have nothing to do with it
            print(f"failed: {job.source}: {in_words(error, job)}", file=sys.stderr)
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
        self.segments = Segments(job.outputs["result"], fingerprint(job, remover, self.info, smoothing))

    def restore(self) -> None:
        """Restores it from where an earlier run stopped; its notes go to stderr."""
        start = time.perf_counter()
        with self.segments.locked():
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
    weights = getattr(network, "identity", None) or network.state_dict()
    settings = {
        "clip": [str(job.source.name), status.st_size, status.st_mtime_ns, repr(info)],
        "network": [network.spec.name, weights, getattr(network, "output", None)],
        "augmentation": getattr(remover.runs, "copies", 1),
        "sizes": [remover.working_size, remover.exposure, repr(remover.tile), remover.strength],
        "machine": [separator.device.type, separator.precision, separator.batch_size, os.cpu_count()],
        "encoding": [job.outputs["result"].suffix, smoothing, SEGMENT_FRAMES, av.__version__],
    }
    return content_hash(settings)
