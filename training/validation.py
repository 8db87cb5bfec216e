"""Judging a network on whole pictures, at their own size, one at a time."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from recipes import Recipe
from training.machine import Machine
from training.stream import collate, quiet_worker
from utils.errors import UserError


class Interrupted(Exception):
    """A validation was left before its end because the run is to stop."""


def validate(
    recipe: Recipe,
    model: nn.Module,
    samples: Dataset,
    machine: Machine,
    *,
    mode: str = "eval",
    flips: bool = False,
    skip_bad: bool = False,
    workers: int = 0,
    interrupted: Callable[[], bool] = lambda: False,
) -> dict[str, float]:
    """Means of `recipe.validate` over `samples`, the same in every process.

    mode      "train" leaves batch norm learning from these pictures, as the released code does; every process
              then sees them all, otherwise they share them
    flips     turns pictures over at random (torch's generator), as the released code does
    skip_bad  leaves unreadable pictures out of the means

    Raises UserError at an unreadable picture, Interrupted when `interrupted()` turns true.
    """
    shared = machine.world > 1 and mode == "eval"
    mine = range(machine.rank, len(samples), machine.world) if shared else range(len(samples))
    sums, count = {}, 0
    was_training = model.training
    model.train(mode == "train")
    try:
        with torch.no_grad():
            for batch in validation_loader(samples, mine, workers):
                if interrupted():
                    raise Interrupted
                if skip_bad and isinstance(batch, UserError):
                    continue
                batch = to_device(batch, machine.device)
                values = recipe.validate(_flipped(batch) if flips else batch, model)
                for name, value in values.items():
                    sums[name] = sums.get(name, 0.0) + float(value.double().sum())
                count += len(batch["name"])
    finally:
        model.train(was_training)
    if shared:
        sums, count = _add_up(sums, count, machine)
    if not count:
        raise UserError("none of the validation pictures can be read; pass another --val_dataroot")
    return {name: value / count for name, value in sums.items()}


def validation_loader(samples: Dataset, indices: Any, workers: int = 0) -> DataLoader:
    """Batches of one picture, in order: sizes may differ."""
    return DataLoader(
        _Reporting(samples),
        batch_size=1,
        sampler=indices,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=quiet_worker,
    )


def to_device(batch: dict[str, Any] | UserError, device: torch.device, *, channels_last: bool = False):
    """The batch with its tensors on `device`; raises it where it is a UserError."""
    if isinstance(batch, UserError):
        raise batch
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return {
        key: value.to(device, non_blocking=True, memory_format=layout) if torch.is_tensor(value) else value
        for key, value in batch.items()
    }


class _Reporting(Dataset):
    """Samples whose errors come out of a worker process as values, in their own words."""

    def __init__(self, samples: Dataset):
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Any] | UserError:
        try:
            return self.samples[index]
        except UserError as error:
            return error


def _flipped(batch: dict[str, Any]) -> dict[str, Any]:
    axes = [axis for axis in (-1, -2) if torch.rand(()) < 0.5]
    return {key: value.flip(axes) if torch.is_tensor(value) else value for key, value in batch.items()}


def _add_up(sums: dict[str, float], count: int, machine: Machine) -> tuple[dict[str, float], int]:
    boxes: list = [None] * machine.world
    torch.distributed.all_gather_object(boxes, (sums, count))
    names = next((box for box, n in boxes if n), {})
    return {name: sum(box.get(name, 0.0) for box, _ in boxes) for name in names}, sum(n for _, n in boxes)
