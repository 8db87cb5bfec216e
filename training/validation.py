"""Validating a network on whole pictures, at their own size."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from recipes.recipe import Recipe
from recipes.scores import Values
from training.distributed import Distributed
from training.stream import batches_of, checked, collate, quiet_worker, to_device
from utils.errors import UserError
from utils.sheets import labelled_sheet, shrink

GROUP_PIXELS = 2**20
"""Of the pictures of one size that a GPU takes together; a CPU takes them one at a time."""
SHEET_ROWS = 4
PANEL = 384  # pixels, longer side


class Interrupted(Exception):
    """A validation was left before its end because the run is to stop."""


def validate(
    recipe: Recipe,
    model: nn.Module,
    samples: Dataset,
    distributed: Distributed,
    *,
    flips: bool = False,
    skip_bad: bool = False,
    workers: int = 0,
    interrupted: Callable[[], bool] = lambda: False,
) -> dict[str, float]:
    """Means of `recipe.validate` over `samples`, which the processes share; the same in every process.

    flips     turns pictures over at random (torch's generator), as the released code does
    skip_bad  leaves unreadable pictures out of the means

    Raises UserError at an unreadable picture, Interrupted when `interrupted()` turns true.
    """
    mine = range(distributed.rank, len(samples), distributed.world)
    sums: dict[str, Tensor] = {}
    limit = GROUP_PIXELS if distributed.device.type == "cuda" else 1
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), batches_of(validation_loader(samples, mine, workers)) as batches:
            readable = (batch for batch in batches if not (skip_bad and isinstance(batch, UserError)))
            pictures = (_flipped(checked(batch)) if flips else checked(batch) for batch in readable)
            for group in grouped(pictures, limit):
                if interrupted():
                    raise Interrupted
                _add_up(sums, recipe.validate(to_device(group, distributed.device), model))
    finally:
        model.train(was_training)
    total: dict[str, tuple[float, float]] = {}
    for part in gather_object([{name: pair.tolist() for name, pair in sums.items()}]):
        for name, (value, count) in part.items():
            before, counted = total.get(name, (0.0, 0.0))
            total[name] = before + value, counted + count
    if not total:
        raise UserError("none of the validation pictures can be read; pass another `val_dataroot`")
    # A value that none of the pictures has, such as the PSNR of clean ones, is left out.
    return {name: value / count for name, (value, count) in total.items() if count}


def grouped(pictures: Iterable[dict[str, Any]], pixels: int) -> Iterator[dict[str, Any]]:
    """Batches of one picture, in order, those of one size that follow each other together: as many as have
    up to `pixels` pixels, at least one."""
    group: list[dict[str, Any]] = []
    for picture in pictures:
        shape = picture["input"].shape[-2:]
        fits = group and shape == group[0]["input"].shape[-2:] and (len(group) + 1) * shape.numel() <= pixels
        if group and not fits:
            yield _joined(group)
            group = []
        group.append(picture)
    if group:
        yield _joined(group)


def _joined(group: list[dict[str, Any]]) -> dict[str, Any]:
    if len(group) == 1:
        return group[0]
    joined: dict[str, Any] = {}
    for key in group[0]:
        values = [picture[key] for picture in group]
        joined[key] = (
            torch.cat(values) if torch.is_tensor(values[0]) else [x for value in values for x in value]
        )
    return joined


def _add_up(sums: dict[str, Tensor], values: dict[str, Values]) -> None:
    """Adds to each value's (sum, count), which stay on the device."""
    for name, value in values.items():
        numbers, where = (
            value if isinstance(value, tuple) else (value, torch.ones_like(value, dtype=torch.bool))
        )
        pair = torch.stack([torch.where(where, numbers, 0).double().sum(), where.double().sum()])
        sums[name] = sums[name] + pair if name in sums else pair


def validation_loader(samples: Dataset, indices: Iterable[int], workers: int = 0) -> DataLoader:
    """Batches of one picture, in order: sizes may differ."""
    return DataLoader(
        _Reporting(samples),
        batch_size=1,
        sampler=indices,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=quiet_worker,
    )


def ranking(values: dict[str, float], recipe: Recipe, name: str) -> float:
    """Of what `validate` found on the pictures `name` the value that ranks checkpoints.

    Raises UserError where it is missing.
    """
    if recipe.selection[0] not in values:
        raise UserError(
            f"none of the pictures of {name} that can be read has a highlight, so that nothing tells a good "
            "checkpoint from a bad one; pass another `val_dataroot`"
        )
    return values[recipe.selection[0]]


def picture_sheet(recipe: Recipe, model: nn.Module, samples: Dataset, distributed: Distributed) -> np.ndarray:
    """(H, W, 3) uint8: the recipe's pictures of the first samples that can be read, a row each."""
    was_training = model.training
    model.eval()
    rows, columns = [], []
    with torch.no_grad():
        for batch in validation_loader(samples, range(len(samples))):
            if isinstance(batch, UserError):  # `validate` has decided that it may be left out
                continue
            sample = to_device(batch, distributed.device)
            pictures = recipe.pictures(sample, model)
            columns = list(pictures)
            panels = [picture[0].permute(1, 2, 0).float().cpu().numpy() for picture in pictures.values()]
            rows.append((sample["name"][0], [shrink(panel, PANEL) for panel in panels]))
            if len(rows) == SHEET_ROWS:
                break
    model.train(was_training)
    return labelled_sheet(columns, rows)


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
