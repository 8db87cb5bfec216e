"""The pairs of a folder: which pictures belong together.

The layouts are those of training (data/layouts), list files and two globs. The layout gt, X.bmp and X_gt.bmp,
is called laboratory here, after Shen and Zheng's pictures; of it every X must have its X_gt.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from data.layouts import LAYOUTS, find
from data.layouts.patterns import glob_pairs
from data.layouts.shiq import shiq
from data.lists import read_list
from data.records import Found, Record
from data.splits import official_split
from evaluation.scored_pairs import Pair, PairSet
from utils.errors import UserError

LABORATORY = "laboratory"
DATASETS = {LABORATORY if name == "gt" else name: name for name in LAYOUTS}
"""Name of a data set here -> its layout."""

if TYPE_CHECKING:
    DatasetName = str
else:
    DatasetName = Literal[("auto", *DATASETS)]
    """The type of an option that names a data set: --help lists the choices."""


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
    root = _checked(Path(dataroot), limit)
    folder, split = _split_folder(root, test_dir)
    if list_file:
        dataset, found, split = "list", Found(read_list(list_file, root)), f"list {list_file}"
    elif input_glob or target_glob:
        if not (input_glob and target_glob):
            raise UserError("input_glob and target_glob belong together: give both")
        dataset, split = "globs", f"{input_glob} with {target_glob}"
        found = glob_pairs(root if test_dir is None else folder, input_glob, target_glob)
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


def _checked(root: Path, limit: int | None) -> Path:
    if not root.is_dir():
        raise UserError(f"{root}: there is no such folder; give the one of the data set")
    if limit is not None and limit < 1:
        raise UserError(f"a limit of {limit} leaves no pair")
    return root


def _split_folder(root: Path, test_dir: str | None) -> tuple[Path, str]:
    if test_dir is None:
        folder = root / "test"
        return (folder, "test") if folder.is_dir() else (root, "all pairs of the folder")
    folder = root / test_dir
    if folder.is_dir():
        return folder, test_dir
    if official_split(shiq(root).records)[1]:
        return root, LAYOUTS["shiq"].official_test
    raise UserError(f"{folder}: there is no such folder; choose the split with test_dir")


def _look(folder: Path, dataset: str, expected: Sequence[str] | None) -> tuple[str, Found]:
    if dataset != "auto" and dataset not in DATASETS:
        raise UserError(
            f"dataset {dataset} is not known; choose auto, {', '.join(DATASETS)}, or give list_file "
            "or input_glob and target_glob"
        )
    found = find(folder, DATASETS.get(dataset, "auto"))
    if found.layout == "gt":
        found.problems += [
            sentence for name, sentence in found.unpaired.items() if expected is None or name in expected
        ]
        return LABORATORY, found
    return found.layout, found


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


def _nothing(folder: Path, dataset: str, found: Found) -> str:
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
