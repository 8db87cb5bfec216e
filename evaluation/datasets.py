"""Pairs to be scored: which pictures belong together, and how they are read.

The layouts are those of training (data/layouts), list files and two globs. The layout gt, X.bmp and X_gt.bmp,
is called laboratory here, after Shen and Zheng's pictures; of it every X must have its X_gt.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data.layouts import LAYOUTS, find
from data.layouts.patterns import glob_pairs
from data.layouts.shiq import shiq
from data.lists import read_list
from data.records import Found, Record
from data.splits import official_split
from utils.errors import UserError
from utils.image_files import FULL_SCALE, read_picture

LABORATORY = "laboratory"
DATASETS = {LABORATORY if name == "gt" else name: name for name in LAYOUTS}
"""Name of a data set here -> its layout."""


@dataclass(frozen=True)
class Sample:
    """One pair in memory.

    image, truth   (H, W, 3) uint8 or uint16, as in the files (after `transfer`)
    mask           bool (H, W), the data set's own highlight mask T, or None
    specular       float64 (H, W, 3) in display values [0, 1], or None
    object_mask    bool (H, W), or None
    """

    image: np.ndarray
    truth: np.ndarray
    mask: np.ndarray | None = None
    specular: np.ndarray | None = None
    object_mask: np.ndarray | None = None


@dataclass(frozen=True)
class Pair:
    """Files of one pair. `linear`: they hold linear values; `encode`: the sRGB curve is applied."""

    name: str
    files: dict[str, Path]
    truth: str = "diffuse"
    linear: bool = False
    encode: bool = False

    @property
    def input_file(self) -> Path:
        return self.files["input"]

    def load(self) -> Sample:
        """Reads the pair. Raises UserError naming the file that is unreadable or of another size."""
        layers = {
            key: _read(self.files[key], encode=self.linear and (self.encode or key == "specular"))
            for key in {"input", self.truth, "specular"} & self.files.keys()
        }
        planes = {key: _read_mask(self.files[key]) for key in ("mask", "object_mask") if key in self.files}
        size = layers["input"].shape[:2]
        for key, layer in (layers | planes).items():
            if layer.shape[:2] != size:
                raise UserError(
                    f"{self.files[key]} is {layer.shape[1]}x{layer.shape[0]} but {self.input_file} is "
                    f"{size[1]}x{size[0]}: pictures of a pair must have one size"
                )
        specular = layers.get("specular")
        return Sample(
            layers["input"],
            layers[self.truth],
            planes.get("mask"),
            None if specular is None else to_unit(specular),
            planes.get("object_mask"),
        )


@dataclass(frozen=True)
class PairSet:
    """What is scored. `split` says which pictures these are; `problems` name what could not be paired,
    `notes` what was left out on purpose."""

    name: str
    pairs: list[Pair]
    split: str
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def masks_results(self) -> bool:
        """Whether results are multiplied by the object mask by default, as TSHRNet's authors do on SSHR."""
        return self.name in ("sshr", "list") and any("object_mask" in pair.files for pair in self.pairs)


def to_unit(pixels: np.ndarray) -> np.ndarray:
    """uint8, uint16 or float32 pixels as float64 in [0, 1]."""
    return pixels.astype(np.float64) / FULL_SCALE[pixels.dtype]


def srgb_encode(linear: np.ndarray) -> np.ndarray:
    """The sRGB curve: linear [0, 1] -> display [0, 1]."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)


def find_pairs(
    dataroot: str | Path,
    dataset: str = "auto",
    *,
    test_dir: str | None = None,
    truth: str = "diffuse",
    transfer: str | None = None,
    input_glob: str | None = None,
    target_glob: str | None = None,
    list_file: str | None = None,
    limit: int | None = None,
    expected: Sequence[str] | None = None,
) -> PairSet:
    """The pairs of a folder. `dataset` is a name of DATASETS, "globs", "list", or "auto" (found by looking).

    `test_dir` None means `dataroot`/test where it exists, else `dataroot`. `truth` is "diffuse" or
    "tone_corrected". `transfer` concerns linear data: "linear" scores their values as they are, "srgb"
    encodes them first. `expected` (laboratory): the names whose truth must be there. Raises UserError where
    there is nothing to score or an option does not fit the data.
    """
    root = Path(dataroot)
    if not root.is_dir():
        raise UserError(f"--dataroot {root}: there is no such folder")
    folder, split = _split_folder(root, test_dir)
    if list_file:
        dataset = "list"
    elif input_glob or target_glob:
        if not (input_glob and target_glob):
            raise UserError("--input_glob and --target_glob belong together: give both")
        dataset = "globs"
    if dataset == "list":
        found, split = Found(read_list(list_file, root)), f"list {list_file}"
    elif dataset == "globs":
        found, split = glob_pairs(root, input_glob, target_glob), f"{input_glob} with {target_glob}"
    else:
        dataset, found = _look(folder, dataset, expected)
    records = found.records
    layout = LAYOUTS.get(DATASETS.get(dataset, ""))
    if layout and layout.official_test:
        test = official_split(records)[1]
        if 0 < len(test) < len(records):
            records, split = test, layout.official_test
    if not records:
        raise UserError(_nothing(folder, dataset, found))
    is_linear = (layout is not None and layout.linear) or (dataset == "globs" and transfer is not None)
    if transfer and not is_linear:
        raise UserError(
            f"--transfer {transfer} is for linear data (mit_intrinsic, two globs); {dataset} is not"
        )
    problems = list(found.problems)
    if truth == "tone_corrected":
        problems += [_no_tone_correction(record, root) for record in records if truth not in record.files]
        records = [record for record in records if truth in record.files]
        if not records:
            raise UserError(problems[0])
    pairs = [
        Pair(record.name, record.files, truth, linear=is_linear, encode=transfer == "srgb")
        for record in sorted(records, key=lambda record: record.name)[:limit]
    ]
    return PairSet(dataset, pairs, split, problems, found.notes)


def _split_folder(root: Path, test_dir: str | None) -> tuple[Path, str]:
    if test_dir is None:
        folder = root / "test"
        return (folder, "test") if folder.is_dir() else (root, "all pairs of the folder")
    folder = root / test_dir
    if folder.is_dir():
        return folder, test_dir
    if official_split(shiq(root).records)[1]:
        return root, LAYOUTS["shiq"].official_test
    raise UserError(f"{folder}: there is no such folder; choose the split with --test_dir")


def _look(folder: Path, dataset: str, expected: Sequence[str] | None) -> tuple[str, Found]:
    if dataset != "auto" and dataset not in DATASETS:
        raise UserError(
            f"--dataset {dataset} is not known; choose auto, {', '.join(DATASETS)}, or give --list_file "
            "or --input_glob and --target_glob"
        )
    found = find(folder, DATASETS.get(dataset, "auto"))
    if found.layout == "gt":
        found.problems += [
            sentence for name, sentence in found.unpaired.items() if expected is None or name in expected
        ]
        return LABORATORY, found
    return found.layout, found


def _nothing(folder: Path, dataset: str, found: Found) -> str:
    if found.problems:
        return f"no pair in {folder} is complete, for instance: {found.problems[0]}"
    return (
        f"{folder} holds no pairs of {dataset if dataset != 'auto' else 'any known layout'}; choose one with "
        f"--dataset ({', '.join(DATASETS)}), or give --input_glob 'in/*.png' --target_glob 'truth/*.png'"
    )


def _no_tone_correction(record: Record, root: Path) -> str:
    return (
        f"{record.files['input']} has no tone-corrected truth; make it with: "
        f"python -m data.tone_correction --dataroot {root}"
    )


def _read(path: Path, encode: bool) -> np.ndarray:
    """(H, W, 3) in the file's own integer type; 32-bit floats become 16-bit integers."""
    pixels = read_picture(path).pixels
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    if not encode and pixels.dtype != np.float32:
        return pixels
    values = to_unit(pixels)
    return np.rint((srgb_encode(values) if encode else values) * 65535).astype(np.uint16)


def _read_mask(path: Path) -> np.ndarray:
    values = to_unit(read_picture(path).pixels)
    return (values if values.ndim == 2 else values.mean(axis=2)) >= 0.5
