"""The scoreboard's two tables, from pairs that are drawn."""

import json
import re

import pytest

from tests.evaluation import shiq_pairs
from tools import scoreboard
from utils.errors import UserError


def test_a_column_per_data_set_and_what_people_see(tmp_path, capsys):
    shiq_pairs.write(tmp_path / "data" / "shiq", ["90001", "90002"])
    words = ["--data", str(tmp_path / "data"), "--methods", "shen2009", "--per_image"]
    assert scoreboard.main([*words, "--append", str(tmp_path / "board.md")]) == 0
    out = capsys.readouterr().out
    assert out.count("shiq (2)") == 2
    assert re.search(r"\| shen2009 +\| [+-]\d+\.\d\d \[[+-]", out)  # gain over the input with its interval
    inputs = [line for line in out.splitlines() if line.startswith("| input")]
    assert len(inputs) == 2
    assert inputs[1].split("|")[2].split(" / ")[2] == "100"  # all of the highlight is left
    assert "shiq/90001: " in out
    assert inputs[0] in (tmp_path / "board.md").read_text()


def test_a_folder_without_any_of_the_data_sets_is_named(tmp_path):
    with pytest.raises(UserError, match="shiq_figures"):
        scoreboard.main(["--data", str(tmp_path)])


def test_strength_reaches_the_methods(tmp_path, capsys):
    shiq_pairs.write(tmp_path / "shiq", ["90001"])
    for strength in ("0", "1"):
        words = ["--data", str(tmp_path), "--methods", "shen2009", "--strength", strength]
        assert scoreboard.main(words) == 0
    untouched, changed = capsys.readouterr().out.split("| method")[1::3]
    rows = [[line.split("|")[2] for line in table.splitlines()[2:4]] for table in (untouched, changed)]
    assert rows[0][0] == rows[0][1]
    assert rows[1][0] != rows[1][1]


def test_no_pair_is_in_both_halves_and_a_half_is_scored_alone(tmp_path, capsys):
    halves = json.loads(scoreboard.HALVES.read_text())
    choose, score = (
        {(name, pair) for name in halves[h] for pair in halves[h][name]} for h in ("choose", "score")
    )
    assert not choose & score
    assert {name for name, _ in choose | score} == set(scoreboard.GROUPS)
    shiq_pairs.write(tmp_path / "shiq", ["90001", "90003", "90005"])
    for half, count in (("choose", 2), ("score", 1), ("all", 3)):
        assert scoreboard.main(["--data", str(tmp_path), "--methods", "shen2009", "--half", half]) == 0
        assert f"shiq ({count})" in capsys.readouterr().out
