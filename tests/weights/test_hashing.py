"""The hash of contents."""

import pytest
import torch

from weights.hashing import content_hash


def test_equal_contents_have_equal_hashes():
    weight = torch.arange(6.0).reshape(2, 3)
    a = {"w": weight, "steps": 3, "rates": [0.1, None], "name": "é"}
    b = {"name": "é", "rates": (0.1, None), "steps": 3, "w": weight.t().contiguous().t()}
    assert content_hash(a) == content_hash(b)
    # Across processes and versions: the value is stored in files.
    assert content_hash({"a": [1, "b"], "t": torch.ones(2, dtype=torch.bfloat16)}).startswith(
        "920f2d217ede59f0"
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["ab", "c"], ["a", "bc"]),
        ([["a"], "b"], [["a", "b"]]),
        (1, True),
        (1, 1.0),
        ("1", 1),
        (b"a", "a"),
        (torch.zeros(2, 3), torch.zeros(3, 2)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.int32)),
        (torch.zeros(2), torch.tensor([0.0, -0.0])),
        ({"a": None}, {}),
    ],
)
def test_different_contents_have_different_hashes(first, second):
    assert content_hash(first) != content_hash(second)


def test_scalars_and_empty_tensors_have_a_hash():
    assert content_hash(torch.tensor(3)) != content_hash(torch.tensor(4))
    assert content_hash(torch.empty(0, 3)) != content_hash(torch.empty(3, 0))


def test_objects_have_none():
    with pytest.raises(TypeError, match="no hash of a set"):
        content_hash({1, 2})
