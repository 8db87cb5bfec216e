"""Which device to compute on, in which floating-point type, and what the machine is called in a report."""

import os
import platform
import shutil
import warnings

import torch

from utils.errors import UserError


def choose_device(name: str) -> torch.device:
    """The device called "auto" (a CUDA device where there is one, else the CPU), "cpu", "cuda:1", "mps", ...

    Raises UserError for one that is not there.
    """
    if name == "auto":
        name = "cuda" if gpu_usable() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"no device {name!r} here; the device cpu always works") from error
    return device


def gpu_usable() -> bool:
    """Whether there is a CUDA device; warns (UserWarning) of a GPU that PyTorch cannot use."""
    if torch.cuda.is_available():
        return True
    if shutil.which("nvidia-smi") is None and not os.path.exists("/proc/driver/nvidia/version"):
        return False
    try:
        torch.cuda.init()
        reason = "it sees none"
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition(".")[0]
    warnings.warn(
        f"this machine has an NVIDIA GPU, but PyTorch {torch.__version__} cannot use it ({reason}); "
        "computing on the CPU",
        stacklevel=3,
    )
    return False


def out_of_memory(error: BaseException) -> bool:
    """Whether the device or the machine lacked memory; cuBLAS and cuDNN raise errors of their own for it."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    signs = ("can't allocate memory", "CUDA error: out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)


def computes_in_bf16(device: torch.device) -> bool:
    """True for GPUs and processors with instructions for bfloat16: others are slower in it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    capabilities = _capabilities() if device.type == "cpu" else {}
    # The environment variable ATEN_CPU_CAPABILITY keeps torch from what the processor has.
    limited = torch.backends.cpu.get_cpu_capability() in ("AVX2", "DEFAULT", "NO AVX")
    return not limited and bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def check_precision(precision: str, device: torch.device) -> None:
    """Raises UserError for "fp16" on a CPU, and for "bf16" on an x86 CPU that does not compute in it.

    There torch convolves without oneDNN: a training step of aha-lite takes 8 to 10 times as long as in fp32,
    one of aha 23 times (an AVX2 processor, one thread).
    """
    if device.type != "cpu":
        return
    if precision == "fp16":
        raise UserError("`precision=fp16` needs a GPU; a CPU takes minutes a picture: pass `precision=fp32`")
    if (
        precision == "bf16"
        and _capabilities().get("architecture") == "x86_64"
        and not computes_in_bf16(device)
    ):
        raise UserError(
            "`precision=bf16`: this processor has no instructions for bfloat16, and takes about ten times as "
            "long as in fp32: pass `precision=fp32`"
        )


def _capabilities() -> dict:
    return getattr(torch.cpu, "get_capabilities", dict)()


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
