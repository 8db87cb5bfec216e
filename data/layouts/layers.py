"""What the layouts share: pictures gathered by sample and layer, and which samples are complete."""

from collections.abc import Mapping
from pathlib import Path

from data.records import DatasetScan, Record

REQUIRED = {"input": "input", "diffuse": "diffuse picture"}
"""Required layers -> their names in messages."""


class Layers:
    """The pictures of a folder by sample and layer.

    `stems` maps each layer to the stem of its files, with {} for the sample: {"input": "{}_A", ...}. It is
    used in messages only; telling layers apart is up to the layout.
    """

    def __init__(self, stems: Mapping[str, str]):
        self.stems = stems
        self._files: dict[str, dict[str, Path]] = {}
        self._doubled: dict[str, str] = {}

    def add(self, sample: str, layer: str, path: Path) -> None:
        """Adds a picture. Two pictures of one layer are a problem, since either could be meant."""
        files = self._files.setdefault(sample, {})
        if layer in files:
            self._doubled[sample] = f"{files[layer]} and {path.name} are one layer of one sample; keep one"
        files[layer] = path

    def found(self, *, scenes: bool = False) -> DatasetScan:
        """The complete samples, in the order in which they were first seen, and what the others lack.

        Samples named FOLDER/NAME share the scene FOLDER if `scenes`. An input alone is both a problem and
        `unpaired`; a sample with neither input nor diffuse picture is none.
        """
        found = DatasetScan()
        for sample, files in self._files.items():
            missing = [layer for layer in REQUIRED if layer not in files]
            if not missing and sample in self._doubled:
                found.problems.append(self._doubled[sample])
            elif not missing:
                found.records.append(
                    Record(sample, files, scene=Path(sample).parent.as_posix() if scenes else "")
                )
            elif len(missing) < len(REQUIRED):
                present = next(files[layer] for layer in REQUIRED if layer in files)
                partner = self.stems[missing[0]].format(Path(sample).name)
                problem = f"{present} has no {REQUIRED[missing[0]]} {partner} beside it"
                if missing == ["diffuse"]:
                    found.unpaired[sample] = problem
                found.problems.append(problem)
        return found
