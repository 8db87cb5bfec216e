"""What a kept score depends on, and what the words after --methods mean."""

import json
from pathlib import Path

import pytest

from evaluation import runner
from evaluation.datasets import Pair
from evaluation.methods import ResultsSpec, ScoredMethod, labels
from evaluation.runner import ScoreCache, slug
from evaluation.scoring import Row
from evaluation.settings import Settings
from restoration.methods import MethodSpec
from utils.errors import UserError, WriteError


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair("a", {"input": tmp_path / "a_A.png", "diffuse": tmp_path / "a_D.png"})


@pytest.fixture
def scores(tmp_path: Path) -> ScoreCache:
    return cache(tmp_path)


def cache(out: Path, settings: Settings | None = None, **options) -> ScoreCache:
    return ScoreCache(ScoredMethod.parse("input"), settings or Settings(), out, **options)


def test_lines_that_are_no_rows_are_passed_over(tmp_path: Path, scores: ScoreCache, pair: Pair) -> None:
    scores.keep(pair, Row("input", "a", {"psnr.whole": 30.0}))
    file = tmp_path / "native" / "input" / "rows.jsonl"
    odd = [[], 3, None, {"key": "x"}, {"key": "x", "row": 5}, {"key": "x", "row": {"values": {}, "new": 1}}]
    lines = [json.dumps(line) for line in odd]
    file.write_bytes(("\n".join(lines) + file.read_text()).encode() + b"\n\xff\xfe{")
    assert cache(tmp_path).finished([pair])["a"].values == {"psnr.whole": 30.0}


def test_keys_of_scores_are_in_memory_once() -> None:
    record = '{"method": "m", "name": "a", "values": {"psnr.whole": 1.0}, "size": null, "kept": null}'
    first, second = (Row.from_json(json.loads(record)) for _ in range(2))
    assert next(iter(first.values)) is next(iter(second.values))


def test_rows_that_cannot_be_written_are_a_sentence(tmp_path: Path, scores: ScoreCache, pair: Pair) -> None:
    (tmp_path / "native" / "input" / "rows.jsonl").mkdir(parents=True)
    assert scores.finished([pair]) == {}
    with pytest.raises(WriteError, match=r"cannot write .*rows\.jsonl"):
        scores.keep(pair, Row("input", "a"))


def test_folders_of_long_method_names_can_be_made() -> None:
    assert slug("shen2013") == "shen2013"
    long = [f"results:{'x' * 400}{letter}/y" for letter in "ab"]
    assert len({slug(text) for text in long}) == 2
    assert all(len(slug(text)) < 120 for text in long)


def test_another_setting_or_another_file_is_another_score(
    tmp_path: Path, scores: ScoreCache, pair: Pair
) -> None:
    scores.keep(pair, Row("input", "a"))
    assert cache(tmp_path).finished([pair])
    for other in (Settings(map_threshold="otsu"), Settings(metrics=("psnr",)), Settings(strength=0.5)):
        assert not cache(tmp_path, other).finished([pair])
    assert not cache(tmp_path).finished([Pair("a", pair.files, linear=True)])
    pair.files["diffuse"].write_bytes(b"new")
    assert not cache(tmp_path).finished([pair])


def test_another_commit_or_other_weights_are_another_score(
    tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "x.safetensors"
    weights.write_bytes(b"1")
    method = ScoredMethod.parse(str(weights))
    ScoreCache(method, Settings(), tmp_path).keep(pair, Row(method.text, "a"))
    assert ScoreCache(method, Settings(), tmp_path).finished([pair])
    with monkeypatch.context() as patched:
        patched.setattr(runner, "code_version", lambda: "0.2.0 another")
        assert not ScoreCache(method, Settings(), tmp_path).finished([pair])
    weights.write_bytes(b"2")
    assert not ScoreCache(method, Settings(), tmp_path).finished([pair])


def test_fresh_discards_the_scores(tmp_path: Path, scores: ScoreCache, pair: Pair) -> None:
    scores.keep(pair, Row("input", "a"))
    assert not cache(tmp_path, fresh=True).finished([pair])
    assert not cache(tmp_path).finished([pair])


# ---- what the words after --methods mean


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
    short = list(labels([ScoredMethod.parse(word) for word in words]).values())
    assert short == ["results:a/x", "results:b/x", "results:y", "mine", "shen2013"]


def test_the_hash_follows_the_content_of_the_weights(tmp_path: Path) -> None:
    for name in ("UNet1_60.pth", "UNet2_60.pth"):
        (tmp_path / name).write_bytes(name.encode())
    method = ScoredMethod.parse(f"tshrnet:{tmp_path}")
    before = method.weights_hash()
    (tmp_path / "UNet2_60.pth").write_bytes(b"other")
    assert method.weights_hash() not in (None, before)
    assert ScoredMethod.parse("shen2013").weights_hash() is None
