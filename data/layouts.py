"""The table of layouts: how pictures on disk become records."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from data.records import Record
from utils.errors import UserError


@dataclass
class Found:
    """The records of a folder by their names' order, and what is wrong with the rest, a sentence each."""

    records: list[Record] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def find(
    folder: str | Path, layout: str = "auto", input_glob: str = "input/*", target_glob: str = "target/*"
) -> Found:
    """The samples of `folder` in `layout` (a name of LAYOUTS, "pairs", or "auto": the first that finds any).

    Raises UserError where the folder does not exist or holds no sample of the layout.
    """
    from data.pairs import glob_pairs
    from data.psd import psd
    from data.shiq import shiq
    from data.sshr import sshr

    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; give an existing one")
    layouts: dict[str, Callable[[Path], Found]] = {
        "shiq": shiq,
        "sshr": sshr,
        "psd": psd,
        "pairs": lambda folder: glob_pairs(folder, input_glob, target_glob),
    }
    if layout != "auto" and layout not in layouts:
        raise UserError(f"--layout {layout} is not known; choose one of auto, {', '.join(layouts)}")
    for name in layouts if layout == "auto" else [layout]:
        found = layouts[name](folder)
        if found.records or found.problems:
            return found
    raise UserError(
        f"{folder} holds no pairs of pictures; expected are NNNNN_A.png with NNNNN_D.png (SHIQ), "
        "OBJECT/VIEW_i.jpg with VIEW_d.jpg (SSHR), PSD's folders, or two patterns: "
        "--layout pairs --input_glob 'input/*.png' --target_glob 'diffuse/*.png'"
    )
