"""Whole runs in one process: files, resume, best checkpoints, refusals."""

import json
import shutil
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from models import MODELS, ModelSpec, Separation
from models.build import Entry
from recipes.presets import resolve
from restoration import HighlightRemover
from tests.restoration.fakes import needs_bf16
from tests.tolerances import ROUNDED
from tests.training.compare import assert_same_run, log_lines
from training.build import build_run
from training.distributed import Distributed
from training.loop import train
from utils.errors import UserError, with_flags
from utils.image_files import read_rgb, write_rgb
from weights.model_files import load_model, read_metadata


def test_a_run_leaves_its_record(tiny, tmp_path, pairs):
    before = sorted(path.stat().st_mtime_ns for path in pairs.rglob("*"))
    shown = {"tracker": ["tensorboard"], "pictures": True, "curves": True}
    assert train(tiny(keep_checkpoints=2, ema_decay=0.9, **shown)) == 0
    run = tmp_path / "run"
    assert [line["step"] for line in log_lines(run, "train")] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in log_lines(run, "validation")] == [3, 6]
    assert {"content", "ssim", "loss", "lr_generator", "epoch"} <= log_lines(run, "train")[0].keys()
    assert {"psnr", "psnr_input", "ssim"} <= log_lines(run, "validation")[0].keys()
    assert len(list(run.glob("best-*.pt"))) == 2
    assert next(path.name for path in (run / "tensorboard").iterdir()).startswith("events.")
    sheet = read_rgb(run / "pictures" / "00000006.png")
    assert sheet.shape[0] > 32
    assert sheet.shape[1] > 5 * 32  # input, highlight map, coarse, refined, ground truth
    assert read_rgb(run / "curves.png").shape[:2] == (900, 800)  # train, learning rates, validation
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["max_steps"], config["gan_term"]) == (6, "corrected")
    code = yaml.safe_load((run / "code.yaml").read_text())
    assert code["libraries"]["torch"] == torch.__version__.split("+")[0]
    training = read_metadata(run / "best.safetensors")["training"]
    assert (training["recipe"], training["seed"]) == ("corrected", 0)
    for weights in ("best.safetensors", "last.safetensors"):
        assert load_model(run / weights)(torch.rand(1, 3, 17, 23)).diffuse.shape == (1, 3, 17, 23)
    assert sorted(path.stat().st_mtime_ns for path in pairs.rglob("*")) == before


def test_the_averaged_weights_are_saved(tiny, tmp_path):
    train(tiny(ema_decay=0.9, max_steps=3))
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    saved = load_model(tmp_path / "run" / "last.safetensors").state_dict()
    name = next(name for name in saved if name.endswith("conv.weight"))
    assert torch.equal(saved[name], state["average"][name])
    assert not torch.equal(saved[name], state["networks"]["model"][name])


def test_the_average_follows_its_formula(tiny, tmp_path):
    average = None
    for steps in (1, 2, 3):
        train(tiny(ema_decay=0.5, max_steps=steps))
        state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
        name = next(name for name in state["average"] if name.endswith("conv.weight"))
        decay = min(0.5, steps / (9 + steps))
        if average is not None:
            expected = decay * average + (1 - decay) * state["networks"]["model"][name]
            assert torch.allclose(state["average"][name], expected, atol=ROUNDED)
        average = state["average"][name]


@pytest.mark.parametrize(("workers", "optimizer"), [(0, "adamw"), (1, "adamw"), (0, "muon")])
def test_resuming_with_changes_of_pace_is_exact(tiny, tmp_path, workers, optimizer):
    common = {
        "optimizer": optimizer, "ema_decay": 0.9, "grad_accumulation": 2, "clip_grad": 1.0,
        "num_workers": workers,
    }  # fmt: skip
    common |= {"lr_schedule": "cosine", "warmup_steps": 2, "rotate": True, "crop": 24}
    common |= {"highlight_scaling": 0.5, "exposure_jitter": 0.3, "temperature_jitter": 0.1}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(tiny(runs_name=str(whole), keep_checkpoints=2, **common))
    # Put back in time: the checkpoint of step 3, while the log and the best weights are of step 6.
    shutil.copytree(whole, parts)
    shutil.copy(parts / "best-00000003.pt", parts / "last.pt")
    train(tiny(runs_name=str(parts), keep_checkpoints=2, **common))
    assert_same_run(whole, parts)


def test_gan_and_released_recipe_train_and_write_the_authors_file(tiny, tmp_path):
    options = {"lambda_gan": 1.0, "lambda_perceptual": 1.0, "perceptual_weights": "random", "size": 64}
    assert train(tiny(max_steps=2, val_every=2, **options)) == 0
    line = log_lines(tmp_path / "run", "train")[-1]
    assert {"gan", "perceptual", "discriminator", "lr_discriminator"} <= line.keys()


def test_keep_checkpoints_keeps_the_best(tiny, tmp_path):
    train(tiny(max_steps=8, val_every=1, keep_checkpoints=3))
    values = {line["step"]: line["psnr"] for line in log_lines(tmp_path / "run", "validation")}
    best = sorted(values, key=values.get, reverse=True)[:3]
    kept = [int(path.stem.removeprefix("best-")) for path in (tmp_path / "run").glob("best-*.pt")]
    assert sorted(kept) == sorted(best)
    assert read_metadata(tmp_path / "run" / "best.safetensors")["training"]["steps"] == best[0]


def test_resuming_weights_averages_from_them_and_keeps_the_best(tiny, tmp_path):
    run = tmp_path / "run"
    train(tiny(ema_decay=0.9, max_steps=4, val_every=2, keep_checkpoints=2))
    before = torch.load(run / "last.pt", weights_only=True)
    kept = {path.name for path in run.glob("best-*.pt")}
    train(tiny(ema_decay=0.9, max_steps=5, val_every=100, resume_state="weights", lr_g=0.0))
    average = torch.load(run / "last.pt", weights_only=True)["average"]
    # With a rate of zero the weights stay, and so must their average.
    names = [name for name in average if name.endswith("conv.weight")]
    assert all(torch.equal(average[name], before["networks"]["model"][name]) for name in names)
    assert kept < {path.name for path in run.glob("best-*.pt")}


def test_pictures_without_highlights_do_not_choose(tiny, pairs, tmp_path, capsys):
    folder = tmp_path / "val"
    shutil.copytree(pairs / "test", folder)
    shutil.copy(folder / "14001_D.png", folder / "14001_A.png")
    train(tiny(val_dataroot=[str(folder)], max_steps=1))
    lines = log_lines(tmp_path / "run", "validation/val")
    line = next(line for line in lines if line["kind"] == "validation/val")
    assert line["share_clean"] == pytest.approx(1 / 3)
    assert line["gain"] == pytest.approx(line["psnr"] - line["psnr_input"])
    assert line["psnr_input"] < 40 < 100
    assert line["psnr_clean"] > 0
    best = torch.load(tmp_path / "run" / "last.pt", weights_only=True)["progress"]["best"]
    assert best[0][0] == line["gain"]
    assert "chosen on 3 pictures (val)" in capsys.readouterr().err
    for name in ("14002", "14003"):
        shutil.copy(folder / f"{name}_D.png", folder / f"{name}_A.png")
    with pytest.raises(UserError, match=r"none of the 3 pictures of val has a highlight"):
        train(tiny(val_dataroot=[str(folder)], runs_name=str(tmp_path / "clean")))
    assert not (tmp_path / "clean").exists()


def test_a_split_without_highlights_grows(tiny, pairs, tmp_path, capsys):
    """The released command line on a small set whose one picture of validation has none."""
    folder = tmp_path / "small"
    shutil.copytree(pairs, folder)
    chosen = build_run(resolve(tiny(dataroot=str(folder))), Distributed("cpu", "fp32")).samples
    (name,) = [sample["name"] for sample in chosen.validation["validation"]]
    stem = name.rpartition("/")[2].removesuffix(".png")
    shutil.copy(folder / "train" / f"{stem}_D.png", folder / "train" / f"{stem}_A.png")
    assert train(tiny(dataroot=str(folder), max_steps=1)) == 0
    said = capsys.readouterr().err
    assert "no picture that --val_share 0.05 keeps for validation has a highlight, so that 1 more" in said
    (line,) = log_lines(tmp_path / "run", "validation")
    assert line["share_clean"] == 0.5
    # As the authors do: on the test pictures.
    released = tiny(dataroot=str(folder), recipe="released", val_size=0, runs_name=str(tmp_path / "r"))
    samples = build_run(resolve(released), Distributed("cpu", "fp32")).samples
    assert len(samples.validation["test"]) == 3


def test_missing_imagenet_weights_are_named_at_once(tiny, tmp_path, monkeypatch):
    def offline(url, *_):
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    options = {"model": "aha", "hyperparameters": [], "latent_channels": 6, "lambda_perceptual": 1.0}
    with pytest.raises(UserError) as caught:
        train(tiny(**options))
    for words in (
        "org/models/resnet34-",
        "org/models/vgg16-",
        str(tmp_path / "cache" / "hub"),
        "imagenet=false",
    ):
        assert words in str(caught.value)
    assert not (tmp_path / "run" / "last.pt").exists()
    with pytest.raises(UserError, match="resnet34") as caught:
        train(tiny(**options | {"lambda_perceptual": 0.0}))
    assert "vgg16" not in str(caught.value)
    assert train(tiny(**options | {"max_steps": 1, "val_every": 9}, imagenet=False)) == 0


def test_early_stop(tiny, tmp_path):
    train(tiny(max_steps=50, val_every=1, lr_g=0.0, early_stop=2, ema_decay=0.0))
    assert torch.load(tmp_path / "run" / "last.pt", weights_only=True)["progress"]["step"] <= 10


def test_overfit_validates_on_what_it_trains(tiny, tmp_path):
    train(tiny(overfit=2, max_steps=20, lr_g=5e-3, val_every=20, lr_schedule="constant"))
    values = log_lines(tmp_path / "run", "validation/overfit")
    assert values[-1]["psnr"] > values[-1]["psnr_input"]


def test_dry_run_writes_nothing(tiny, tmp_path, capsys):
    assert train(tiny(dry_run=True)) == 0
    assert not (tmp_path / "run").exists()
    text = capsys.readouterr().out
    assert "7 samples an epoch" in text
    assert "validation validation: 1 samples" in text
    assert "parameters" in text


def test_dry_run_downloads_nothing(tiny, monkeypatch):
    monkeypatch.setattr("weights.backbones.pretrained_state", lambda *_: pytest.fail("downloaded"))
    options = {"model": "aha", "hyperparameters": ["widths=[6,6,12]"], "lambda_perceptual": 1.0}
    assert train(tiny(dry_run=True, **options)) == 0


def test_the_test_split_is_not_used_unless_released(tiny, pairs, tmp_path):
    root = tmp_path / "no_test"
    shutil.copytree(pairs / "train", root / "train")
    assert train(tiny(dataroot=str(root), max_steps=1)) == 0
    with pytest.raises(UserError, match="test"):
        train(tiny(dataroot=str(root), recipe="released", runs_name=str(tmp_path / "r")))


def test_a_loss_that_is_not_a_number_stops_the_run(tiny, tmp_path, monkeypatch):
    train(tiny(max_steps=3))
    good = (tmp_path / "run" / "last.pt").read_bytes()
    monkeypatch.setattr("losses.content.content", lambda *_: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(UserError, match=r"nan at step 4, pictures \d{5}, \d{5}.*last good checkpoint"):
        train(tiny(max_steps=6))
    assert (tmp_path / "run" / "last.pt").read_bytes() == good


def test_weights_that_are_not_finite_are_never_saved(tiny, tmp_path):
    train(tiny(max_steps=2, val_every=2))
    good = (tmp_path / "run" / "last.pt").read_bytes()
    # A step at that rate ruins the weights: what stays is what the first two steps have left.
    with pytest.raises(UserError, match=r"(not finite|no number|nan|inf).*good checkpoint, of step 2,"):
        train(tiny(max_steps=40, val_every=100, checkpoint_every=100, lr_g=1e30))
    assert (tmp_path / "run" / "last.pt").read_bytes() == good


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataroot": "nowhere"}, "dataroot nowhere: there is no such folder"),
        ({"n_class": 4}, "--n_class 4"),
        ({"perceptual_weights": "none", "lambda_perceptual": 1.0}, "--lambda_perceptual 0"),
        ({"lambda_gan": 1.0, "size": 24}, "too small for the discriminator: train at 32"),
        ({"model": "resnet"}, "resnet"),
        ({"recipe": "mine"}, "--recipe mine"),
        ({"recipe": "tshrnet"}, "does not train --model aha-lite"),
        ({"redraw_attention": True}, "no contextual attention"),
        ({"lambda_map": -1.0}, "--lambda_map must be a number that is not negative"),
        ({"num_workers": -1}, "--num_workers must"),
        ({"drop_last": True, "batch_size": 100}, "--drop_last false"),
        ({"backbone_weights": "imagenet"}, "no ResNet-34 trunk"),
        (
            {"backbone_weights": "x.pth", "model": "aha", "hyperparameters": []},
            "x.pth: there is no such file",
        ),
        ({"hyperparameters": ["depth=3"]}, "depth"),
        ({"init_from": "weights.safetensors"}, "weights.safetensors"),
        ({"precision": "fp16"}, "--precision fp16 needs a GPU"),
        ({"channels_last": True}, "oneDNN corrupts memory in this layout"),
        ({"device": "tpu"}, "--device tpu"),
        ({"resume": "gone.pt"}, "gone.pt: there is no such checkpoint"),
        ({"batch_size": 0}, "--batch_size must be at least 1"),
        ({"betas": [0.9]}, "--betas"),
        ({"layout": "voc"}, "voc"),
        ({"crop": 100, "size": 0}, "smaller than the crop of 100 pixels"),
        ({"val_share": 0.0}, "nothing to validate on"),
        ({"dataroot": None, "scene_options": ["gloss=1"]}, "there is no gloss"),
        ({"exposure_jitter": -0.5}, "--exposure_jitter must be a number that is not negative"),
        ({"lambda_content": 0.0, "lambda_ssim": 0.0}, "nothing would be trained"),
    ],
)
def test_refusals_tell_the_way_out(tiny, changes, words):
    with pytest.raises(UserError) as caught:
        train(tiny(**changes))
    assert words in with_flags(str(caught.value))


def test_resuming_with_another_network_is_refused(tiny):
    train(tiny(max_steps=1))
    with pytest.raises(UserError, match=r"is a checkpoint of aha-lite .*widths.*another `runs_name`"):
        train(tiny(max_steps=2, hyperparameters=["widths=[4,4,12]"]))
    with pytest.raises(UserError, match="already holds a run"):
        train(tiny(resume="no"))


def test_resuming_a_damaged_or_foreign_checkpoint_is_refused(tiny, tmp_path):
    train(tiny(max_steps=1))
    last = tmp_path / "run" / "last.pt"
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"not a readable checkpoint: .*last.pt"):
        train(tiny())
    torch.save({"weights": torch.zeros(1)}, last)
    with pytest.raises(UserError, match="`init_from="):
        train(tiny())


def test_resuming_with_another_optimiser_is_refused(tiny):
    train(tiny(max_steps=1))
    with pytest.raises(UserError, match=r"trained with `optimizer=adamw`.*`resume_state=weights`"):
        train(tiny(optimizer="muon"))
    train(tiny(optimizer="muon", resume_state="weights"))


def test_the_authors_checkpoint_has_no_place_for_muon(tiny):
    with pytest.raises(UserError, match="`authors_checkpoint`"):
        train(tiny(optimizer="muon", authors_checkpoint=True))


def test_init_from_takes_weights_only(tiny, tmp_path):
    train(tiny(max_steps=2))
    first = str(tmp_path / "run" / "last.safetensors")
    train(tiny(runs_name=str(tmp_path / "next"), init_from=first, max_steps=1, lr_g=0.0, ema_decay=0.0))
    # lr 0: the weights stay what they were; only batch statistics move.
    a = load_model(first).state_dict()
    b = load_model(tmp_path / "next" / "last.safetensors").state_dict()
    trained = [name for name, _ in load_model(first).named_parameters()]
    assert all(torch.equal(a[name], b[name]) for name in trained)
    assert [line["step"] for line in log_lines(tmp_path / "next", "train")] == [1]


def test_init_from_may_bound_the_map(tiny, tmp_path):
    first = str(tmp_path / "run" / "last.safetensors")
    train(tiny(max_steps=1))
    bounded = {"init_from": first, "max_steps": 1, "hyperparameters": ["bounded=true"]}
    train(tiny(runs_name=str(tmp_path / "next"), **bounded))
    assert load_model(tmp_path / "next" / "last.safetensors").HFE.bounded


def test_bad_files_in_the_middle_of_an_epoch(tiny, pairs, tmp_path, capsys):
    root = tmp_path / "broken"
    shutil.copytree(pairs, root)
    bad = root / "train" / "00003_D.png"
    bad.write_bytes(bad.read_bytes()[:200])
    options = {"dataroot": str(root), "val_share": 0.1, "max_steps": 8}
    with pytest.raises(UserError, match=r"00003_D\.png"):
        train(tiny(**options))
    assert train(tiny(runs_name=str(tmp_path / "skip"), skip_bad_files=True, **options)) == 0
    assert "00003_D.png" in capsys.readouterr().err
    (root / "train" / "00004_D.png").unlink()
    with pytest.raises(UserError, match=r"00004_A\.png has no diffuse picture 00004_D beside it"):
        train(tiny(**options))


def test_one_missing_specular_layer_does_not_change_how_highlights_are_scaled(tiny, pairs, tmp_path):
    root = tmp_path / "partial"
    shutil.copytree(pairs, root)
    next((root / "train").glob("*_S.png")).unlink()
    with pytest.raises(UserError, match=r"specular layer, which 1 of \d+ samples do not have"):
        train(tiny(dataroot=str(root), highlight_scaling=0.5, max_steps=1))


def test_sixteen_bit_and_differing_sizes(tiny, pairs, tmp_path):
    root = tmp_path / "deep"
    shutil.copytree(pairs, root)
    for path in (root / "train").glob("*_A.png"):
        write_rgb(path, read_rgb(path), bits=16)
    with pytest.raises(UserError, match=r"_A\.png has more than 8 bits.*sixteen_bit to scale"):
        train(tiny(dataroot=str(root)))
    assert train(tiny(dataroot=str(root), sixteen_bit="scale", max_steps=1)) == 0
    for path in (root / "train").glob("*_D.png"):
        write_rgb(path, np.zeros((60, 64, 3)))
    with pytest.raises(UserError, match=r"_D\.png is 64x60 but .*_A\.png is 64x64"):
        train(tiny(dataroot=str(root), runs_name=str(tmp_path / "sizes"), sixteen_bit="scale"))


def test_losses_that_need_missing_layers_are_refused(tiny, pairs, tmp_path):
    root = tmp_path / "plain"
    shutil.copytree(pairs, root)
    for path in root.rglob("*_[ST].png"):
        path.unlink()
    with pytest.raises(UserError, match=r"mask, specular|specular, mask"):
        train(tiny(dataroot=str(root), lambda_specular=1.0, lambda_map=1.0))
    names = ("specular", "map", "achromatic", "direct")
    assert train(tiny(max_steps=1, **{f"lambda_{name}": 1.0 for name in names})) == 0


def test_synthetic_scenes_without_a_data_set(tiny, tmp_path):
    options = {"dataroot": None, "val_scenes": 1, "max_steps": 2, "size": 32, "scenes_per_epoch": 4}
    assert train(tiny(**options)) == 0
    assert log_lines(tmp_path / "run", "validation/scenes")


def test_validation_folders_are_reported_by_name(tiny, tmp_path, pairs):
    folders = [str(pairs / "test"), str(pairs / "train")]
    train(tiny(val_dataroot=folders, max_steps=1))
    kinds = {line["kind"] for line in log_lines(tmp_path / "run", "validation")}
    assert kinds == {"validation/test", "validation/train", "validation/validation"}


def test_the_released_recipe(tiny, tmp_path, pairs):
    options = {
        "model": "aha",
        "hyperparameters": ["widths=[6,6,12]", "dilations=[2,2,2,2]"],
        "recipe": "released",
    }
    options |= {"backbone_weights": "none", "lambda_gan": 1.0, "size": 64, "max_steps": 1, "val_every": 9}
    assert train(tiny(**options)) == 0
    run = tmp_path / "run"
    authors = torch.load(run / "Nature.mdl", weights_only=True)
    assert set(authors) == {"epoch", "model", "optimizer"}
    assert all(name.startswith("module.") for name in authors["model"])
    # Their entries only, so that their own code loads it strictly.
    golden = Path(__file__).parents[1] / "golden"
    theirs = json.loads((golden / "aha_released_generator_keys.json").read_text())
    assert {name.removeprefix("module.") for name in authors["model"]} == set(theirs)
    critic = torch.load(run / "Nature-1-discriminator.mdl", weights_only=True)["model"]
    theirs = json.loads((golden / "aha_released_discriminator_keys.json").read_text())
    assert {name.removeprefix("module.") for name in critic} == set(theirs)
    assert log_lines(run, "validation")[0]["kind"] == "validation/test"
    seed = torch.load(run / "last.pt", weights_only=True)["seed"]
    train(tiny(**options | {"max_steps": 2}))
    state = torch.load(run / "last.pt", weights_only=True)
    assert state["seed"] == seed
    # Resumed with weights only: the optimiser has seen one step, not two.
    steps = {int(entry["step"]) for entry in state["optimisers"]["generator"]["state"].values()}
    assert steps == {1}


def test_an_order_drawn_once_is_written_down(tiny, tmp_path):
    train(tiny(shuffle="once", max_steps=1))
    names = (tmp_path / "run" / "pairs.csv").read_text().split()
    assert len(names) == 7
    assert set(names) < {f"{i:05d}" for i in range(1, 9)}


def test_the_command_line_and_its_configuration(tiny, tmp_path, pairs, monkeypatch, capsys):
    import train as script

    words = ["--runs_name", str(tmp_path / "run"), "--dataroot", str(pairs), "--train_dir", "train"]
    words += ["--test_dir", "test", "--model", "aha-lite", "--hyperparameters", "widths=[4,4,8]"]
    words += ["--lambda_gan", "0", "--lambda_perceptual", "0", "--size", "32", "--max_steps", "1"]
    words += ["--num_workers", "0", "--tracker", "none", "--no_pictures", "--device", "cpu"]
    monkeypatch.setattr("sys.argv", ["train.py", *words])
    assert script.main() == 0
    config = tmp_path / "run" / "config.yaml"
    again = ["train.py", "--config", str(config), "--runs_name", str(tmp_path / "again")]
    monkeypatch.setattr("sys.argv", again)
    assert script.main() == 0
    assert (tmp_path / "again" / "log.jsonl").read_bytes() == (tmp_path / "run" / "log.jsonl").read_bytes()
    config.write_text(config.read_text() + "learning_rate: 3\n")
    with pytest.raises(SystemExit) as caught:
        script.main()
    assert caught.value.code == 2
    assert "learning_rate" in capsys.readouterr().err


def test_one_flat_folder_is_split_by_the_official_list(tiny, pairs, tmp_path, capsys):
    root = tmp_path / "flat"
    shutil.copytree(pairs / "train", root)
    for path in (pairs / "test").iterdir():
        shutil.copy(path, root)
    assert train(tiny(dataroot=str(root), dry_run=True)) == 0
    assert "7 samples an epoch" in capsys.readouterr().out
    train(tiny(dataroot=str(root), dry_run=True, selection_split="test"))
    text = capsys.readouterr().out
    assert "8 samples an epoch" in text
    assert "validation test: 3 samples" in text


@pytest.mark.parametrize(
    "changes", [pytest.param({"precision": "bf16"}, marks=needs_bf16), {"channels_last": True}]
)
def test_other_arithmetic_stays_near(tiny, tmp_path, changes):
    wide = {"hyperparameters": ["widths=[4,4,8]", "trunk_channels=[8,8,8]", "dilations=[2]"]}
    for name, options in (("plain", {}), ("other", changes)):
        train(tiny(runs_name=str(tmp_path / name), max_steps=2, val_every=2, **wide, **options))
    plain, other = (log_lines(tmp_path / name, "train")[0] for name in ("plain", "other"))
    # The first loss: a forward pass of 20 layers, each of which bf16 rounds by 4e-3 / 2 at random.
    assert other["loss"] == pytest.approx(plain["loss"], rel=0.02)


def test_only_the_layers_that_losses_need_are_read(tiny, monkeypatch):
    def keys(**options):
        run = build_run(resolve(tiny(**options)), Distributed("cpu"))
        return run.samples.training.keys, run.samples.validation["validation"].keys

    assert keys() == (["input", "diffuse"], ["input", "diffuse"])
    assert keys(lambda_map=1.0) == (["input", "diffuse", "mask"], ["input", "diffuse"])
    assert keys(highlight_scaling=0.3) == (["input", "diffuse", "specular"], ["input", "diffuse"])


class Dimmer(nn.Module):
    """A network as CONTRIBUTING describes them: one estimate, and no stages."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 3, 1))

    def forward(self, image):
        specular = self.layers(image).sigmoid() * image
        return Separation(image - specular, specular, specular.abs().amax(1, keepdim=True))


def test_a_network_of_ones_own_is_one_entry_in_the_table(tiny, tmp_path, monkeypatch):
    spec = ModelSpec("dummy", {"width": 4}, multiple=1, has_map=False)
    monkeypatch.setitem(MODELS, "dummy", Entry(Dimmer, spec))
    options = {"model": "dummy", "hyperparameters": [], "lambda_gan": 1.0, "pictures": True}
    assert train(tiny(max_steps=2, val_every=2, **options)) == 0
    picture = np.full((20, 30, 3), 90, np.uint8)
    restored = HighlightRemover.from_pretrained(tmp_path / "run", device="cpu")(picture)
    assert restored.diffuse.mean() < 90
    for changes, words in (
        ({"lambda_direct": 1.0}, "the stage 'coarse'"),
        ({"recipe": "tshrnet"}, "corrected"),
    ):
        with pytest.raises(UserError, match=words):
            train(tiny(**options | changes, runs_name=str(tmp_path / "other")))
