"""Comparing runs bit for bit, and reading their logs."""

import json

import torch


def log_lines(folder, kind):
    """Lines of a run's log of the kinds that begin so."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"].startswith(kind)]


def assert_equal(a, b, place=""):
    """Equality of nested tensors and plain values; options, and with them the hash, may differ."""
    if torch.is_tensor(a):
        assert torch.equal(a, b), place
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), place
        for key in a.keys() - {"options", "sha256"}:
            assert_equal(a[key], b[key], f"{place}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), place
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{place}/{index}")
    else:
        assert a == b, (place, a, b)


def assert_same_run(a, b):
    """Equal weights, optimisers, averages, progress and logs of two run folders."""
    x, y = (torch.load(folder / "last.pt", weights_only=True) for folder in (a, b))
    assert_equal(x, y)
    assert (a / "log.jsonl").read_bytes() == (b / "log.jsonl").read_bytes()
    names = sorted(path.name for path in a.iterdir())
    assert names == sorted(path.name for path in b.iterdir())
