"""Writes scenes as a data set in SHIQ's or SSHR's layout: atomic, resumable, with a contact sheet."""

import json
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset
from tqdm import tqdm

from data.layouts.sshr import LAYERS as SSHR
from synthetic.generator import SyntheticScenes
from utils.atomic import remove_leftovers, write_text
from utils.errors import UserError
from utils.image_files import write_rgb
from utils.sheets import labelled_sheet

MANIFEST = "synthetic.json"
SHEET = "contact_sheet.png"
SHIQ = {"A": "input", "D": "diffuse", "S": "specular", "T": "mask"}
FIRST_TEST = {"shiq": 14001, "sshr": 0}
"""Number of the first test scene in its file name; SHIQ's official test list begins at 14001."""
BATCH = 16
"""Scenes rendered together, which is faster than one by one."""
WRITERS = 4
"""Threads that compress and write while the next scenes are rendered."""
VIEWS = 10
"""Pictures of an SSHR object folder; here an "object" is a run of scenes."""


def files_of(folder: Path, layout: str, split: str, number: int) -> dict[Path, str]:
    """The files of scene `number` (from 0) of a split, and the sample key that each holds."""
    if layout == "shiq":
        name = f"{number + (FIRST_TEST['shiq'] if split == 'test' else 1):05d}"
        return {folder / split / f"{name}_{suffix}.png": key for suffix, key in SHIQ.items()}
    place = folder / split / f"synthetic_{number // VIEWS:04d}"
    return {place / f"{number % VIEWS:04d}_{suffix}.jpg": key for suffix, key in SSHR.items()}


def claim(folder: Path, facts: dict) -> None:
    """Marks a new folder as ours, or checks that `folder` is a data set begun with the same `facts`.

    Raises UserError on a folder with other content, or one begun with other options.
    """
    manifest = folder / MANIFEST
    if manifest.exists():
        try:
            begun = json.loads(manifest.read_text())
        except ValueError as error:
            raise UserError(f"{manifest} is damaged; remove it or choose another `out`") from error
        facts = json.loads(json.dumps(facts))
        changed = sorted(key for key in facts | begun if facts.get(key) != begun.get(key))
        if changed:
            raise UserError(
                f"{folder} was begun with other options ({', '.join(changed)}); "
                "give those of its synthetic.json, or another `out`"
            )
        return
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; `out` names a folder")
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty and holds no data set of ours; choose another `out`")
    write_text(manifest, json.dumps(facts, indent=1))


def write_split(
    scenes: SyntheticScenes, first: int, count: int, folder: Path, layout: str, split: str, workers: int
) -> int:
    """Writes scenes first .. first + count - 1 as `split`, but those whose files exist; returns how many."""
    wanted = [files_of(folder, layout, split, number) for number in range(count)]
    for place in {path.parent for files in wanted for path in files}:
        remove_leftovers(place)  # of a run that was killed
    missing = [number for number, files in enumerate(wanted) if not all(path.exists() for path in files)]
    if scenes.device.type != "cpu":
        workers = 0
    batches = BatchSampler(missing, BATCH, drop_last=False)
    loader = DataLoader(_Renderer(scenes, first), batch_sampler=batches, num_workers=workers, collate_fn=list)
    with (
        tqdm(total=count, initial=count - len(missing), desc=split, unit="scene") as bar,
        ThreadPoolExecutor(WRITERS) as pool,
    ):

        def write(number: int, sample: dict[str, Tensor]) -> None:
            for path, key in wanted[number].items():
                write_rgb(path, _picture(sample[key]))
            bar.update()

        written: list[Future] = []
        for numbers, samples in zip(batches, loader, strict=True):
            _finish(written)
            written = [pool.submit(write, *pair) for pair in zip(numbers, samples, strict=True)]
        _finish(written)
    return len(missing)


class _Renderer(Dataset):
    """Scene `first` + number, rendered in batches."""

    def __init__(self, scenes: SyntheticScenes, first: int):
        self.scenes = scenes
        self.first = first

    def __getitems__(self, numbers: list[int]) -> list[dict[str, Tensor]]:
        return self.scenes.__getitems__([self.first + number for number in numbers])


def _finish(jobs: list[Future]) -> None:
    """Waits; raises what went wrong first."""
    for job in jobs:
        job.result()


def write_lists(folder: Path, counts: dict[str, int]) -> None:
    """TSHRNet's list files of an SSHR layout: a line `i a s r d d_tc m` a scene, paths from the folder."""
    for split, count in counts.items():
        scenes = (files_of(folder, "sshr", split, number) for number in range(count))
        lines = [" ".join(path.relative_to(folder).as_posix() for path in files) for files in scenes]
        write_text(folder / f"{split}.lst", "".join(f"{line}\n" for line in lines))


def contact_sheet(scenes: SyntheticScenes, indices: list[int], columns: int = 2) -> np.ndarray:
    """uint8 (H, W, 3): per scene its input, diffuse, specular layer and mask, `columns` scenes in a row."""
    samples = [scenes[index] for index in indices]
    cells = [[_picture(sample[key]) for key in SHIQ.values()] for sample in samples]
    cells += [[None] * len(SHIQ)] * (-len(cells) % columns)
    lines = [list(chain(*cells[start : start + columns])) for start in range(0, len(cells), columns)]
    return labelled_sheet([*SHIQ.values()] * columns, [("", line) for line in lines])


def _picture(layer: Tensor) -> np.ndarray:
    """(1, H, W) as (H, W), (3, H, W) as (H, W, 3); float32."""
    pixels = layer.cpu().numpy()
    return pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
