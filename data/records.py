"""What every layout finds: samples on disk, by name, and the files of their layers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

PICTURES = ("input", "diffuse", "specular", "albedo", "shading", "tone_corrected")
PLANES = ("mask", "object_mask")
"""The layers that a sample may have: pictures in colour, and planes of one channel that are 0 or 1."""


@dataclass(frozen=True)
class Record:
    """One sample on disk: `files` maps sample keys ("input", "diffuse", ...) to pictures.

    `scene` names what it shares with samples that must stay on one side of a split; "": nothing. `split` is
    the side that the authors of the set put it on: "train", "test", "unused"; "": not stated.
    """

    name: str
    files: dict[str, Path]
    scene: str = ""
    split: str = ""


@dataclass
class DatasetScan:
    """What a layout found in a folder.

    records   the complete samples, in a fixed order
    problems  what is wrong with the rest, a sentence each
    notes     what was left out on purpose, a sentence each, with numbers
    unpaired  inputs without a diffuse picture: name -> a sentence; where only measuring needs all of them
              (pictures beside NAME_gt), they are not among the problems
    layout    name of the layout, where `find` looked for one
    """

    records: list[Record] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unpaired: dict[str, str] = field(default_factory=dict)
    layout: str = ""


def partial_layers(records: Sequence[Record]) -> dict[str, list[str]]:
    """Layer that some records have and others lack -> the names of those that lack it."""
    everywhere = {key for record in records for key in record.files}
    lacking = {key: [r.name for r in records if key not in r.files] for key in sorted(everywhere)}
    return {key: names for key, names in lacking.items() if names}
