"""Comparing runs bit for bit."""

import torch


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
