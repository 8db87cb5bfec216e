"""The pairs to be scored, a picture and its ground truth each: found in a folder, and read into memory.

The layouts are those of training (data/layouts), list files and two globs. The layout gt, X.bmp and X_gt.bmp,
is called laboratory here, after Shen and Zheng's pictures; of it every X must have its X_gt.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from data.layouts import LAYOUTS, find
from data.layouts.patterns import glob_pairs
from data.lists import read_list
from data.records import DatasetScan, Record
from utils.colour import FULL_SCALE, grey_to_rgb, srgb_encode, to_unit
from utils.errors import UserError
from utils.image_files import read_picture

LABORATORY = "laboratory"
DATASETS = {LABORATORY if name == "gt" else name: name for name in LAYOUTS}
"""Name of a data set here -> its layout."""

if TYPE_CHECKING:
    DatasetName = str
else:
    DatasetName = Literal[("auto", *DATASETS)]
    """The type of an option that names a data set: --help lists the choices."""


@dataclass(frozen=True)
class Sample:
    """One pair in memory.

    image, ground_truth  (H, W, 3) uint8 or uint16, as in the files (after `transfer`)
    mask                 bool (H, W), the data set's own highlight mask T (>= 128), or None
    specular             (H, W, 3) uint8 or uint16 display values, or None
    object_mask          bool (H, W), or None
    """

    image: np.ndarray
    ground_truth: np.ndarray
    mask: np.ndarray | None = None
    specular: np.ndarray | None = None
    object_mask: np.ndarray | None = None

    @property
    def region_source(self) -> str:
        """Where the highlight region comes from: "T", "S" or "A-D"."""
        return "T" if self.mask is not None else "A-D" if self.specular is None else "S"

    @cached_property
    def highlight(self) -> np.ndarray:
        """The highlight region, bool (H, W): T where there is one; else one Otsu pass (data/regions.py) on S
        where there is one, else on max(A - D, 0)."""
        if self.mask is not None:
            return self.mask
        from data.regions import otsu_mask  # imports torch, for which --help should not wait

        if self.specular is not None:
            return otsu_mask(to_unit(self.specular))
        return otsu_mask(np.maximum(to_unit(self.image) - to_unit(self.ground_truth), 0))

    def regions(self) -> dict[str, np.ndarray]:
        """What is scored, bool (H, W): "whole"; "highlight"; "clipped", a part of it; "rest", all that is not
        highlight; "object" where the data set has an object mask."""
        regions = {
            "whole": np.ones_like(self.highlight),
            "highlight": self.highlight,
            "clipped": self.highlight & clipped(self.image),
            "rest": ~self.highlight,
        }
        return regions if self.object_mask is None else regions | {"object": self.object_mask}


def clipped(image: np.ndarray) -> np.ndarray:
    """Bool (H, W): where a channel of the uint8 or uint16 picture (H, W, 3) is at least 254/255, so that the
    colour there cannot be computed from the pixel alone."""
    from models.bounds import SATURATED

    return np.any(image >= SATURATED * FULL_SCALE[image.dtype], axis=2)


@dataclass(frozen=True)
class Pair:
    """Files of one pair. `linear`: they hold linear values; `encode`: the sRGB curve is applied to them."""

    name: str
    files: dict[str, Path]
    compared_layer: str = "diffuse"
    linear: bool = False
    encode: bool = False

    @property
    def input_file(self) -> Path:
        return self.files["input"]

    @property
    def to_display(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """What makes sRGB values of those of a sample, [0, 1] both; None where they are sRGB values."""
        return srgb_encode if self.linear and not self.encode else None

    def load(self) -> Sample:
        """Reads the pair. Raises UserError naming the file that is unreadable or of another size."""
        wanted = ("input", self.compared_layer, "mask", "specular", "object_mask")
        stored = {key: read_picture(self.files[key]).pixels for key in wanted if key in self.files}
        height, width = stored["input"].shape[:2]
        for key, pixels in stored.items():
            if pixels.shape[:2] != (height, width):
                raise UserError(
                    f"{self.files[key]} is {pixels.shape[1]}x{pixels.shape[0]} but {self.input_file} is "
                    f"{width}x{height}: pictures of a pair must have one size"
                )
        layers: dict[str, np.ndarray] = {}
        for key, pixels in stored.items():
            if key in ("mask", "object_mask"):
                values = to_unit(pixels, np.float64)
                layers[key] = (values if values.ndim == 2 else values.mean(axis=2)) >= 0.5
                continue
            encode = self.linear and (self.encode or key == "specular")
            layers[key] = grey_to_rgb(pixels)
            if encode or pixels.dtype == np.float32:  # 32-bit floats become 16-bit integers
                values = to_unit(layers[key], np.float64)
                layers[key] = np.rint((srgb_encode(values) if encode else values) * 65535).astype(np.uint16)
        others = {key: layers.get(key) for key in ("mask", "specular", "object_mask")}
        return Sample(layers["input"], layers[self.compared_layer], **others)


@dataclass(frozen=True)
class PairSet:
    """What is scored. `split` says which pictures these are; `problems` name what could not be paired,
    `notes` what was passed over on purpose."""

    name: str
    pairs: list[Pair]
    split: str
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def masks_results(self) -> bool:
        """Whether results are multiplied by the object mask by default, as TSHRNet's authors do on SSHR."""
        return self.name in ("sshr", "list") and any("object_mask" in pair.files for pair in self.pairs)


def find_pairs(
    dataroot: str | Path,
    dataset: str = "auto",
    *,
    test_dir: str | None = None,
    compared_layer: str = "diffuse",
    transfer: str | None = None,
    input_glob: str | None = None,
    target_glob: str | None = None,
    list_file: str | None = None,
    limit: int | None = None,
    expected: Sequence[str] | None = None,
) -> PairSet:
    """The pairs of a folder. `dataset` is a name of DATASETS, or "auto" (found by looking); globs or a list
    file win over it.

    `test_dir` None means `dataroot`/test where it exists, else `dataroot`. `compared_layer` is what results
    are compared with, "diffuse" or "tone_corrected". `transfer` concerns linear data: "linear" scores their
    values as they are, "srgb" encodes them first. `expected` (laboratory): the names whose ground truth must
    be there.
    Raises UserError where there is nothing to score or an option does not fit the data.
    """
    root = Path(dataroot)
    _check(root, dataset, limit)
    folder, split = _split_folder(root, test_dir)
    if not (list_file or input_glob or target_glob):
        found = find(folder, DATASETS.get(dataset, dataset))
        dataset = LABORATORY if found.layout == "gt" else found.layout
        if dataset == LABORATORY:
            found.problems += [
                text for name, text in found.unpaired.items() if expected is None or name in expected
            ]
    elif list_file:
        dataset, found, split = "list", DatasetScan(read_list(list_file, root)), f"list {list_file}"
    elif input_glob and target_glob:
        dataset, split = "globs", f"{input_glob} with {target_glob}"
        found = glob_pairs(root if test_dir is None else folder, input_glob, target_glob)
    else:
        raise UserError("input_glob and target_glob belong together: give both")
    records = found.records
    layout = LAYOUTS.get(DATASETS.get(dataset, ""))
    if layout and layout.official_test:
        test = [record for record in records if record.split == "test"]
        if 0 < len(test) < len(records):
            records, split = test, layout.official_test
    if not records:
        raise UserError(_nothing(folder, dataset, found))
    linear = (layout is not None and layout.linear) or (dataset == "globs" and transfer is not None)
    if transfer and not linear:
        raise UserError(
            f"the transfer {transfer} is for linear data (mit_intrinsic, two globs); {dataset} is not"
        )
    records, problems = _each_once(records)
    problems = [*found.problems, *problems]
    if compared_layer == "tone_corrected":
        problems += [_no_tone_correction(r, root) for r in records if compared_layer not in r.files]
        records = [record for record in records if compared_layer in record.files]
        if not records:
            raise UserError(problems[0])
    pairs = [
        Pair(record.name, record.files, compared_layer, linear=linear, encode=transfer == "srgb")
        for record in sorted(records, key=lambda record: record.name)[:limit]
    ]
    return PairSet(dataset, pairs, split, problems, found.notes)


def _check(root: Path, dataset: str, limit: int | None) -> None:
    if dataset not in ("auto", *DATASETS):
        raise UserError(
            f"dataset {dataset} is not known; choose auto, {', '.join(DATASETS)}, or give list_file "
            "or input_glob and target_glob"
        )
    if not root.is_dir():
        raise UserError(f"{root}: there is no such folder; give the one of the data set")
    if limit is not None and limit < 1:
        raise UserError(f"a limit of {limit} leaves no pair")


def _split_folder(root: Path, test_dir: str | None) -> tuple[Path, str]:
    if test_dir is None:
        folder = root / "test"
        return (folder, "test") if folder.is_dir() else (root, "all pairs of the folder")
    folder = root / test_dir
    if folder.is_dir():
        return folder, test_dir
    if any(record.split == "test" for record in LAYOUTS["shiq"].find(root).records):
        return root, LAYOUTS["shiq"].official_test
    raise UserError(f"{folder}: there is no such folder; choose the split with test_dir")


def _each_once(records: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """(the first record of each name, problems): scores are kept by name."""
    first: dict[str, Record] = {}
    problems = []
    for record in records:
        known = first.setdefault(record.name, record)
        if known is not record:
            problems.append(
                f"{record.files['input']} has the name of {known.files['input']}: only the latter is scored"
            )
    return list(first.values()), problems


def _nothing(folder: Path, dataset: str, found: DatasetScan) -> str:
    if found.problems:
        return f"no pair in {folder} is complete, for instance: {found.problems[0]}"
    return (
        f"{folder} holds no pairs of {dataset if dataset != 'auto' else 'any known layout'}; choose one with "
        f"dataset ({', '.join(DATASETS)}), or give input_glob 'in/*.png' and target_glob 'gt/*.png'"
    )


def _no_tone_correction(record: Record, root: Path) -> str:
    return (
        f"{record.files['input']} has no tone-corrected ground truth; make it with: "
        f"python -m data.tone_correction --dataroot {root}"
    )
