"""Randomness as a pure function of a seed and a place, so that nothing has to be remembered to go on.

The second number of a place is its purpose (order, augmentation, weights, ...): draws of different purposes
are independent, and a new one does not shift the others.
"""

import os

import numpy as np
import torch


def rng(*place: int) -> np.random.Generator:
    """A generator for a place such as (seed, purpose, index); equal places give equal draws."""
    return np.random.default_rng(place)


def seed_torch(*place: int) -> None:
    """Seeds torch's default generators (CPU and GPUs) for a place such as (seed, step)."""
    torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> np.uint64(1)))


def make_deterministic() -> None:
    """The same numbers at every run on one machine: only deterministic kernels, no search for fast ones."""
    # cuBLAS reads its workspace from the environment, when first used.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
