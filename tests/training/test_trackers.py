"""The command line of train.py; TensorBoard, and Weights & Biases by a stand-in of its interface."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train as script
from recipes.presets import resolve
from training import option_checks
from training.loop import train
from training.options import TrainOptions
from training.trackers import check_trackers
from utils.errors import UserError

STAND_IN = """
import json, pathlib

class Config:
    def update(self, values, allow_val_change):
        note("config", values["model"])

class Run:
    def log(self, values, step=None):
        note("log", step, values)
    def finish(self):
        note("finish")

class Image:
    def __init__(self, pixels):
        assert pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == "uint8"

def note(*what):
    with open(pathlib.Path(__file__).with_name("calls.jsonl"), "a") as file:
        file.write(json.dumps(what, default=lambda thing: type(thing).__name__) + "\\n")

def init(**how):
    if (pathlib.Path(__file__).with_name("offline")).exists():
        raise RuntimeError("no API key")
    note("init", how)
    return Run()

config = Config()
"""


@pytest.fixture
def wandb(tmp_path, monkeypatch):
    """Puts the stand-in on the path; returns what was called, as lists."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "wandb.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    yield lambda: list(map(json.loads, (tmp_path / "site" / "calls.jsonl").read_text().splitlines()))
    sys.modules.pop("wandb", None)


def test_wandb_gets_options_values_and_pictures(tiny, tmp_path, wandb, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "shine")
    assert train(tiny(tracker=["wandb"], pictures=True, max_steps=3)) == 0
    calls = wandb()
    init = calls[0][1]
    assert calls[0][0] == "init"
    assert (init["project"], init["name"], init["dir"]) == ("shine", "run", str(tmp_path / "run"))
    assert (calls[1], calls[-1]) == (["config", "aha-lite"], ["finish"])
    logged = [(step, name) for what, step, values in calls[2:-1] for name in values]
    assert {(1, "train/loss"), (3, "validation/validation/psnr"), (3, "pictures")} <= set(logged)
    assert [step for step, _ in logged] == sorted(step for step, _ in logged)
    assert not (tmp_path / "run" / "tensorboard").exists()

    assert train(tiny(tracker=["wandb"], max_steps=4)) == 0
    _, again = [call[1] for call in wandb() if call[0] == "init"]
    assert (again["id"], again["resume"]) == (init["id"], "allow")


def test_a_wandb_that_does_not_start_is_one_sentence(tiny, tmp_path, wandb):
    (tmp_path / "site" / "offline").touch()
    with pytest.raises(UserError, match=r"wandb did not start \(no API key\).*WANDB_MODE=offline"):
        train(tiny(tracker=["wandb"], max_steps=1))


def test_tensorboard_hides_what_lies_behind_the_checkpoint(tiny, tmp_path):
    train(tiny(tracker=["tensorboard"], pictures=True, max_steps=3))
    train(tiny(tracker=["tensorboard"], pictures=True, max_steps=4))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4]
    assert [event.step for event in events.Images("pictures")] == [3, 4]


def test_trackers_that_cannot_be_had_are_refused_before_anything_is_read(tiny, monkeypatch):
    with pytest.raises(UserError, match="`tracker=none tensorboard`: leave none out"):
        train(tiny(tracker=["none", "tensorboard"], dataroot="there is none"))
    monkeypatch.setattr("training.trackers.find_spec", lambda name: None)
    with pytest.raises(UserError, match="`tracker=wandb`: pip install wandb, or pass another one"):
        train(tiny(tracker=["wandb"], dataroot="there is none"))
    check_trackers(["none"])


# ---- the command line of train.py: quick to print, grouped as its options are declared, checked by tables


ROOT = Path(__file__).resolve().parents[2]


def test_help_does_not_wait_for_torch():
    program = "import sys, train\ntry: train.main(['--help'])\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False", done.stderr


def test_help_is_grouped_and_keeps_the_examples_line_by_line(capsys):
    with pytest.raises(SystemExit):
        script.main(["--help"])
    text = capsys.readouterr().out
    for line in script.__doc__.strip().splitlines():
        assert line.rstrip() in text.splitlines()
    titles = [
        "The run: its folder", "Logs, validations", "Augmentation of", "Optimisers and",
        "Losses of TSHRNet",
    ]  # fmt: skip
    places = [text.index(f"\n{title}") for title in titles]
    assert places == sorted(places)
    assert places[0] < text.index("\n  --runs_name") < places[1]
    assert places[3] < text.index("\n  --lr_g") < places[4] < text.index("\n  --lambda_residue")


def test_ranges_are_checked_by_name():
    assert "lr_decay" not in option_checks.NOT_NEGATIVE
    assert {"lambda_map", "lambda_residue", "lr_g", "lr_d"} <= set(option_checks.NOT_NEGATIVE)
    fields = vars(TrainOptions())
    names = (*option_checks.AT_LEAST_ONE, *option_checks.NOT_NEGATIVE, *option_checks.BELOW_ONE)
    assert all(name in fields for name in names)
    option_checks.validate_options(resolve(TrainOptions(model="tshrnet", lr_decay="intended")))
    for changes in ({"lr_g": float("nan")}, {"lambda_gan": -1.0}, {"ema_decay": 1.0}, {"batch_size": 0}):
        with pytest.raises(UserError, match=f"`{next(iter(changes))}` must be"):
            option_checks.validate_options(resolve(TrainOptions(**changes)))


def test_released_command_lines_keep_their_options():
    words = "--epochs 100 --batch_size 3 --n_class 3 --lr_g 1e-4 --lr_d 1e-4 --lambda_content 10"
    words += " --lambda_perceptual 1 --lambda_gan 1 --lambda_ssim 0.1 --num_workers 1 --latent_channels 48"
    words += " --runs_name r --dataroot d --train_dir train --test_dir test --resume no --recipe released"
    from utils.cli import parse

    options = parse(TrainOptions, words.split(), prog="train.py", description="")
    option_checks.validate_options(resolve(options))
    assert (options.epochs, options.lambda_gan, options.latent_channels) == (100, 1.0, 48)
