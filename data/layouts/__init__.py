"""The table of layouts: how pictures on disk become records. One layout is one file and one row here."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from data.layouts.ground_truth import ground_truth
from data.layouts.mit_intrinsic import mit_intrinsic
from data.layouts.patterns import glob_pairs
from data.layouts.psd import psd, psd_unaligned
from data.layouts.shiq import shiq
from data.layouts.sshr import sshr
from data.records import DatasetScan
from utils.errors import UserError


@dataclass(frozen=True)
class Layout:
    """One way in which a data set lies on disk."""

    find: Callable[[Path], DatasetScan]
    expects: str
    """its files in a few words, for messages"""
    linear: bool = False
    """the files hold linear values, not sRGB ones"""
    official_test: str = ""
    """what the records of split "test" are, for tables; "": the layout knows no splits"""
    automatic: bool = True
    """tried where no layout is named"""


LAYOUTS = {
    "shiq": Layout(
        shiq,
        "NNNNN_A.png with NNNNN_D.png (SHIQ)",
        official_test="the official test list 14001..15000",
    ),
    "sshr": Layout(sshr, "OBJECT/VIEW_i.jpg with VIEW_d.jpg (SSHR)"),
    "mit_intrinsic": Layout(mit_intrinsic, "X_original.png with X_diffuse.png (MIT Intrinsic)", linear=True),
    "gt": Layout(ground_truth, "NAME.png with NAME_gt.png"),
    "psd": Layout(
        psd,
        "PSD_Train/PSD_Train_specular with PSD_Train_diffuse, GROUP-idx-01.png ... (PSD)",
        official_test="the pairs of PSD_val and PSD_Test",
    ),
    "psd-unaligned": Layout(psd_unaligned, "PSD with its unaligned groups", automatic=False),
}
"""Tried in this order where no layout is named."""

PATTERNS = "pairs"
"""The layout that two patterns define."""

if TYPE_CHECKING:
    LayoutName = str
else:
    LayoutName = Literal[("auto", *LAYOUTS, PATTERNS)]
    """The type of an option that names a layout: --help lists the choices."""


def find(
    folder: str | Path, layout: str = "auto", input_glob: str = "input/*", target_glob: str = "target/*"
) -> DatasetScan:
    """The samples of `folder` in `layout`: a name of LAYOUTS, "pairs", or "auto", the first that finds any.

    Where "auto" finds no complete sample, the answer holds the problems of the layout with most of them: it
    recognises most of the files. Raises UserError where the folder does not exist or holds no picture of the
    layout, and at an unknown layout.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; give an existing one")
    if layout == PATTERNS:
        best = glob_pairs(folder, input_glob, target_glob)
    elif layout != "auto" and layout not in LAYOUTS:
        raise UserError(f"layout {layout} is not known; choose one of auto, {', '.join(LAYOUTS)}, {PATTERNS}")
    else:
        best = DatasetScan()
        for name in LAYOUTS if layout == "auto" else [layout]:
            if layout == "auto" and not LAYOUTS[name].automatic:
                continue
            found = LAYOUTS[name].find(folder)
            found.layout = name
            if found.records:
                return found
            best = max(best, found, key=lambda found: len(found.problems))
    if best.records or best.problems:
        return best
    expected = ", ".join(row.expects for row in LAYOUTS.values() if row.automatic)
    raise UserError(
        f"{folder} holds no pairs of pictures; expected are {expected}, or two patterns (layout {PATTERNS}, "
        "input_glob such as 'input/*.png', target_glob such as 'diffuse/*.png')"
    )
