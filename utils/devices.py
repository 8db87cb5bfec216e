"""Which device to compute on, and what the machine is called in a report."""

import os
import platform

import torch

from utils.errors import UserError


def choose_device(name: str) -> torch.device:
    """The device called "auto" (a CUDA device where there is one, else the CPU), "cpu", "cuda:1", "mps", ...

    Raises UserError for one that is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"no device {name!r} here; the device cpu always works") from error
    return device


def describe_machine() -> str:
    """The processor, its cores and the GPU in words, for tables of measurements."""
    cores = f"{processor_name()}, {os.cpu_count()} cores"
    return f"{torch.cuda.get_device_name()}; {cores}" if torch.cuda.is_available() else cores


def processor_name() -> str:
    """The processor's model as the system states it; its architecture where it states none."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
