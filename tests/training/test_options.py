"""The command line of train.py: quick to print, grouped as its options are declared, checked by tables."""

import subprocess
import sys
from pathlib import Path

import pytest

import train as script
from recipes.presets import resolve
from training import option_checks
from training.options import TrainOptions
from utils.errors import UserError

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
        "The run: its folder",
        "Logs, validations",
        "Augmentation of",
        "Optimisers and",
        "Losses of TSHRNet",
    ]
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
