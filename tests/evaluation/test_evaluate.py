"""evaluate.py as users call it: files, exit codes, resuming, failures, other programs' results."""

import csv
import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import evaluate
from evaluation import methods, runner
from evaluation.datasets import Pair, find_pairs
from evaluation.methods import ScoredMethod
from evaluation.runner import run
from evaluation.settings import Settings
from tests.evaluation.shiq_pairs import draw, write
from tests.locks import holder_of
from tests.tolerances import SUMMED
from utils import cli
from utils.image_files import read_rgb, write_rgb

SHEN = ("--methods", "shen2013", "--no_sheets")
TWO_METHODS = [ScoredMethod.parse("input"), ScoredMethod.parse("shen2009")]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write(tmp_path / "data", ["a", "b", "c"])
    return tmp_path / "data"


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """Names of the pairs that methods were run on."""
    names: list[str] = []
    original = methods.Remover.__call__
    counted = lambda self, pair, sample: names.append(pair.name) or original(self, pair, sample)  # noqa: E731
    monkeypatch.setattr(methods.Remover, "__call__", counted)
    return names


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Results of another program: half of S removed, nothing but the input's name in common."""
    for i, name in enumerate("abc"):
        layers = draw(i)
        write_rgb(tmp_path / "theirs" / f"{name}_A-removed.png", layers["A"] - layers["S"][..., None] // 2)
    return tmp_path / "theirs"


def call(data: Path, *words: str | Path) -> int:
    """Exit code of evaluate.py with results under data/../out."""
    words = ["--dataroot", data, "--out", data.parent / "out", *words]
    return cli.run(lambda: evaluate.main([str(word) for word in words]))


def table(data: Path) -> dict[str, dict]:
    content = json.loads((data.parent / "out" / "table.json").read_text())
    return {method["method"]: method for method in content["methods"]}


def rows(data: Path) -> list[dict]:
    lines = (data.parent / "out" / "per_image.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_scores_and_files(data: Path, results: Path, capsys) -> None:
    assert call(data, "--methods", f"results:{results}") == 0
    out = data.parent / "out"
    found = table(data)
    assert list(found) == ["input", f"results:{results}"]
    layers = draw(0)
    mse = np.mean((layers["S"].astype(float) / 255) ** 2)
    first = next(row for row in rows(data) if row["name"] == "a" and row["method"] == "input")
    assert (first["values"]["mse.whole"], first["region"]) == (pytest.approx(mse), "T")
    better = found[f"results:{results}"]
    assert better["means"]["psnr.whole"]["value"] > found["input"]["means"]["psnr.whole"]["value"] + 5
    assert better["paired"]["input"]["psnr.whole"]["wins"] == 3
    text = capsys.readouterr().out
    for word in ("n = 3 pairs", "24x24", "protocol native", "11x11 Gaussian", "seed 0", "code "):
        assert word in text
    with open(out / "per_image.csv") as file:
        assert len(list(csv.DictReader(file))) == 6
    with open(out / "table.csv") as file:
        mean = float(next(csv.DictReader(file))["mse.whole"])
    assert mean == pytest.approx(found["input"]["means"]["mse.whole"]["value"])
    tex = (out / "table.tex").read_text()
    assert "\nMethod & PSNR $\\uparrow$ & SSIM $\\uparrow$ \\\\\n" in tex  # what fits a page
    assert "resizebox" not in tex
    assert "| input |" in (out / "table.md").read_text()
    assert sorted(path.name[:5] for path in (out / "sheets").iterdir()) == ["input", "resul"]


def test_a_classical_method_is_run_once(data: Path, calls) -> None:
    assert call(data, *SHEN) == 0
    assert len(calls) == 3
    before = table(data)
    assert call(data, *SHEN) == 0
    assert (len(calls), table(data)) == (3, before)
    assert call(data, *SHEN, "--fresh") == 0
    assert len(calls) == 6


def test_only_what_changed_is_computed_again(data: Path, calls) -> None:
    call(data, *SHEN)
    layers = draw(9)
    write_rgb(data / "b_A.png", layers["A"])
    call(data, *SHEN)
    assert len(calls) == 4
    call(data, *SHEN, "--map_threshold", "otsu")
    assert len(calls) == 7


def test_a_line_cut_short_by_a_kill_is_computed_again(data: Path, calls) -> None:
    call(data, *SHEN)
    file = data.parent / "out" / "native" / "shen2013" / "rows.jsonl"
    os.truncate(file, file.stat().st_size - 20)
    call(data, *SHEN)
    assert len(calls) == 4
    call(data, *SHEN)
    assert len(calls) == 4


def test_a_kept_result_that_was_replaced_is_computed_again(data: Path, calls) -> None:
    call(data, *SHEN)
    write_rgb(data.parent / "out" / "native" / "shen2013" / "a.png", np.zeros((3, 3, 3)))
    call(data, *SHEN)
    assert calls == ["a", "b", "c", "a"]


def test_workers_change_nothing(data: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(runner, "WORKER_START", 0.0)
    pairs = find_pairs(data).pairs
    alone = run(pairs, TWO_METHODS, Settings(), tmp_path / "1", progress=False)
    shared = run(pairs, TWO_METHODS, Settings(), tmp_path / "2", workers=2, progress=False)
    for method in alone:
        assert [row.values for row in alone[method]] == [row.values for row in shared[method]]


def test_processes_are_started_only_where_they_pay(data: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(runner, "ProcessPoolExecutor", None)
    rows = run(find_pairs(data).pairs, TWO_METHODS, Settings(), tmp_path, workers=2, progress=False)
    assert not any(row.error for of_method in rows.values() for row in of_method)


def test_a_method_that_fails_on_one_picture(data: Path, monkeypatch, capsys) -> None:
    original = methods.Remover.__call__

    def failing(self, pair, sample):
        if pair.name == "b":
            raise ZeroDivisionError("division by zero")
        return original(self, pair, sample)

    monkeypatch.setattr(methods.Remover, "__call__", failing)
    assert call(data, "--methods", "shen2013") == 1
    captured = capsys.readouterr()
    assert "shen2013 failed on b: ZeroDivisionError: division by zero" in captured.err
    assert "shen2013 failed on 1" in captured.out
    found = table(data)
    assert (found["shen2013"]["n"], found["shen2013"]["failed"], found["input"]["n"]) == (2, ["b"], 3)
    assert found["shen2013"]["paired"]["input"]["psnr.whole"]["difference"]["n"] == 2
    assert call(data, "--methods", "shen2013", "--allow_missing") == 0


def test_missing_ground_truth_is_named_and_counted(data: Path, capsys) -> None:
    (data / "c_D.png").unlink()
    assert call(data, "--no_sheets") == 1
    err = capsys.readouterr().err
    assert "c_A.png" in err
    assert "1 inputs or ground truths without a partner" in err
    assert call(data, "--no_sheets", "--allow_missing") == 0
    assert table(data)["input"]["n"] == 2


def test_sizes_that_differ_and_broken_files(data: Path, capsys) -> None:
    write_rgb(data / "a_D.png", np.zeros((5, 5, 3)))
    (data / "b_A.png").write_bytes(b"no picture")
    assert call(data, "--methods", "shen2013") == 1
    err = capsys.readouterr().err
    assert err.count("a_D.png is 5x5") == 1
    assert "b_A.png" in err
    assert table(data)["input"]["n"] == 1


def test_whatever_reading_a_pair_raises_is_that_pairs_failure(data: Path, monkeypatch, capsys) -> None:
    original = Pair.load

    def failing(self):
        if self.name == "b":
            raise MemoryError("too large")
        return original(self)

    monkeypatch.setattr(Pair, "load", failing)
    assert call(data, "--no_sheets", "--figures") == 1
    assert "b_A.png: MemoryError: too large" in capsys.readouterr().err
    assert table(data)["input"]["n"] == 2


def test_nothing_can_be_scored(data: Path) -> None:
    for name in "abc":
        (data / f"{name}_A.png").write_bytes(b"no picture")
    assert call(data) == 1
    assert table(data)["input"]["n"] == 0


def test_results_that_lack_a_picture_or_have_another_size(data: Path, results: Path, capsys) -> None:
    (results / "a_A-removed.png").unlink()
    write_rgb(results / "b_A-removed.png", np.zeros((5, 5, 3)))
    assert call(data, "--methods", f"results:{results}") == 1
    err = capsys.readouterr().err
    assert "no picture named a" in err
    assert "b_A-removed.png is 5x5" in err
    assert table(data)[f"results:{results}"]["n"] == 1


def test_a_method_with_some_of_the_results_is_not_ranked(data: Path, results: Path, tmp_path: Path) -> None:
    perfect = tmp_path / "perfect"
    write_rgb(perfect / "a_A.png", draw(0)["D"])
    words = ["--methods", f"few=results:{perfect}", f"results:{results}", "--no_sheets", "--allow_missing"]
    assert call(data, *words) == 0
    lines = (data.parent / "out" / "table.md").read_text().split("**Highlight region**")[0].splitlines()
    few = next(line for line in lines if line.startswith("| few * |"))
    assert "inf" in few
    assert few.endswith(" 1 |")
    assert "**" not in few
    assert "**" in next(line for line in lines if line.startswith("| results:theirs |"))


def test_results_of_other_peoples_names(data: Path, tmp_path: Path, capsys) -> None:
    theirs = tmp_path / "other"
    for i, name in enumerate("abc"):
        write_rgb(theirs / f"{name}_out.png", draw(i)["D"])
        write_rgb(theirs / f"{name}.png", draw(i)["A"])
    words = f"results:{theirs}:{{}}_out.png"
    assert call(data, "--methods", f"ours={words}", f"results:{theirs}", "--no_sheets") == 0
    found = table(data)[words]
    assert (found["label"], found["means"]["psnr.whole"]["infinite"]) == ("ours", 3)
    err = capsys.readouterr().err
    assert "warning: results:other: 3 of 3 results equal the input (a, b, c)" in err
    assert call(data, "--methods", f"results:{theirs}:_out.png") == 2
    assert "must hold {} once" in capsys.readouterr().err


def test_removed_wins_over_the_bare_name(data: Path, results: Path) -> None:
    for i, name in enumerate("abc"):
        write_rgb(results / f"{name}_A.png", draw(i)["A"])
    assert call(data, "--methods", f"results:{results}", "--no_sheets") == 0
    assert table(data)[f"results:{results}"]["means"]["residual.highlight"]["value"] < 60


def test_an_out_that_cannot_be_written_is_told_before_anything_is_computed(data: Path, calls) -> None:
    (data.parent / "out").write_text("a file in the way")
    assert call(data, "--methods", "shen2013") == 1
    assert calls == []


def test_two_evaluations_of_one_folder_do_not_mix(data: Path, capsys) -> None:
    with holder_of(data.parent / "out"):
        assert call(data) == 2
        assert "is in use by process" in capsys.readouterr().err
    assert call(data, "--no_sheets") == 0


def test_what_a_kill_left_is_removed(data: Path) -> None:
    leftovers = [data.parent / "out" / name for name in (".tmp-1.md", "native/shen2013/.tmp-2.png")]
    for path in leftovers:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert call(data, "--no_sheets") == 0
    assert not any(path.exists() for path in leftovers)


def test_regions_and_columns_choose_the_tables(data: Path) -> None:
    words = ["--regions", "highlight", "clipped", "--columns", "psnr", "residual", "--no_sheets"]
    assert call(data, *words) == 0
    text = (data.parent / "out" / "table.tex").read_text()
    assert "left \\%" in text
    assert "SSIM &" not in text
    assert "Whole picture" not in text
    assert "\\label{tab:evaluation}" in text


def test_figures_of_all_methods(data: Path, results: Path, capsys) -> None:
    words = ["--methods", f"half=results:{results}", "--no_sheets", "--figures", "--figure_pictures"]
    assert call(data, *words, "b", "c") == 0
    folder = data.parent / "out" / "figures"
    names = ["pictures.pdf", "pictures.png", "psnr.pdf", "psnr.png"]
    assert sorted(path.name for path in folder.iterdir()) == names
    # Two square pictures under one another and a line of titles; input, half, ground truth, region.
    assert read_rgb(folder / "pictures.png").shape[:2] == (2 * 320 + 60, 4 * 320)
    assert (folder / "pictures.pdf").read_bytes().startswith(b"%PDF")
    assert call(data, *words, "d") == 2
    assert "there is no pair d" in capsys.readouterr().err


def test_what_is_given_for_the_data_wins_over_the_table(data: Path) -> None:
    assert call(data, "--table", "psd", "--dataset", "shiq", "--no_sheets", "--methods", "input") == 0
    assert "shiq, all pairs" in (data.parent / "out" / "table.txt").read_text()


def test_no_highlight_pixels_are_not_applicable(data: Path) -> None:
    for name in "abc":
        write_rgb(data / f"{name}_T.png", np.zeros((24, 24), np.float32))
    assert call(data, "--no_sheets") == 0
    found = table(data)["input"]
    assert (found["n"], found["clean"]) == (0, 3)
    assert found["means"]["psnr.whole"] is None
    values = next(row for row in rows(data) if row["name"] == "a")["values"]
    assert values["psnr.highlight"] is None
    assert values["psnr.rest"] == pytest.approx(values["psnr.whole"])
    assert (values["ber"], values["iou"]) == (0, None)
    text = (data.parent / "out" / "table.txt").read_text()
    assert "n/a" in text.split("Highlight region")[1]
    assert "Pictures without a highlight" in text


def test_pictures_without_a_highlight_are_no_part_of_the_means(data: Path) -> None:
    shutil.copy(data / "a_D.png", data / "a_A.png")
    write_rgb(data / "a_T.png", np.zeros((24, 24), np.float32))
    assert call(data, "--no_sheets") == 0
    found = table(data)["input"]
    assert (found["n"], found["clean"]) == (2, 1)
    finite = [row["values"]["psnr.whole"] for row in rows(data) if row["name"] != "a"]
    assert found["means"]["psnr.whole"]["value"] == pytest.approx(sum(finite) / 2)
    assert found["clean_means"]["psnr.whole"]["infinite"] == 1
    assert "1 without one are reported apart" in (data.parent / "out" / "table.txt").read_text()


def test_identical_pictures(data: Path, capsys) -> None:
    shutil.copy(data / "a_D.png", data / "a_A.png")
    assert call(data, "--no_sheets") == 0
    values = next(row for row in rows(data) if row["name"] == "a")["values"]
    assert values["psnr.whole"] == "inf"
    mean = table(data)["input"]["means"]["psnr.whole"]
    finite = [row["values"]["psnr.whole"] for row in rows(data) if row["name"] != "a"]
    assert (mean["infinite"], mean["value"]) == (1, pytest.approx((100 + sum(finite)) / 3))
    assert "infinite: input whole 1" in capsys.readouterr().out
    call(data, "--no_sheets")  # taken from the kept rows
    assert table(data)["input"]["means"]["psnr.whole"] == mean


def test_protocol_256_resizes_result_and_ground_truth(data: Path) -> None:
    assert call(data, "--no_sheets", "--protocol", "256") == 0
    a, d = (
        cv2.resize(read_rgb(data / f"a_{letter}.png"), (256, 256), interpolation=cv2.INTER_LINEAR)
        for letter in "AD"
    )
    values = next(row for row in rows(data) if row["name"] == "a")["values"]
    assert values["mse.whole"] == pytest.approx(np.mean((a - d) ** 2), rel=SUMMED)
    assert "256x256" in (data.parent / "out" / "table.txt").read_text()


def test_results_are_kept_and_can_be_scored_again(data: Path) -> None:
    call(data, *SHEN)
    kept = data.parent / "out" / "native" / "shen2013"
    assert call(data, "--methods", "shen2013", f"results:{kept}", "--no_sheets") == 0
    found = table(data)
    assert found[f"results:{kept}"]["means"]["psnr.whole"] == found["shen2013"]["means"]["psnr.whole"]


def test_reference_is_run_and_compared_with(data: Path) -> None:
    assert call(data, "--methods", "shen2009", "--reference", "shen2013", "--no_sheets") == 0
    found = table(data)
    assert set(found["shen2009"]["paired"]) == {"input", "shen2013"}
    assert set(found["shen2013"]["paired"]) == {"input"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--methods", "shen2031"], "shen2013"),
        (["--methods", "results:none"], "no folder none"),
        (["--methods", "aha:none.safetensors"], "none.safetensors"),
        (["--metrics", "pnsr"], "choose from psnr"),
        (["--map_threshold", "2"], "(0, 1]"),
        (["--map_threshold", "otzu"], "otsu"),
        (["--test_dir", "tset"], "test_dir"),
        (["--regions", "middle"], "middle"),
        (["--columns", "pnsr"], "pnsr"),
        (["--figures", "--figure_pictures", "nosuch"], "no pair nosuch"),
    ],
)
def test_wrong_options_exit_2_with_a_way_out(data: Path, words, expected: str, capsys) -> None:
    assert call(data, *words) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert expected in err


def test_lpips_without_weights_says_how_to_get_them(data: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert call(data, "--lpips") == 2
    err = capsys.readouterr().err
    assert "alexnet-owt" in err
    assert "torchvision" in err


def test_shiq_table_marks_published_rows_and_ranks_only_ours(data: Path) -> None:
    assert call(data, "--table", "shiq", "--no_sheets") == 0
    text = (data.parent / "out" / "table.md").read_text()
    assert "Neural DRM solver [published]" in text
    assert "| Shen & Zheng 2013 (shen2013) * | 13.923 \\| " in text
    for note in (text, (data.parent / "out" / "table.tex").read_text()):
        assert "Zheng 2013: 13.923 dB reported" in note
        assert "an unknown number of pictures there, over 3 here; the method was written anew" in note
    for line in text.splitlines():
        if "[published]" in line:
            assert "**" not in line
            assert "<u>" not in line
    assert "\\textbf" in (data.parent / "out" / "table.tex").read_text()


def test_a_list_of_absolute_paths_leaves_the_inputs_alone(data: Path, tmp_path: Path) -> None:
    paths = [str(data / f"a_{layer}.png") for layer in "ASDD"]
    (tmp_path / "one.lst").write_text(" ".join(paths))
    before = (data / "a_A.png").read_bytes()
    assert call(data, "--list_file", tmp_path / "one.lst", "--methods", "shen2013", "yang2010") == 0
    assert (data / "a_A.png").read_bytes() == before
    results = sorted(path for path in (tmp_path / "out").rglob("a_A.png"))
    methods = [path.relative_to(tmp_path / "out" / "native").parts[0] for path in results]
    assert methods == ["shen2013", "yang2010"]
