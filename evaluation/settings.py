"""What a user chooses for an evaluation, and the part of it that decides a score."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from evaluation.datasets import DatasetName
from evaluation.metrics import DETECTION, METRICS
from utils.errors import UserError

EPILOG = "docs/EVALUATION.md defines every number."
DEFAULT_METRICS = (
    *("psnr", "ssim", "ssim7", "mse", "rmse", "delta_e", "chroma_error"),
    *("greyer", "residual", "contour"),
)
REGION_NAMES = ("whole", "highlight", "clipped", "rest", "object")
PROTOCOLS = {
    "native": "original size; results rounded to the bit depth of the files",
    "released": (
        "released arithmetic (network at 224x224 or 448x448, bicubic back, truncated to 8 bit), "
        "scored at original size"
    ),
    "256": "result at original size, then result and ground truth resized to 256x256, bilinear",
}


@dataclass
class PairOptions:
    """The pairs."""

    dataroot: Path
    """folder of the data set"""
    test_dir: str | None = None
    """split folder below dataroot (default: "test" where it exists, else dataroot itself)"""
    dataset: DatasetName = "auto"
    """layout of the data set; auto finds it from the names of the files"""
    input_glob: str | None = None
    """pairs by two patterns below dataroot: the inputs, where * stands for the name"""
    target_glob: str | None = None
    """the ground truth that belongs to input_glob"""
    list_file: str | None = None
    """pairs from a TSHRNet list file (4 or 7 columns, paths relative to dataroot)"""
    ground_truth: Literal["diffuse", "tone_corrected"] | None = None
    """the layer that results are compared with (default: diffuse; with --table sshr tone_corrected)"""
    transfer: Literal["linear", "srgb"] | None = None
    """linear data (MIT Intrinsic, two patterns): score the linear values as stored, or encoded as sRGB"""
    limit: int | None = None
    """score only the first pictures by name"""


@dataclass
class MethodOptions:
    """The methods, and how networks are run."""

    methods: list[str] = field(default_factory=list)
    """methods to score beside the input: classical ones, NETWORK:WEIGHTS, WEIGHTS, results:FOLDER[:PATTERN];
    NAME=METHOD gives the method another name in the tables"""
    reference: str | None = None
    """a method that the others are compared with picture by picture, beside the input"""
    output: Literal["tone_corrected", "diffuse"] = "tone_corrected"
    """TSHRNet only: which of its stages is scored"""
    object_mask: bool | None = None
    """multiply results by the object mask (default: for sshr and list files, as their authors do)"""
    device: str = "auto"
    """auto, cpu, cuda, or another torch device"""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """arithmetic of the networks"""
    workers: int = 0
    """number of processes; 0 works in this one"""


@dataclass(kw_only=True)
class RemovalOptions:
    """How highlights are removed."""

    working_size: int | None = None
    """longer side in pixels to which larger pictures are reduced for networks; 0: full size; default: by the
    network, as in infer.py"""
    exposure: float | None = None
    """what pictures are multiplied by for networks, at least 1; default: by network and picture, as in
    infer.py"""
    strength: float = 1.0
    """from 0 to 1.5: how much of the specular layer found is removed"""

    @property
    def removal(self) -> dict[str, Any]:
        """These options as keyword arguments, of Settings and of HighlightRemover.from_pretrained."""
        return {known.name: getattr(self, known.name) for known in fields(RemovalOptions)}


@dataclass
class ScoreOptions:
    """The scores."""

    protocol: Literal["native", "released", "256"] = "native"
    """native: original size; released: the released code's arithmetic; 256: scored at 256x256"""
    metrics: list[str] = field(default_factory=lambda: list(DEFAULT_METRICS))
    """any of psnr, psnr_channels, ssim (11x11 Gaussian), ssim7 (7x7 uniform), ssim3d (11x11x11 Gaussian),
    mse, rmse, delta_e, chroma_error, greyer, residual, contour, lpips"""
    lpips: bool = False
    """also LPIPS (AlexNet; needs its ImageNet weights)"""
    map_threshold: str = "0.5"
    """threshold of predicted highlight maps: a number in (0, 1], or otsu; specular: one Otsu pass on the
    removed layer instead of the map"""
    seed: int = 0
    """seed of the bootstrap"""


@dataclass
class OutputOptions:
    """Tables and files."""

    out: Path = Path("results")
    """folder for tables, scores and results; pictures that are finished there are not computed again"""
    fresh: bool = False
    """compute finished pictures again"""
    allow_missing: bool = False
    """exit with 0 although some inputs have no ground truth or some pictures failed"""
    table: Literal["shiq", "psd", "sshr", "laboratory"] | None = None
    """a paper's table: its methods that exist here are computed and shown beside the published figures"""
    regions: list[str] = field(default_factory=list)
    """only the tables of these regions: whole, highlight, clipped, rest, object (default: all; in table.tex
    whole)"""
    columns: list[str] = field(default_factory=list)
    """only these columns of the tables: names of metrics, accuracy, ber, iou, f1 (default: all; in table.tex
    psnr, ssim and lpips)"""
    sheets: bool = True
    """write contact sheets of each method's worst and best pictures"""
    figures: bool = False
    """write figures as PNG and PDF: pictures of all methods side by side, PSNR before and after"""
    figure_pictures: list[str] = field(default_factory=list)
    """names of the pictures in the figure (default: the first four)"""


@dataclass
class EvaluateOptions(OutputOptions, ScoreOptions, RemovalOptions, MethodOptions, PairOptions):
    """Options of evaluate.py."""

    @property
    def compared_layer(self) -> str:
        """The layer that results are compared with, "diffuse" or "tone_corrected"."""
        return self.ground_truth or ("tone_corrected" if self.table == "sshr" else "diffuse")

    def settings(self) -> "Settings":
        """The settings of the scores. Raises UserError for an unknown metric or a threshold out of range."""
        names = [*self.metrics, *(["lpips"] if self.lpips else [])]
        unknown = [name for name in names if name not in METRICS]
        if unknown:
            raise UserError(f"`metrics={unknown[0]}` is not known; choose from {' '.join(METRICS)}")
        columns = METRICS | DETECTION
        wrong = [name for name in self.regions if name not in REGION_NAMES]
        wrong += [name for name in self.columns if name not in columns]
        if wrong:
            raise UserError(
                f"{wrong[0]} is no region ({' '.join(REGION_NAMES)}) and no column ({' '.join(columns)})"
            )
        if not _is_threshold(self.map_threshold):
            raise UserError(f"`map_threshold={self.map_threshold}`: a number in (0, 1], otsu or specular")
        if self.table == "laboratory":
            names.append("ssim3d")
        return Settings(
            protocol=self.protocol,
            metrics=tuple(dict.fromkeys(names)),
            map_threshold=self.map_threshold,
            device=self.device,
            precision=self.precision,
            output=self.output,
            **self.removal,
            mask_results=bool(self.object_mask),
        )


@dataclass(frozen=True)
class Settings:
    """All that decides a score beside the method and the files."""

    protocol: str = "native"
    metrics: tuple[str, ...] = DEFAULT_METRICS
    map_threshold: str = "0.5"
    device: str = "auto"
    precision: str = "auto"
    output: str = "tone_corrected"
    """the stage of TSHRNet that is scored: tone_corrected or diffuse"""
    working_size: int | None = None
    """of networks, as restoration.HighlightRemover takes it"""
    exposure: float | None = None
    """of networks, as restoration.HighlightRemover takes it"""
    strength: float = 1.0
    """of networks and classical methods, as restoration.HighlightRemover takes it"""
    mask_results: bool = False
    """multiply what methods made (not the input, not other programs' results) by the object mask"""

    @property
    def remover_options(self) -> dict[str, str | int | float | None]:
        """Keyword arguments of HighlightRemover.from_pretrained."""
        return {
            "device": self.device,
            "precision": self.precision,
            "protocol": "released" if self.protocol == "released" else "native",
            "working_size": self.working_size,
            "exposure": self.exposure,
            "strength": self.strength,
        }


def _is_threshold(text: str) -> bool:
    try:
        return text in ("otsu", "specular") or 0 < float(text) <= 1
    except ValueError:
        return False
