"""The endless stream of training samples, where sample p is a pure function of (seed, p).

Order and augmentation follow from the position alone, so the state of the stream is one number: a run can
stop anywhere and go on bit for bit, with any number of workers. Optimiser step s of a run whose joint batch
(over processes and accumulated batches) is G takes positions s G ... (s + 1) G - 1; passes over the data
follow each other without a gap, so every batch is full.
"""

import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler, default_collate

from utils import seeds
from utils.errors import UserError

ORDER, AUGMENTATION = 1, 2  # purposes of random draws

Sample = dict[str, Any]


class SampleStream(Dataset):
    """`stream[p]` is sample p: one of `samples`, changed by `augment(sample, rng)`.

    shuffle    "every_epoch": a new order each pass; "once": the first order every time; "none": as they come
    skip_bad   replace a sample that raises UserError by the next one; its message goes into "skipped"
    """

    def __init__(
        self,
        samples: Dataset,
        augment: Callable[[Sample, np.random.Generator], Sample],
        *,
        seed: int,
        shuffle: str = "every_epoch",
        skip_bad: bool = False,
    ):
        self.samples = samples
        self.augment = augment
        self.seed = seed
        self.shuffle = shuffle
        self.skip_bad = skip_bad
        self._order: tuple[int, np.ndarray] | None = None

    def __getitems__(self, positions: Sequence[int]) -> list[Sample | UserError]:
        # Scenes are rendered faster as a batch than one by one.
        render = getattr(self.samples, "__getitems__", None)
        if render is None or self.skip_bad:
            return [self[position] for position in positions]
        try:
            samples = render([self.index(position) for position in positions])
        except UserError as error:
            return [error]
        return [self._changed(sample, position) for sample, position in zip(samples, positions, strict=True)]

    def __getitem__(self, position: int) -> Sample | UserError:
        # An exception would lose its words on the way out of a worker process, so it travels as a value.
        skipped = []
        for shift in range(len(self.samples)):
            try:
                sample = self.samples[self.index(position, shift)]
                break
            except UserError as error:
                if not self.skip_bad:
                    return error
                skipped.append(str(error))
        else:
            return UserError(f"none of the {len(self.samples)} samples can be read; the first: {skipped[0]}")
        return self._changed(sample, position) | {"skipped": "\n".join(skipped)}

    def _changed(self, sample: Sample, position: int) -> Sample:
        return self.augment(sample, seeds.rng(self.seed, AUGMENTATION, position)) | {"skipped": ""}

    def index(self, position: int, shift: int = 0) -> int:
        """Which of the samples stands at `position`; `shift` counts on from there within the pass."""
        epoch, place = divmod(position, len(self.samples))
        place = (place + shift) % len(self.samples)
        return place if self.shuffle == "none" else int(self.order(epoch)[place])

    def order(self, epoch: int) -> np.ndarray:
        """The permutation of pass `epoch`."""
        epoch = 0 if self.shuffle == "once" else epoch
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, seeds.rng(self.seed, ORDER, epoch).permutation(len(self.samples))
        return self._order[1]


class StepSampler(Sampler):
    """Batches of positions for one process, from optimiser step `start` to `stop` (exclusive).

    Of the joint batch of a step, accumulated batch m of process r takes the r-th part of the m-th part.
    """

    def __init__(self, start: int, stop: int, *, batch_size: int, accumulation: int, rank: int, world: int):
        self.start, self.stop = start, stop
        self.batch_size, self.accumulation = batch_size, accumulation
        self.rank, self.world = rank, world

    def __iter__(self) -> Iterator[list[int]]:
        for part in range(self.start * self.accumulation, self.stop * self.accumulation):
            first = (part * self.world + self.rank) * self.batch_size
            yield list(range(first, first + self.batch_size))

    def __len__(self) -> int:
        return (self.stop - self.start) * self.accumulation


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
            "pass --size or --crop, or --batch_size 1"
        )
    batch: Sample = {key: [sample[key] for sample in samples] for key in keys if key in texts}
    return batch | default_collate(
        [{key: sample[key] for key in keys if key not in texts} for sample in samples]
    )


def quiet_worker(_: int) -> None:
    """Set-up of a worker process: one thread, and signals are the training process's business.

    Terminals send Ctrl-C, and batch systems SIGTERM, to every process of a job. A worker that died of it
    would leave the training process without the batch that it needs to finish the step.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)
