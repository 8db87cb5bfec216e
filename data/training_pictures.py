"""From folders and lists to the pictures that train a network and those that validate it."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from data.layouts import find
from data.lists import read_list
from data.picture_options import PictureOptions
from data.picture_samples import PictureSamples, ResidueSamples
from data.records import Record
from data.splits import carve_validation, official_split
from data.transforms import Augmentation
from utils.errors import UserError, with_flags


class TransformedSamples(Dataset):
    """Samples after a deterministic transform."""

    def __init__(self, samples: Dataset, transform: Augmentation):
        self.samples, self.transform = samples, transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.transform(self.samples[index], None)


def training_pictures(
    options: PictureOptions,
    seed: int,
    *,
    needed: Sequence[str] = (),
    residues: bool = False,
    layers: tuple[Sequence[str], Sequence[str]],
    lit: Callable[[Dataset], bool] = lambda _: True,
) -> tuple[PictureSamples, PictureSamples]:
    """(training, validation) pictures of `options.dataroot`.

    Validation is what `selection_split` says: the test pictures of the set, or `val_share` of the training
    pictures, chosen by their names and `seed`.

    needed    layers that a list must have
    residues  a missing specular layer is what input and diffuse differ by
    layers    those beyond input and diffuse that training and validation read
    lit       whether one of some samples has a highlight: validation gets such pictures, and says so, where
              `val_share` alone takes none

    Raises UserError where folders or pairs are missing.
    """
    root = Path(options.dataroot)
    if not root.is_dir():
        raise UserError(f"dataroot {root}: there is no such folder")
    training, test = _train_and_test(root, options, needed)
    if not training:
        raise UserError(f"{root} holds no training pictures, only those of SHIQ's official test list")
    if options.selection_split == "test":
        if not test:
            raise UserError(f"{root} holds no test pictures; pass `selection_split=validation`")
    else:
        usual = len(carve_validation(training, options.val_share, seed)[1])
        training, test = carve_validation(
            training,
            options.val_share,
            seed,
            lambda record: lit(_samples([record], options, residues, ())),
        )
        if len(test) > usual:
            note = (
                f"warning: no picture that `val_share={options.val_share}` keeps for validation has a "
                f"highlight, so that {len(test) - usual} more with one are kept"
            )
            print(with_flags(note), file=sys.stderr)
    return tuple(
        _samples(records, options, residues, read)
        for records, read in zip((training, test), layers, strict=True)
    )


def validation_folders(
    options: PictureOptions, *, residues: bool = False, layers: Sequence[str]
) -> dict[str, PictureSamples]:
    """The pictures of `val_dataroot`, by the shortest ends of the folders' paths that tell them apart."""
    folders = [Path(folder) for folder in options.val_dataroot]
    ends = [folder.resolve().parts for folder in folders]
    if len(set(ends)) < len(folders):
        raise UserError("`val_dataroot` names a folder twice")
    depth = 1
    while len({parts[-depth:] for parts in ends}) < len(folders):
        depth += 1
    return {
        "/".join(parts[-depth:]): _samples(_validation_records(folder, options), options, residues, layers)
        for parts, folder in zip(ends, folders, strict=True)
    }


def _train_and_test(
    root: Path, options: PictureOptions, needed: Sequence[str]
) -> tuple[list[Record], list[Record]]:
    if options.train_list:
        test = read_list(options.test_list, root) if options.test_list else []
        return read_list(options.train_list, root, needed), test
    if (root / options.train_dir).is_dir():
        wanted = options.selection_split == "test"
        test = _records(root / options.test_dir, options) if wanted else []
        return _records(root / options.train_dir, options), test
    try:
        return official_split(_records(root, options))
    except UserError as error:
        raise UserError(
            f"{root} has no folder {options.train_dir} (`train_dir`) and no pairs itself: {error}"
        ) from error


def _validation_records(folder: Path, options: PictureOptions) -> list[Record]:
    """A folder to validate on need not lie as the training pictures do."""
    try:
        return _records(folder, options)
    except UserError:
        if options.layout == "auto":
            raise
        return _records(folder, replace(options, layout="auto"))


def _records(folder: Path, options: PictureOptions) -> list[Record]:
    found = find(folder, options.layout, options.input_glob, options.target_glob)
    if found.problems and not options.skip_bad_files:
        more = f" (and {len(found.problems) - 1} more)" if len(found.problems) > 1 else ""
        raise UserError(
            f"{found.problems[0]}{more}; add the file, or pass `skip_bad_files` to go on without such samples"
        )
    if not found.records:
        raise UserError(f"{folder} holds no complete pair: {found.problems[0]}")
    for note in found.notes:
        print(f"{folder}: {note}", file=sys.stderr)
    return found.records


def _samples(
    records: Sequence[Record], options: PictureOptions, residues: bool, layers: Sequence[str]
) -> PictureSamples:
    return (ResidueSamples if residues else PictureSamples)(records, options.sixteen_bit, layers)
