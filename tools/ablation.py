"""Trains variants of aha-lite on equal budgets and compares them on held-out scenes and on real pairs.

    python -m synthetic --out runs/scenes --train 20000 --test 300 --size 192 --composition mixed
    python -m tools.ablation --scenes runs/scenes --data ../shared/data --out runs/ablation

Each variant is a run of train.py with the options of `BASE` and its own; a second call goes on where the
first stopped. All share data, seed, steps, batch and augmentation. One seed each: intervals (95 %, bootstrap)
are over pictures, and say nothing about other seeds.
"""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evaluation.datasets import find_pairs
from evaluation.scoring import Row
from evaluation.settings import Settings
from evaluation.statistics import capped
from tools.scene_scores import COLUMNS, interval, score_scenes
from tools.scoreboard import find_groups
from utils import cli
from utils.atomic import write_text
from utils.errors import UserError
from utils.markdown import markdown_table

BASE = (
    "--model aha-lite --lambda_content 0 --lambda_ssim 0 --lambda_gan 0 --lambda_perceptual 0 "
    "--lambda_squared 100 --lambda_log 0.03 --log_floor 1e-5 --lambda_direct 2 --lambda_map 0.3 "
    "--size 0 --crop 96 --rotate --highlight_scaling 0.3 --exposure_jitter 0.3 --temperature_jitter 0.05 "
    "--batch_size 8 --lr_g 2e-3 --lr_schedule cosine --warmup_steps 50 --clip_grad 1 "
    "--val_every 1000000 --backbone_weights none"
)
RESNET = "--hyperparameters widths=[12,24,48] achromatic=true"
VARIANTS = {
    "base": "",
    "bounded map": "--hyperparameters bounded=true",
    "coloured light allowed": "--hyperparameters achromatic=false",
    "without map supervision": "--lambda_map 0",
    "without direct term": "--lambda_direct 0",
    "with untouched term": "--lambda_untouched 0.05",
    "with highlight term": "--lambda_highlight 0.1",
    "with specular supervision": "--lambda_specular 10",
    "with SSIM": "--lambda_ssim 0.1",
    "with adversarial term": "--lambda_gan 0.1 --gan_term corrected",
    "with perceptual term (random VGG-16)": "--lambda_perceptual 1 --perceptual_weights random",
    "with Muon": "--optimizer muon",
    "without residual pairs": "--hyperparameters residual=false",
    "L1 alone": "--lambda_squared 0 --lambda_log 0 --lambda_direct 0 --lambda_content 10",
    "figure topology, ResNet-34": f"--model aha-figure {RESNET}",
    "released topology, ResNet-34": f"--model aha {RESNET}",
}
REAL = "shiq", "shiq_figures", "mit_intrinsic"


@dataclass
class Options:
    """Options of the ablation."""

    scenes: Path
    """folder made by python -m synthetic: train/ to train on, test/ to judge on"""
    out: Path = Path("runs/ablation")
    """folder of the runs, a folder each, and of table.md"""
    data: Path | None = None
    """folder with real pairs, as for tools.scoreboard"""
    steps: int = 800
    """optimiser steps of every variant"""
    only: list[str] = field(default_factory=list)
    """names of variants; default: all"""
    train_options: list[str] = field(default_factory=list)
    """further options of train.py for every variant, NAME=VALUE, such as precision=bf16"""


def main(argv: list[str] | None = None) -> int:
    options = cli.parse(Options, argv, prog="python -m tools.ablation", description=__doc__)
    unknown = [name for name in options.only if name not in VARIANTS]
    if unknown:
        raise UserError(f"`only={unknown[0]!r}` is not known; choose from: {', '.join(VARIANTS)}")
    names = options.only or list(VARIANTS)
    # Without test-time augmentation (@1): what the networks learned is compared.
    weights = {name: f"{_train(name, options)}@1" for name in names}
    table = compare(weights, options)
    print(table)
    write_text(options.out / "table.md", table + "\n")
    return 0


def compare(weights: dict[str, str], options: Options) -> str:
    """Markdown: one row per variant, scores on scenes and gains on real pairs with their intervals."""
    from evaluation.methods import ScoredMethod  # imports torch, for which --help should not wait
    from evaluation.runner import run

    scenes = find_pairs(options.scenes, "shiq", test_dir="test").pairs
    scores = {name: score_scenes(scenes, spec) for name, spec in weights.items()}
    real = {} if options.data is None else find_groups(options.data)
    groups = {name: real[name] for name in REAL if name in real}
    rows = {
        name: run(
            group.pairs,
            [ScoredMethod.parse(text) for text in ("input", *weights.values())],
            Settings(metrics=("psnr",)),
            options.out / "scores" / name,
        )
        for name, group in groups.items()
    }
    head = ["variant", *COLUMNS.values(), *(f"{name}: gain, dB" for name in groups)]
    lines = []
    for name, spec in weights.items():
        gains = [_gain(group["input"], group[spec]) for group in rows.values()]
        lines.append([name, *(interval(scores[name][key]) for key in COLUMNS), *gains])
    return markdown_table(head, lines)


def _train(name: str, options: Options) -> Path:
    """Weights at the last step of a variant's run, trained now or found."""
    folder = options.out / name.replace(" ", "_").replace(",", "").replace("(", "").replace(")", "")
    changed = [word for pair in options.train_options for word in _option(pair)]
    command = [
        *(sys.executable, "train.py", "--runs_name", str(folder), "--dataroot", str(options.scenes)),
        *("--max_steps", str(options.steps)),
        *(*BASE.split(), *VARIANTS[name].split(), *changed),
    ]
    print(f"{name}: {' '.join(command)}", file=sys.stderr)
    code = subprocess.run(command, cwd=Path(__file__).parent.parent).returncode
    if code:
        raise UserError(f"{name}: train.py ended with exit code {code}; the same command goes on from there")
    return folder / "last.safetensors"


def _option(pair: str) -> list[str]:
    name, equals, value = pair.partition("=")
    if not (name and equals):
        raise UserError(f"`train_options={pair}`: give NAME=VALUE")
    return [f"--{name}", value]


def _gain(before: list[Row], after: list[Row]) -> str:
    return interval(_psnr(after) - _psnr(before))


def _psnr(rows: list[Row]) -> np.ndarray:
    return capped(np.array([row.values["psnr.whole"] for row in rows], dtype=np.float64))


if __name__ == "__main__":
    sys.exit(cli.run(main))
