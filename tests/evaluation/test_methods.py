"""What the words after --methods mean."""

from pathlib import Path

import pytest

from evaluation.methods import ResultsSpec, ScoredMethod, labels
from restoration.methods import MethodSpec
from utils.errors import UserError


def test_each_kind_of_word(tmp_path: Path) -> None:
    weights = tmp_path / "x.safetensors"
    weights.write_bytes(b"1")
    (tmp_path / "a:b").mkdir()
    meanings = {
        "shen2013": MethodSpec("shen2013"),
        f"aha:{weights}": MethodSpec("aha", weights),
        f"{weights}@4": MethodSpec(None, weights, 4),
        "results:out": ResultsSpec(Path("out")),
        "results:out:{}_D": ResultsSpec(Path("out"), "{}_D"),
        f"results:{tmp_path}/a:b": ResultsSpec(tmp_path / "a:b"),
    }
    for text, meaning in meanings.items():
        assert ScoredMethod.parse(text) == ScoredMethod(text, meaning)
        assert ScoredMethod.parse(f"ours (new)={text}") == ScoredMethod(text, meaning, "ours (new)")
    with pytest.raises(UserError, match="once"):
        ScoredMethod.parse("results:out:_D")


def test_a_path_with_an_equals_sign_is_a_path(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lr=3.safetensors").write_bytes(b"1")
    assert ScoredMethod.parse("lr=3.safetensors").weights == Path("lr=3.safetensors")
    assert ScoredMethod.parse("runs/lr=3/best.safetensors").name is None


def test_labels_are_short_and_tell_apart() -> None:
    words = ["results:a/x", "results:b/x", "results:b/y", "mine=results:c/y", "shen2013"]
    assert list(labels([ScoredMethod.parse(word) for word in words]).values()) == [
        "results:a/x",
        "results:b/x",
        "results:y",
        "mine",
        "shen2013",
    ]


def test_the_hash_follows_the_content_of_the_weights(tmp_path: Path) -> None:
    for name in ("UNet1_60.pth", "UNet2_60.pth"):
        (tmp_path / name).write_bytes(name.encode())
    method = ScoredMethod.parse(f"tshrnet:{tmp_path}")
    before = method.weights_hash()
    (tmp_path / "UNet2_60.pth").write_bytes(b"other")
    assert method.weights_hash() not in (None, before)
    assert ScoredMethod.parse("shen2013").weights_hash() is None
