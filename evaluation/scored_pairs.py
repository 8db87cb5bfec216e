"""Pairs to be scored: a picture and its ground truth, as files and as arrays."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from utils.colour import grey_to_rgb, srgb_encode, to_unit
from utils.errors import UserError
from utils.image_files import read_picture


@dataclass(frozen=True)
class Sample:
    """One pair in memory.

    image, ground_truth  (H, W, 3) uint8 or uint16, as in the files (after `transfer`)
    mask                 bool (H, W), the data set's own highlight mask T, or None
    specular             (H, W, 3) uint8 or uint16 display values, or None
    object_mask          bool (H, W), or None
    """

    image: np.ndarray
    ground_truth: np.ndarray
    mask: np.ndarray | None = None
    specular: np.ndarray | None = None
    object_mask: np.ndarray | None = None


@dataclass(frozen=True)
class Pair:
    """Files of one pair. `linear`: they hold linear values; `encode`: the sRGB curve is applied."""

    name: str
    files: dict[str, Path]
    compared_layer: str = "diffuse"
    linear: bool = False
    encode: bool = False

    @property
    def input_file(self) -> Path:
        return self.files["input"]

    def load(self) -> Sample:
        """Reads the pair. Raises UserError naming the file that is unreadable or of another size."""
        layers = {
            key: _read(self.files[key], encode=self.linear and (self.encode or key == "specular"))
            for key in {"input", self.compared_layer, "specular"} & self.files.keys()
        }
        planes = {key: _read_mask(self.files[key]) for key in ("mask", "object_mask") if key in self.files}
        size = layers["input"].shape[:2]
        for key, layer in (layers | planes).items():
            if layer.shape[:2] != size:
                raise UserError(
                    f"{self.files[key]} is {layer.shape[1]}x{layer.shape[0]} but {self.input_file} is "
                    f"{size[1]}x{size[0]}: pictures of a pair must have one size"
                )
        return Sample(
            layers["input"],
            layers[self.compared_layer],
            planes.get("mask"),
            layers.get("specular"),
            planes.get("object_mask"),
        )


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


def _read(path: Path, encode: bool) -> np.ndarray:
    """(H, W, 3) in the file's own integer type; 32-bit floats become 16-bit integers."""
    pixels = grey_to_rgb(read_picture(path).pixels)
    if not encode and pixels.dtype != np.float32:
        return pixels
    values = to_unit(pixels, np.float64)
    return np.rint((srgb_encode(values) if encode else values) * 65535).astype(np.uint16)


def _read_mask(path: Path) -> np.ndarray:
    values = to_unit(read_picture(path).pixels, np.float64)
    return (values if values.ndim == 2 else values.mean(axis=2)) >= 0.5
