"""infer.py as its users meet it: folders, bad files, bad options, several processes, Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import infer
from models import build_model
from utils.cli import run
from utils.image_files import Picture, read_picture, write_picture
from weights.model_files import load_model, save_model

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A tiny aha-lite whose map is neither zero nor one."""
    torch.manual_seed(0)
    model = build_model("aha-lite", widths=(4, 4, 4), dilations=(2,), trunk_channels=(4, 4, 4))
    with torch.no_grad():
        model.HFE.scores1.bias.fill_(0.3)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_model(model, path)
    return path


@pytest.fixture(scope="module")
def silent(weights):
    """The same with a map that is zero everywhere."""
    model = load_model(weights)
    with torch.no_grad():
        for scores in (model.HFE.scores1, model.HFE.scores2, model.HFE.scores3):
            scores.weight.zero_()
            scores.bias.fill_(-10)  # a bounded map is a sigmoid stretched beyond 0
    save_model(model, weights.with_name("zero.safetensors"))
    return weights.with_name("zero.safetensors")


def _pixels(shape=(24, 40, 3), dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def _save(path, pixels=None, **picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, Picture(_pixels() if pixels is None else pixels, **picture))


def _infer(folder, out, *options):
    argv = ["--input_dir", str(folder), "--output_dir", str(out), *map(str, options)]
    try:
        return run(partial(infer.main, argv))
    except SystemExit as end:
        return end.code


def _tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_released_command(tmp_path, weights, capsys):
    for name in ("a.png", "ünï cödé & spaces.PNG", "b.c.d.jpeg"):
        _save(tmp_path / "in" / name)
    assert _infer(tmp_path / "in", tmp_path / "out", "--infer_model", weights, "--save_highlight") == 0
    results = {"a-removed.png", "ünï cödé & spaces-removed.PNG", "b.c.d-removed.jpeg"}
    maps = {"a-HFE.png", "ünï cödé & spaces-HFE.png", "b.c.d-HFE.png"}
    assert set(_tree(tmp_path / "out")) == results | maps
    said = capsys.readouterr().out
    assert "done 3, skipped 0, failed 0" in said
    assert f"aha-lite with weights {weights}; results: {tmp_path / 'out'}" in said
    assert read_picture(tmp_path / "out" / "a-HFE.png").pixels.shape == (24, 40)


@pytest.mark.parametrize("protocol", ["native", "released"])
def test_repeatable_whatever_order_batch_and_workers(tmp_path, weights, protocol):
    for seed in range(4):
        _save(tmp_path / "in" / f"{seed}.png", _pixels(seed=seed))
    common = ("--infer_model", weights, "--protocol", protocol, "--comparison", "--save_specular")
    common += ("--save_highlight",)
    assert _infer(tmp_path / "in", tmp_path / "a", *common) == 0
    assert _infer(tmp_path / "in", tmp_path / "b", *common, "--batch_size", 3, "--workers", 1) == 0
    assert _infer(tmp_path / "in" / "[3210].png", tmp_path / "c", *common, "--workers", 3) == 0
    first = _tree(tmp_path / "a")
    assert len(first) == 16
    assert first == _tree(tmp_path / "b") == _tree(tmp_path / "c")
    assert _infer(tmp_path / "in" / "2.png", tmp_path / "d", *common) == 0
    assert _tree(tmp_path / "d").items() <= first.items()


def test_zero_highlight_gives_the_input_bit_for_bit(tmp_path, silent):
    alpha8, alpha16 = _pixels((24, 40)), _pixels((24, 40), np.uint16)
    pictures = {
        "rgb8.png": Picture(_pixels()),
        "rgb16.png": Picture(_pixels(dtype=np.uint16)),
        "grey8.png": Picture(alpha8),
        "grey16.tif": Picture(alpha16),
        "rgba8.png": Picture(_pixels(), alpha8),
        "rgba16.png": Picture(_pixels(dtype=np.uint16), alpha16),
        "rgb8.webp": Picture(_pixels()),
        "float.tif": Picture(_pixels().astype(np.float32) / 255),
        "large.png": Picture(_pixels((70, 1500, 3))),
    }
    for name, picture in pictures.items():
        _save(tmp_path / "in" / name, picture.pixels, alpha=picture.alpha)
    assert _infer(tmp_path / "in", tmp_path / "out", "--infer_model", silent, "--ext", "auto") == 0
    for name, picture in pictures.items():
        # rgb8 comes in two formats, so its names keep them.
        path = Path(name)
        stem = f"rgb8_{path.suffix[1:]}" if path.stem == "rgb8" else path.stem
        back = read_picture(tmp_path / "out" / f"{stem}-removed{path.suffix}")
        assert back.pixels.dtype == picture.pixels.dtype
        assert np.array_equal(back.pixels, picture.pixels)
        assert (back.alpha is None) == (picture.alpha is None)
        assert back.alpha is None or np.array_equal(back.alpha, picture.alpha)


def test_bad_pictures_are_named_and_the_others_done(tmp_path, weights, capsys):
    folder = tmp_path / "in"
    _save(folder / "good.png")
    whole = (folder / "good.png").read_bytes()
    (folder / "text.png").write_text("not a picture")
    (folder / "empty.png").write_bytes(b"")
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    _save(folder / "whole.jpg", _pixels((200, 200, 3)))
    jpeg = (folder / "whole.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    tifffile.imwrite(folder / "bright.tif", _pixels().astype(np.float32), photometric="rgb")
    os.symlink("loop.png", folder / "loop.png")
    (folder / "folder.png").mkdir()
    bad = ["text.png", "empty.png", "cut.png", "cut.jpg", "bright.tif", "loop.png"]
    if hasattr(os, "geteuid") and os.geteuid():
        _save(folder / "secret.png")
        (folder / "secret.png").chmod(0)
        bad.append("secret.png")
    assert _infer(folder, tmp_path / "out", "--infer_model", weights) == 1
    printed = capsys.readouterr()
    assert f"done 2, skipped 0, failed {len(bad)}" in printed.out
    failures = [line for line in printed.err.splitlines() if line.strip().startswith("failed:")]
    assert len(failures) == len(bad)
    for name in bad:
        assert any(name in line for line in failures)
    assert set(_tree(tmp_path / "out")) == {"good-removed.png", "whole-removed.jpg"}


def test_unusual_pictures_work(tmp_path, weights, capsys):
    folder = tmp_path / "in"
    _save(folder / "dot.png", _pixels((1, 1, 3)))
    _save(folder / "line.png", _pixels((3, 2000, 3)))
    _save(folder / "tall.png", _pixels((2000, 3)))
    Image.fromarray(_pixels()).convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(_pixels()).quantize(16).save(folder / "palette.png")
    frames = [Image.fromarray(_pixels(seed=seed)) for seed in range(3)]
    frames[0].save(folder / "film.gif", save_all=True, append_images=frames[1:])
    tifffile.imwrite(folder / "float.tif", _pixels().astype(np.float32) / 255, photometric="rgb")
    assert _infer(folder, tmp_path / "out", "--infer_model", weights, "--ext", "auto") == 0
    said = capsys.readouterr().err
    for words in ("CMYK", "first of its 3 frames", "written as PNG, not GIF"):
        assert words in said
    sizes = {p.name: read_picture(p).pixels.shape for p in (tmp_path / "out").glob("*-removed.*")}
    assert sizes == {
        "dot-removed.png": (1, 1, 3), "line-removed.png": (3, 2000, 3), "tall-removed.png": (2000, 3),
        "cmyk-removed.jpg": (24, 40, 3), "palette-removed.png": (24, 40, 3),
        "film-removed.png": (24, 40, 3), "float-removed.tif": (24, 40, 3),
    }  # fmt: skip


def test_metadata_and_orientation_are_kept(tmp_path, weights):
    exif = Image.Exif()
    exif[271], exif[0x0112] = "Maker of cameras", 6
    (tmp_path / "in").mkdir()
    Image.fromarray(_pixels()).save(tmp_path / "in" / "a.jpg", exif=exif, icc_profile=b"a profile")
    assert _infer(tmp_path / "in", tmp_path / "out", "--infer_model", weights, "--ext", "auto") == 0
    with Image.open(tmp_path / "out" / "a-removed.jpg") as result:
        assert (result.size, result.getexif()[271]) == ((24, 40), "Maker of cameras")
        assert (result.getexif()[0x0112], result.info["icc_profile"]) == (1, b"a profile")


def test_twins_keep_their_suffix_and_recursive_mirrors(tmp_path, weights):
    for name in ("a.png", "a.jpg", "sub/a.png", "sub/deep er/b.png"):
        _save(tmp_path / "in" / name)
    common = ("--infer_model", weights, "--recursive", "--ext", "png")
    assert _infer(tmp_path / "in", tmp_path / "out", *common) == 0
    below = {"sub/a-removed.png", "sub/deep er/b-removed.png"}
    assert set(_tree(tmp_path / "out")) == {"a_png-removed.png", "a_jpg-removed.png"} | below
    assert _infer(tmp_path / "in" / "**" / "*.png", tmp_path / "glob", *common) == 0
    assert set(_tree(tmp_path / "glob")) == {"a-removed.png"} | below


def test_skip_existing_wants_every_file(tmp_path, weights, capsys):
    for seed in range(3):
        _save(tmp_path / "in" / f"{seed}.jpg", _pixels(seed=seed))
    common = ("--infer_model", weights, "--skip_existing", "--save_highlight")
    assert _infer(tmp_path / "in", tmp_path / "out", *common, "--limit", 2) == 0
    (tmp_path / "out" / "1-HFE.png").unlink()
    assert _infer(tmp_path / "in", tmp_path / "out", *common) == 0
    assert "done 2, skipped 1, failed 0" in capsys.readouterr().out
    assert _infer(tmp_path / "in", tmp_path / "out", *common, "--save_specular") == 0
    assert "done 3, skipped 0" in capsys.readouterr().out


def test_dry_run_writes_nothing(tmp_path, weights, capsys):
    _save(tmp_path / "in" / "a.png")
    assert _infer(tmp_path / "in", tmp_path / "out", "--infer_model", weights, "--dry_run") == 0
    assert "a-removed." in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_names_too_long_for_a_result_cost_that_picture_only(tmp_path, capsys):
    long = "n" * 251 + ".png"  # as long as names may be: no room for -removed
    for name in (long, "a.png"):
        _save(tmp_path / "in" / "x.png")
        os.rename(tmp_path / "in" / "x.png", tmp_path / "in" / name)
    for _ in range(2):
        assert _infer(tmp_path / "in", tmp_path / "out", "--method", "input", "--skip_existing") == 1
        assert "nnn.png: cannot write" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a-removed.png"]


def test_names_that_are_no_text_are_shown(tmp_path, capsys):
    _save(tmp_path / "in" / "x.png")
    os.rename(tmp_path / "in" / "x.png", os.fsencode(tmp_path / "in") + b"/\xff.png")
    assert _infer(tmp_path / "in", tmp_path / "out", "--method", "input", "--dry_run") == 0
    assert "\\xff.png" in capsys.readouterr().out
    assert _infer(tmp_path / "in", tmp_path / "out", "--method", "input") == 0


@pytest.mark.parametrize("out", ["loop", "o" * 300])
def test_an_output_folder_that_cannot_be_is_a_sentence(tmp_path, out):
    _save(tmp_path / "in" / "a.png")
    os.symlink("loop", tmp_path / "loop")
    assert _infer(tmp_path / "in", tmp_path / out, "--method", "input") in (1, 2)


def test_never_over_an_input(tmp_path, weights, capsys):
    _save(tmp_path / "in" / "a.png")
    _save(tmp_path / "in" / "a-removed.png")
    before = _tree(tmp_path / "in")
    common = ("--infer_model", weights)
    assert _infer(tmp_path / "in", tmp_path / "in", *common) == 2
    assert _infer(tmp_path / "in", tmp_path / "in" / "out", *common, "--recursive") == 2
    assert _infer(tmp_path / "in" / "*.png", tmp_path / "in", *common) == 2
    assert _infer(tmp_path / "in" / "a.png", tmp_path / "in", *common, "--suffix", "") == 2
    assert "overwrite" in capsys.readouterr().err
    clash = ("--suffix", "-HFE", "--save_highlight")
    assert _infer(tmp_path / "in" / "a.png", tmp_path / "in", *common, *clash) == 2
    assert _tree(tmp_path / "in") == before


@pytest.mark.parametrize(
    "options",
    [
        ("--ext", "xyz"), ("--suffix", "/x"), ("--tile", "3"), ("--tile_overlap", "100000"),
        ("--infer_model", "/nowhere.safetensors"), ("--bogus",), ("--protocol", "other"),
        ("--method", "nonsense"), ("--output", "diffuse"), ("--limit", "0"), ("--batch_size", "0"),
        ("--device", "nonsense"), ("--precision", "fp8"), ("--input_dir", "/nowhere"),
        ("--input_dir", "/nowhere/*.png"),
    ],
)  # fmt: skip
def test_bad_options_are_a_sentence_and_code_2(tmp_path, weights, capsys, options):
    _save(tmp_path / "in" / "a.png")
    assert _infer(tmp_path / "in", tmp_path / "out", "--infer_model", weights, *options) == 2
    said = capsys.readouterr().err
    assert "error:" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", ["--help", "-i /nowhere -o x", "-i . -o x --infer_model /no.safetensors"])
def test_what_can_be_refused_is_refused_before_torch_is_imported(options):
    code = f"import sys, infer; from utils.errors import run\ntry: run(lambda: infer.main({options.split()}))"
    code += "\nexcept SystemExit: pass\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")


def test_empty_folder_and_unwritable_output(tmp_path, weights, capsys):
    (tmp_path / "in").mkdir()
    assert _infer(tmp_path / "in", tmp_path / "out", "--infer_model", weights) == 2
    assert "no pictures" in capsys.readouterr().err
    _save(tmp_path / "in" / "a.png")
    (tmp_path / "file").write_text("")
    assert _infer(tmp_path / "in", tmp_path / "file" / "out", "--infer_model", weights) == 2
    assert "file" in capsys.readouterr().err


def _start(*argv):
    if sys.platform == "win32":
        pytest.skip("sends POSIX signals")
    # Where the tests run in the background of a shell, Ctrl-C is ignored, and children inherit that.
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, *map(str, argv)], cwd=ROOT, env=environment, **streams, **heard)


@pytest.mark.slow
def test_two_processes_share_the_list(tmp_path, weights):
    for seed in range(5):
        _save(tmp_path / "in" / f"{seed}.png", _pixels(seed=seed))
    (tmp_path / "in" / "bad.png").write_text("no")
    common = ("--infer_model", weights, "--input_dir", tmp_path / "in")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    process = _start(*launcher, "infer.py", *common, "--output_dir", tmp_path / "two")
    out, err = process.communicate(timeout=900)
    assert process.returncode == 1, err
    assert out.count("done ") == 1
    assert "done 5, skipped 0, failed 1" in out
    assert err.count("failed: ") == 1
    assert _infer(tmp_path / "in", tmp_path / "one", "--infer_model", weights) == 1
    assert _tree(tmp_path / "one") == _tree(tmp_path / "two")


@pytest.mark.slow
def test_interrupted_leaves_no_half_file(tmp_path, weights):
    for seed in range(60):
        _save(tmp_path / "in" / f"{seed}.png", _pixels((300, 300, 3), seed=seed))
    out = tmp_path / "out"
    process = _start("infer.py", "-i", tmp_path / "in", "-o", out, "--infer_model", weights)
    deadline = time.time() + 600
    while not (out.exists() and any(out.glob("*-removed.png"))) and time.time() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    names = [p.name for p in out.iterdir()]
    assert 0 < len(names) < 120
    assert all(name.endswith(".png") and not name.startswith(".") for name in names)
    for path in out.iterdir():
        read_picture(path)


def test_the_authors_weights_that_are_not_there(tmp_path, capsys):
    _save(tmp_path / "in" / "a.png")
    assert _infer(tmp_path / "in", tmp_path / "out", "--infer_model", tmp_path / "Nature.mdl") == 2
    said = capsys.readouterr().err
    assert "github.com/LittleFocus2201/ICASSP2024" in said
    assert "leave --infer_model out to use the shipped network" in said
