"""Scores methods on pairs of pictures, with the protocol beside every number.

python evaluate.py --dataroot SHIQ --test_dir test --methods input shen2013 aha:savedmodel/x.safetensors
python evaluate.py --dataroot MIT --dataset mit_intrinsic --transfer srgb --methods yang2010
python evaluate.py --dataroot PAIRS --input_glob 'in/*.png' --target_glob 'truth/*.png' --methods results:DIR
python evaluate.py --table laboratory --dataroot LABORATORY
"""

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from evaluation.datasets import find_pairs
from evaluation.metrics import METRICS
from evaluation.paper_tables import PICTURES, shipped_weights
from evaluation.perceptual import check_weights
from evaluation.published import computable
from evaluation.report import evaluate, print_problems
from evaluation.runner import Settings
from utils import cli
from utils.errors import UserError


@dataclass
class Options:
    """Options of the evaluation."""

    dataroot: Path
    """folder of the data set"""
    test_dir: str | None = None
    """split folder below dataroot (default: "test" where it exists, else dataroot itself)"""
    dataset: Literal["auto", "shiq", "psd", "sshr", "laboratory", "mit_intrinsic"] = "auto"
    """layout of the data; auto looks"""
    input_glob: str | None = None
    """pairs of any two patterns below dataroot: inputs, * stands for the name"""
    target_glob: str | None = None
    """the truths that belong to input_glob"""
    list_file: str | None = None
    """TSHRNet list file (4 or 7 columns, relative to dataroot)"""
    output: Literal["tone_corrected", "diffuse"] = "tone_corrected"
    """TSHRNet only: which of its stages is scored"""
    truth: Literal["diffuse", "tone_corrected"] | None = None
    """what results are compared with (default: diffuse; with --table sshr tone_corrected)"""
    transfer: Literal["linear", "srgb"] | None = None
    """linear data (MIT Intrinsic, globs): score linear values as stored, or in sRGB values"""
    methods: list[str] = field(default_factory=list)
    """input, classical methods, NETWORK:WEIGHTS, WEIGHTS, results:FOLDER; input is always a row"""
    out: Path = Path("results")
    """folder for tables, rows, results and sheets; finished pictures there are not computed again"""
    table: Literal["shiq", "psd", "sshr", "laboratory"] | None = None
    """a paper's table: what can be computed is, beside the published figures"""
    protocol: Literal["native", "released", "256"] = "native"
    """native: original size; released: the released code's arithmetic; 256: scored at 256x256"""
    metrics: list[str] = field(default_factory=lambda: list(Settings().metrics))
    """psnr psnr_channels ssim (11x11 Gaussian) ssim7 (7x7) mse rmse delta_e lpips"""
    lpips: bool = False
    """also LPIPS (AlexNet; needs its ImageNet weights)"""
    map_threshold: str = "0.5"
    """threshold of predicted highlight maps: a number in (0, 1], or otsu"""
    reference: str | None = None
    """a method that the others are compared with in pairs, beside input"""
    allow_missing: bool = False
    """exit with 0 although some inputs have no truth or some pictures failed"""
    fresh: bool = False
    """compute finished pictures again"""
    limit: int | None = None
    """only the first pictures by name"""
    object_mask: bool | None = None
    """multiply results by the object mask (default: for sshr and list files, as their authors do)"""
    sheets: bool = True
    """write sheets of the worst and best pictures"""
    workers: int = 0
    """processes; 0 works in this one"""
    device: str = "auto"
    """auto, cpu, cuda"""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """of networks"""
    seed: int = 0
    """of the bootstrap"""


def main(argv: list[str] | None = None) -> int:
    options = cli.parse(
        Options,
        argv,
        prog="python evaluate.py",
        description=__doc__.splitlines()[0],
        epilog="docs/EVALUATION.md defines every number.",
    )
    truth = options.truth or ("tone_corrected" if options.table == "sshr" else "diffuse")
    settings = _settings(options)  # before the data, so that a wrong option is told at once
    pair_set = find_pairs(
        options.dataroot,
        options.table or options.dataset,
        test_dir=options.test_dir,
        truth=truth,
        transfer=options.transfer,
        input_glob=options.input_glob,
        target_glob=options.target_glob,
        list_file=options.list_file,
        limit=options.limit,
        expected=PICTURES if options.table == "laboratory" else None,
    )
    print_problems([*pair_set.problems, *pair_set.notes])
    mask_results = pair_set.masks_results if options.object_mask is None else options.object_mask
    of_table = [*computable(options.table), *shipped_weights()] if options.table else []
    report = evaluate(
        pair_set,
        [*of_table, *options.methods, *([options.reference] if options.reference else [])],
        replace(settings, mask_results=mask_results),
        options.out,
        transfer=options.transfer,
        references=dict.fromkeys(["input", options.reference or "input"]),
        table=options.table,
        workers=options.workers,
        seed=options.seed,
        fresh=options.fresh,
        sheets=options.sheets,
    )
    print(report.terminal())
    print(f"\nwritten to {options.out}: table.{{txt,md,csv,tex,json}}, per_image.{{jsonl,csv}}, sheets/")
    failures = report.problems[len(pair_set.problems) :]
    print_problems(failures)
    if report.problems:
        print(
            f"{len(pair_set.problems)} inputs or truths without a partner, {len(failures)} failures"
            + ("" if options.allow_missing else " (--allow_missing accepts them)"),
            file=sys.stderr,
        )
    return 1 if report.problems and not options.allow_missing else 0


def _settings(options: Options) -> Settings:
    names = [*options.metrics, *(["lpips"] if options.lpips else [])]
    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise UserError(f"--metrics {unknown[0]} is not known; choose from {' '.join(METRICS)}")
    if "lpips" in names:
        check_weights()
    if options.map_threshold != "otsu":
        try:
            in_range = 0 < float(options.map_threshold) <= 1
        except ValueError:
            in_range = False
        if not in_range:
            raise UserError(f"--map_threshold {options.map_threshold}: give a number in (0, 1], or otsu")
    return Settings(
        protocol=options.protocol,
        metrics=tuple(dict.fromkeys(names)),
        map_threshold=options.map_threshold,
        device=options.device,
        precision=options.precision,
        output=options.output,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
