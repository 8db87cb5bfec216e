"""Writes a data set of synthetic scenes.

python -m synthetic --out SHIQ_tiny --train 200 --test 40 --layout shiq --seed 0
"""

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from synthetic.scene_options import AssetFolders, Composition, scene_options
from utils import cli
from utils.errors import UserError
from utils.image_files import write_rgb

SIZES = {"shiq": 200, "sshr": 256}
SHEET_SCENES = 16


@dataclass
class _Output:
    """What to write."""

    out: Path
    """folder of the new data set; running the same command again finishes one that was interrupted"""
    train: int = 200
    """number of training scenes"""
    test: int = 40
    """number of test scenes"""
    layout: Literal["shiq", "sshr"] = "shiq"
    """shiq: train/NNNNN_{A,D,S,T}.png; sshr: train/OBJECT/VIEW_{i,a,s,r,d,d_tc,m}.jpg and list files"""
    seed: int = 0
    """the same seed gives the same scenes"""
    size: int = 0
    """side of the pictures in pixels; 0 is that of the layout (200, 256)"""
    composition: Composition = "display"
    """display adds a grey highlight to the finished diffuse picture, as SHIQ's pairs do; linear adds light"""
    scene_options: list[str] = field(default_factory=list)
    """further options of the generator, NAME=VALUE (synthetic/scene_options.py lists them)"""
    num_workers: int = 2
    """processes that render"""
    device: str = "cpu"
    """where to render: cpu, cuda"""


@dataclass
class WriteOptions(AssetFolders, _Output):
    """What to write and from what."""


def main() -> int:
    """Entry point; returns the exit code."""
    options = cli.parse(
        WriteOptions, prog="python -m synthetic", description="Writes a data set of synthetic scenes."
    )
    if options.train < 0 or options.test < 0 or options.train + options.test == 0:
        raise UserError("`train` and `test` must not be negative, nor both zero")
    if options.num_workers < 0 or options.size < 0 or 0 < options.size < 8:
        raise UserError("`num_workers` must not be negative, and `size` must be 0 or at least 8")
    return _write(options)


def _write(options: WriteOptions) -> int:
    # Imported late: --help and wrong options must not wait for torch.
    from synthetic.generator import SyntheticScenes
    from synthetic.writer import SHEET, claim, contact_sheet, write_lists, write_split
    from utils.devices import choose_device

    facts = asdict(options) | {"size": options.size or SIZES[options.layout], "format": 2}
    for name in ("out", "num_workers", "device"):
        del facts[name]
    if not options.scene_options:
        del facts["scene_options"]  # absent from older manifests
    scenes = SyntheticScenes(
        options.train + options.test,
        size=facts["size"],
        seed=options.seed,
        folders=AssetFolders.of(options),
        device=choose_device(options.device),
        options=scene_options(options.composition, options.scene_options),
    )
    claim(options.out, facts)
    counts = {"train": options.train, "test": options.test}
    first = 0
    for split, count in counts.items():
        write_split(scenes, first, count, options.out, options.layout, split, options.num_workers)
        first += count
    if options.layout == "sshr":
        write_lists(options.out, counts)
    sheet = options.out / SHEET
    write_rgb(sheet, contact_sheet(scenes, list(range(min(SHEET_SCENES, len(scenes))))))
    print(f"{options.out}: {options.train} training and {options.test} test scenes; look at {sheet}")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
