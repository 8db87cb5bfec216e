"""Which device is chosen, and what is said where a GPU cannot be used or has too little memory."""

import warnings
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
import yaml

from training.distributed import Distributed
from utils import runs, seeds
from utils.devices import choose_device, describe_machine, out_of_memory
from utils.errors import UserError
from utils.markdown import markdown_table


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


# ---- markdown tables and the choice of a device


def test_a_table():
    text = markdown_table(["method", "dB"], [["a|b", 12.5], ["c", 3]], numeric=True)
    assert text.splitlines() == ["| method | dB |", "| --- | --: |", "| a\\|b | 12.5 |", "| c | 3 |"]
    aligned = markdown_table(["method", "dB"], [["c", 3]], numeric=True, aligned=True)
    assert aligned.splitlines() == ["| method |  dB |", "| ------ | --: |", "| c      |   3 |"]


def test_rows_must_fit_the_head():
    with pytest.raises(ValueError, match="3 cells in a table of 2"):
        markdown_table(["a", "b"], [[1, 2, 3]])


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda")
    for absent in ("cuda:77", "toaster"):
        with pytest.raises(UserError, match=f"no device '{absent}'"):
            choose_device(absent)
    assert "cores" in describe_machine()


# ---- run folders and seeds


@dataclass
class _Options:
    """Options."""

    rate: float = 1e-4
    folders: list[str] = field(default_factory=list)
    name: str | None = None


def test_the_configuration_is_written(tmp_path):
    runs.write_configuration(tmp_path / "run", _Options(folders=["ä"]))
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert written == {"rate": 1e-4, "folders": ["ä"], "name": None}
    code = yaml.safe_load((tmp_path / "run" / "code.yaml").read_text())
    assert {"command", "commit", "python", "libraries"} == set(code)
    assert code["libraries"]["numpy"] == np.__version__


def test_outside_a_checkout_the_commit_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "__file__", str(tmp_path / "utils" / "runs.py"))
    (tmp_path / "utils").mkdir()
    assert runs.git_commit() == "unknown"


def test_draws_are_a_function_of_the_place():
    assert seeds.rng(1, 2).random() == seeds.rng(1, 2).random() != seeds.rng(2, 1).random()
    seeds.seed_torch(1, 2)
    first = torch.rand(3)
    seeds.seed_torch(2, 1)
    assert not torch.equal(torch.rand(3), first)
    seeds.seed_torch(1, 2)
    assert torch.equal(torch.rand(3), first)
