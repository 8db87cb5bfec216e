"""The table of layouts: how pictures on disk become records."""

from collections.abc import Callable
from pathlib import Path

from data.pairs import glob_pairs, ground_truth_pairs
from data.psd import psd
from data.records import Found
from data.shiq import shiq
from data.sshr import sshr
from utils.errors import UserError


def find(
    folder: str | Path, layout: str = "auto", input_glob: str = "input/*", target_glob: str = "target/*"
) -> Found:
    """The samples of `folder` in `layout` (a name of LAYOUTS, "pairs", or "auto": the first that finds any).

    Raises UserError where the folder does not exist or holds no sample of the layout.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; give an existing one")
    layouts: dict[str, Callable[[Path], Found]] = {
        "shiq": shiq,
        "sshr": sshr,
        "psd": psd,
        "gt": ground_truth_pairs,
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
        "OBJECT/VIEW_i.jpg with VIEW_d.jpg (SSHR), PSD's groups, NAME.png with NAME_gt.png, or two patterns: "
        "--layout pairs --input_glob 'input/*.png' --target_glob 'diffuse/*.png'"
    )
