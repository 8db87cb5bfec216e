"""What a kept score depends on."""

import json
import shutil
from pathlib import Path

import pytest

from evaluation.rows import Row, slug
from evaluation.score_cache import ROOT, ScoreCache, source_files, source_hash
from evaluation.scored_pairs import Pair
from evaluation.settings import Settings
from utils.errors import WriteError


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The source files that scoring can run, alone in a folder."""
    for file in source_files():
        target = tmp_path / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    return tmp_path


@pytest.mark.parametrize(
    "file",
    [
        "data/regions.py",
        "utils/colour.py",
        "weights/model_files.py",
        "models/aha.py",
        "restoration/tiling.py",
        "classical/yoon2006.py",
        "evaluation/metrics.py",
        "evaluation/lpips_metric.py",
    ],
)
def test_a_change_of_any_file_that_scoring_runs_changes_the_hash(copy: Path, file: str) -> None:
    before = source_hash(copy)
    assert before == source_hash()
    source_hash.cache_clear()
    (copy / file).write_text((copy / file).read_text() + "\n# changed\n")
    assert source_hash(copy) != before


def test_code_that_scoring_does_not_run_is_no_part_of_it() -> None:
    packages = {file.relative_to(ROOT).parts[0] for file in source_files()}
    assert not packages & {"training", "recipes", "synthetic", "tools", "tests"}


class Twice:
    """A method whose result lies in a file."""

    timed = False

    def __init__(self, folder: Path):
        self.folder = folder

    def files(self, pair: Pair) -> dict[str, Path]:
        return {"result": self.folder / f"{pair.name}.png"}


def pair(folder: Path, name: str = "a") -> Pair:
    return Pair(name, {"input": folder / f"{name}_A.png", "diffuse": folder / f"{name}_D.png"})


def test_lines_that_are_no_rows_are_passed_over(tmp_path: Path) -> None:
    kept = ScoreCache(tmp_path, Settings())
    method, one = Twice(tmp_path), pair(tmp_path)
    kept.keep("m", method, one, Row("m", "a", {"psnr.whole": 30.0}))
    file = tmp_path / "native" / "m" / "rows.jsonl"
    odd = [[], 3, None, {"key": "x"}, {"key": "x", "row": 5}, {"key": "x", "row": {"values": {}, "new": 1}}]
    lines = [json.dumps(line) for line in odd]
    file.write_bytes(("\n".join(lines) + file.read_text()).encode() + b"\n\xff\xfe{")
    found = ScoreCache(tmp_path, Settings()).finished("m", method, [one])
    assert found["a"].values == {"psnr.whole": 30.0}


def test_names_of_scores_are_in_memory_once() -> None:
    record = '{"method": "m", "name": "a", "values": {"psnr.whole": 1.0}, "size": null, "kept": null}'
    first, second = (Row.from_json(json.loads(record)) for _ in range(2))
    assert next(iter(first.values)) is next(iter(second.values))


def test_rows_that_cannot_be_written_are_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "native" / "m" / "rows.jsonl").mkdir(parents=True)
    kept = ScoreCache(tmp_path, Settings())
    assert kept.finished("m", Twice(tmp_path), [pair(tmp_path)]) == {}
    with pytest.raises(WriteError, match=r"cannot write .*rows\.jsonl"):
        kept.keep("m", Twice(tmp_path), pair(tmp_path), Row("m", "a"))


def test_folders_of_long_method_names_can_be_made() -> None:
    assert slug("shen2013") == "shen2013"
    long = [f"results:{'x' * 400}{letter}/y" for letter in "ab"]
    assert len({slug(spec) for spec in long}) == 2
    assert all(len(slug(spec)) < 120 for spec in long)


def test_another_setting_or_another_file_is_another_score(tmp_path: Path) -> None:
    method, one = Twice(tmp_path), pair(tmp_path)
    ScoreCache(tmp_path, Settings()).keep("m", method, one, Row("m", "a"))
    assert ScoreCache(tmp_path, Settings()).finished("m", method, [one])
    assert not ScoreCache(tmp_path, Settings(map_threshold="otsu")).finished("m", method, [one])
    linear = Pair(one.name, one.files, linear=True)
    assert not ScoreCache(tmp_path, Settings()).finished("m", method, [linear])
    one.files["diffuse"].write_bytes(b"new")
    assert not ScoreCache(tmp_path, Settings()).finished("m", method, [one])
