"""train.py in double precision: what is summed in another order then differs by 1e-16, not by 1e-7."""

import sys

import torch

import train
import training.loop
import training.validation
from training.stream import to_device


def doubled(batch, device, **layout):
    batch = to_device(batch, device, **layout)
    return {k: v.double() if torch.is_tensor(v) and v.is_floating_point() else v for k, v in batch.items()}


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    training.loop.to_device = training.validation.to_device = doubled
    sys.exit(train.main())
