"""Markdown tables and the choice of a device."""

import pytest
import torch

from utils.devices import choose_device, describe_machine
from utils.errors import UserError
from utils.markdown import markdown_table


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
