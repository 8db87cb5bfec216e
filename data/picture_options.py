"""Where pairs of pictures lie and how they are read, as options of train.py.

Like all modules with options, this one does not import torch: --help must not wait for it.
"""

from dataclasses import dataclass, field
from typing import Literal

from data.layouts import LayoutName


@dataclass
class PictureOptions:
    """Training and validation pictures. Without --dataroot, synthetic scenes."""

    dataroot: str | None = None
    """folder of the data set; left out, training draws synthetic scenes without end"""
    train_dir: str = "train"
    """folder of the training pictures, inside --dataroot"""
    test_dir: str = "test"
    """folder of the test pictures, inside --dataroot; only the recipe released looks at them in training"""
    layout: LayoutName = "auto"
    """how the pictures lie on disk (docs/DATASETS.md); auto: found by looking; pairs: by --input_glob and
    --target_glob"""
    train_list: str | None = None
    """list file of the training pictures, in place of --train_dir: 7 or 4 paths a line, relative to
    --dataroot, as TSHRNet's authors use (data/lists.py)"""
    test_list: str | None = None
    """list file of the test pictures, in place of --test_dir"""
    input_glob: str = "input/*"
    """layout pairs: the inputs, relative to the folder; what * stands for is the name that pairs two files"""
    target_glob: str = "target/*"
    """layout pairs: the diffuse pictures"""
    val_dataroot: list[str] = field(default_factory=list)
    """folders of pairs to validate on, in any layout; the first chooses the best checkpoint. Default: part of
    the training pictures"""
    val_share: float = 0.05
    """part of the training pictures kept for validation, chosen by name and seed; at least one"""
    selection_split: Literal["validation", "test"] | None = None
    """which pictures choose the best checkpoint; test is what the released code does"""
    photos_dataroot: list[str] = field(default_factory=list)
    """folders of photographs without highlights, at any depth, which the network must leave unchanged"""
    photos_share: float = 0.2
    """part of the training samples that are such photographs, where --photos_dataroot names some"""
    untouched_share: float = 0.0
    """part of the training samples whose diffuse picture joins the batch as an input without highlights; at
    most 0.5"""
    skip_bad_files: bool = False
    """replace unreadable samples by the next one and report them, in place of stopping"""
    sixteen_bit: Literal["refuse", "scale"] = "refuse"
    """16-bit pictures, often linear while the networks learn sRGB; scale: divide by 65535"""
