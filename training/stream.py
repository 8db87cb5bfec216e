"""The endless stream of training samples, where sample p is a pure function of (seed, p).

Order and augmentation follow from the position alone, so the state of the stream is one number: a run can
stop anywhere and go on bit for bit, with any number of workers, and with the same order where the joint batch
(over processes and accumulated batches) changes. A step takes the positions that follow those of the step
before; passes over the data follow each other without a gap, so every batch is full.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from training.distributed import Distributed
from training.options import TrainOptions
from training.samples import Samples, Untouched
from utils import seeds
from utils.cores import usable_cores
from utils.errors import UserError
from utils.signals import STOPPING, end_with_parent

ORDER, AUGMENTATION, UNTOUCHED = 1, 2, 3  # purposes of random draws

Sample = dict[str, Any]
UNCHANGED = Untouched()


class SampleStream(Dataset):
    """`stream[p]` is sample p: one of `samples`, changed by `augment(sample, rng)`.

    shuffle    "every_epoch": a new order each pass; "once": the first order every time; "none": as they come
    per_pass   how many samples each pass takes; default: all
    skip_bad   replace a sample that raises UserError by the next one; its message goes into "skipped"
    untouched  photographs, and diffuse pictures as inputs, in place of some of the samples
    """

    def __init__(
        self,
        samples: Dataset,
        augment: Callable[[Sample, np.random.Generator], Sample],
        *,
        seed: int,
        shuffle: str = "every_epoch",
        per_pass: int | None = None,
        skip_bad: bool = False,
        untouched: Untouched = UNCHANGED,
    ):
        self.samples = samples
        self.augment = augment
        self.seed = seed
        self.shuffle = shuffle
        self.per_pass = len(samples) if per_pass is None else per_pass
        self.skip_bad = skip_bad
        self.untouched = untouched
        self._order: tuple[int, np.ndarray] | None = None

    def __getitems__(self, positions: Sequence[int]) -> list[Sample | UserError]:
        # Scenes are rendered faster as a batch than one by one.
        render = getattr(self.samples, "__getitems__", None)
        if render is None or self.skip_bad or self.untouched != UNCHANGED:
            return [self[position] for position in positions]
        try:
            samples = render([self.index(position) for position in positions])
            return [self._changed(sample, place) for sample, place in zip(samples, positions, strict=True)]
        except UserError as error:
            return [error]

    def __getitem__(self, position: int) -> Sample | UserError:
        # The message of an exception does not survive the way out of a worker process, so it is returned.
        skipped = []
        for shift in range(len(self.samples)):
            try:
                return self._sample(position, shift) | {"skipped": "\n".join(skipped)}
            except UserError as error:
                if not self.skip_bad:
                    return error
                skipped.append(str(error))
        return UserError(f"none of the {len(self.samples)} samples can be used; the first: {skipped[0]}")

    def _sample(self, position: int, shift: int) -> Sample:
        untouched = self.untouched
        # Of two neighbours, which a batch holds both of where its size is even, the second may be the first
        # one without its highlight: half of the positions, so the share counts twice.
        rng = seeds.rng(self.seed, UNTOUCHED, position)
        if position % 2 and rng.random() < 2 * untouched.share:
            sample = self._sample(position - 1, shift)
            layers = {"input": sample["diffuse"]}
            layers |= {key: torch.zeros_like(sample[key]) for key in ("specular", "mask") if key in sample}
            return sample | layers
        if untouched.photos is not None and rng.random() < untouched.photos_share:
            photos = untouched.photos
            return self._changed(photos[(int(rng.integers(len(photos))) + shift) % len(photos)], position)
        return self._changed(self.samples[self.index(position, shift)], position)

    def _changed(self, sample: Sample, position: int) -> Sample:
        return self.augment(sample, seeds.rng(self.seed, AUGMENTATION, position)) | {"skipped": ""}

    def index(self, position: int, shift: int = 0) -> int:
        """Which of the samples stands at `position`; `shift` counts on from there within the pass."""
        epoch, place = divmod(position, self.per_pass)
        place = (place + shift) % len(self.samples)
        return place if self.shuffle == "none" else int(self.order(epoch)[place])

    def order(self, epoch: int) -> np.ndarray:
        """The permutation of pass `epoch`, of which it takes the first `per_pass`."""
        epoch = 0 if self.shuffle == "once" else epoch
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, seeds.rng(self.seed, ORDER, epoch).permutation(len(self.samples))
        return self._order[1]


class StepSampler(Sampler):
    """Batches of positions for one process: `steps` optimiser steps, the first from position `first` on.

    Of the joint batch of a step, accumulated batch m of process r takes the r-th part of the m-th part.
    """

    def __init__(self, first: int, steps: int, *, batch_size: int, accumulation: int, rank: int, world: int):
        self.first, self.steps = first, steps
        self.batch_size, self.accumulation = batch_size, accumulation
        self.rank, self.world = rank, world

    def __iter__(self) -> Iterator[list[int]]:
        for part in range(self.steps * self.accumulation):
            first = self.first + (part * self.world + self.rank) * self.batch_size
            yield list(range(first, first + self.batch_size))

    def __len__(self) -> int:
        return self.steps * self.accumulation


def collate(samples: Sequence[Sample | UserError]) -> Sample | UserError:
    """Stacks samples into a batch: tensors (B,C,H,W), "name" and "skipped" as lists of str.

    Keys that not all samples have are left out. A UserError among the samples, or sizes that differ, make
    the batch a UserError, for the training process to raise.
    """
    for sample in samples:
        if isinstance(sample, UserError):
            return sample
    texts = {"name", "skipped"}
    keys = [key for key in samples[0] if all(key in sample for sample in samples)]
    sizes = {tuple(sample["input"].shape[-2:]): sample["name"] for sample in samples}
    if len(sizes) > 1:
        (a, one), (b, other) = list(sizes.items())[:2]
        return UserError(
            f"{one} is {a[1]}x{a[0]} and {other} is {b[1]}x{b[0]}: one batch needs one size; "
            "pass `size` or `crop`, or `batch_size=1`"
        )
    batch: Sample = {key: [sample[key] for sample in samples] for key in keys if key in texts}
    return batch | default_collate(
        [{key: sample[key] for key in keys if key not in texts} for sample in samples]
    )


def training_loader(
    samples: Samples, options: TrainOptions, distributed: Distributed, first: int, steps: int
) -> DataLoader:
    """The batches of this process for `steps` optimiser steps, the joint one starting at position `first`."""
    stream = SampleStream(
        samples.training,
        samples.augmentation,
        seed=options.seed,
        shuffle=samples.shuffle,
        per_pass=samples.per_pass,
        skip_bad=options.skip_bad_files,
        untouched=samples.untouched,
    )
    sampler = StepSampler(
        first,
        steps,
        batch_size=options.batch_size,
        accumulation=options.grad_accumulation,
        rank=distributed.rank,
        world=distributed.world,
    )
    return DataLoader(
        stream,
        batch_sampler=sampler,
        num_workers=workers_for(options.num_workers, distributed.world),
        collate_fn=collate,
        worker_init_fn=quiet_worker,
        pin_memory=distributed.device.type == "cuda",
    )


def workers_for(wanted: int | None, world: int, samples: int | None = None) -> int:
    """How many processes load for one of `world` training processes; fewer where they only pass over
    `samples` samples. `wanted` None: one a core, at most 8."""
    if wanted is None:
        wanted = min(8, max(1, usable_cores() // world))
    # A process takes longer to start than a few pictures to read.
    return wanted if samples is None else min(wanted, samples // 16)


def quiet_worker(_: int) -> None:
    """Set-up of a worker process: one thread, and signals are the training process's business.

    Terminals send Ctrl-C, and batch systems SIGTERM, to every process of a job. A worker that died of it
    would leave the training process without the batch that it needs to finish the step.
    """
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    end_with_parent()
    torch.set_num_threads(1)


@contextlib.contextmanager
def batches_of(loader: DataLoader) -> Iterator[Iterator]:
    """An iterator over the batches of `loader`, whose worker processes end with the block however it is left.

    torch ends them when the iterator is collected, which the traceback of an error puts off; at its own end
    Python would then wait for processes that ignore its signals, for ever.
    """
    iterator = iter(loader)
    if (
        loader.num_workers
        and hasattr(signal, "SIGCHLD")
        and threading.current_thread() is threading.main_thread()
    ):
        # torch raises the death of a worker wherever the program happens to be, even in the middle of an
        # optimiser's step. Without its handler the error comes from next(iterator), a few seconds later.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield iterator
    finally:
        if loader.num_workers:
            iterator._shutdown_workers()


def checked(batch: Sample | UserError) -> Sample:
    """The batch; raises it where it is an error."""
    if isinstance(batch, UserError):
        raise batch
    return batch


def to_device(batch: Sample, device: torch.device, *, channels_last: bool = False) -> Sample:
    """The batch with its tensors on `device`."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return {
        key: value.to(device, non_blocking=True, memory_format=layout) if torch.is_tensor(value) else value
        for key, value in batch.items()
    }
