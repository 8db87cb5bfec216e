"""Which floating-point type the network runs in, and the network made ready for it."""

import contextlib
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor, nn

from models.inference import prepare_for_inference
from utils.colour import psnr
from utils.devices import check_precision, computes_in_bf16
from utils.errors import UserError

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Type of the wide convolutions; None: as the weights are."""

CLOSE = 50
"""PSNR in dB from which on bf16 passes for fp32: on average they differ by less than an 8-bit level."""


def ready(network: nn.Module, device: torch.device, precision: str) -> tuple[nn.Module, str]:
    """A copy of the network on `device`, prepared for inference, and its precision; `network` stays as it is.

    precision  "fp32", "bf16", "fp16", or "auto": bf16 on a GPU or a processor that computes in it, where the
               network allows it and the diffuse layer of a probe picture is within CLOSE of fp32's, else fp32

    Raises UserError for another precision, and for one that the CPU does not compute in.
    """
    if precision not in ("auto", *PRECISIONS):
        raise UserError(f"no precision {precision!r}: choose auto, {', '.join(PRECISIONS)}")
    check_precision(precision, device)
    if not any(True for _ in network.parameters()):
        return network.to(device).eval(), "fp32"  # a classical method: nothing to prepare

    def prepared(name: str) -> nn.Module:
        return prepare_for_inference(network, dtype=PRECISIONS[name]).to(device)

    if precision != "auto":
        return prepared(precision), precision
    exact = prepared("fp32")
    if network.spec.bf16 and computes_in_bf16(device):
        close = prepared("bf16")
        if closeness(exact, close, device) >= CLOSE:
            return close, "bf16"
    return exact, "fp32"


def closeness(exact: nn.Module, close: nn.Module, device: torch.device) -> float:
    """PSNR in dB of the diffuse layer of one network against another's, on a probe picture; 0 where nothing
    is removed from it, which proves nothing."""
    probe = probe_picture().to(device)
    with torch.inference_mode(), arithmetic(device, "fp32"):
        wanted, found = exact(probe), close(probe)
    if not wanted.specular.any():
        return 0.0
    error = (wanted.diffuse - found.diffuse).double().square().mean().item()
    return psnr(error)


def arithmetic(device: torch.device, precision: str) -> AbstractContextManager:
    """The context in which a network runs in `precision` on `device`."""
    if precision == "fp32" and device.type == "cuda":
        # By default cuDNN convolves float32 in TF32, with 10 bits of mantissa.
        return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    return contextlib.nullcontext()


def probe_picture(side: int = 128) -> Tensor:
    """(1, 3, side, side) in [0, 1]: coloured gradients, texture and a few burnt-out highlights."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:side, 0:side] / side
    image = np.stack([0.2 + 0.5 * x, 0.6 - 0.4 * y, 0.3 + 0.3 * x * y]) + rng.normal(0, 0.02, (3, side, side))
    for centre_y, centre_x, radius in rng.random((6, 3)) * (1, 1, 0.08):
        image += np.exp(-((y - centre_y) ** 2 + (x - centre_x) ** 2) / (radius**2 + 1e-4))
    return torch.from_numpy(np.clip(image, 0, 1).astype(np.float32))[None]
