"""Which floating-point type the network runs in."""

import contextlib
from contextlib import AbstractContextManager, ExitStack

import numpy as np
import torch
from torch import Tensor, nn

from utils.errors import UserError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# Two 8-bit levels: less than what JPEG at high quality changes.
CLOSE = 2 / 255


def choose_precision(network: nn.Module, device: torch.device, name: str) -> str:
    """'auto' is fp32 on the CPU; on CUDA bf16 where it is proved close on a probe picture, else fp32.

    Close: no value of the diffuse layer differs from fp32 by more than 2/255.
    """
    if name not in ("auto", *PRECISIONS):
        raise UserError(f"no precision {name!r}: choose auto, {', '.join(PRECISIONS)}")
    if name == "fp16" and device.type == "cpu":
        raise UserError("fp16 takes minutes a picture on the CPU: choose fp32 or bf16")
    if name != "auto":
        return name
    if device.type != "cuda" or not torch.cuda.is_bf16_supported():
        return "fp32"
    probe = probe_picture().to(device)
    results = []
    for precision in ("fp32", "bf16"):
        with torch.inference_mode(), arithmetic(device, precision):
            results.append(network(probe).diffuse.float())
    difference = (results[0] - results[1]).abs().max().item()
    return "bf16" if difference <= CLOSE else "fp32"


def arithmetic(device: torch.device, precision: str) -> AbstractContextManager:
    """The context in which a network runs in `precision` on `device`."""
    stack = ExitStack()
    if precision != "fp32":
        stack.enter_context(torch.autocast(device.type, dtype=PRECISIONS[precision]))
    elif device.type == "cuda":
        # By default cuDNN convolves float32 in TF32, with 10 bits of mantissa.
        stack.enter_context(torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False))
    else:
        stack.enter_context(contextlib.nullcontext())
    return stack


def probe_picture(side: int = 256) -> Tensor:
    """(1, 3, side, side) in [0, 1]: coloured gradients, texture and a few burnt-out highlights."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:side, 0:side] / side
    image = np.stack([0.2 + 0.5 * x, 0.6 - 0.4 * y, 0.3 + 0.3 * x * y]) + rng.normal(0, 0.02, (3, side, side))
    for centre_y, centre_x, radius in rng.random((6, 3)) * (1, 1, 0.08):
        image += np.exp(-((y - centre_y) ** 2 + (x - centre_x) ** 2) / (radius**2 + 1e-4))
    return torch.from_numpy(np.clip(image, 0, 1).astype(np.float32))[None]
