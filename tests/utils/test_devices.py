"""Which device is chosen, and what is said where a GPU cannot be used or has too little memory."""

import warnings

import pytest
import torch

from training.distributed import Distributed
from utils.devices import choose_device, out_of_memory
from utils.errors import UserError


def test_a_gpu_that_pytorch_cannot_use_is_said(monkeypatch) -> None:
    def too_old() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040). Please update")

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.init", too_old)
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/nvidia-smi")
    with pytest.warns(UserWarning, match=r"driver on your system is too old \(found version 11040\)"):
        assert choose_device("auto").type == "cpu"
    with pytest.warns(UserWarning, match="computing on the CPU"):
        assert Distributed("auto").device.type == "cpu"


def test_a_machine_without_a_gpu_is_silent(monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with warnings.catch_warnings(action="error"):
        assert choose_device("auto").type == "cpu"


def test_more_processes_than_gpus_get_a_sentence(monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    with pytest.raises(UserError, match="8 processes on 2 GPU"):
        Distributed("cuda")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), False),
        (ValueError("ALLOC_FAILED"), False),
    ],
)
def test_errors_of_too_little_memory_are_known(error: Exception, expected: bool) -> None:
    assert out_of_memory(error) is expected
