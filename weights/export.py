"""Networks as files that other programs run: ONNX and TorchScript.

The exported network takes an image and gives two layers:

    image      (B, 3, H, W) float32 in [0, 1]
    diffuse    (B, 3, H, W) float32, about [0, 1], not clamped
    highlight  (B, 1, H, W) float32, where and how strongly

Of the convolutional networks B, H and W are free, H and W multiples of `spec.multiple`; attention fixes all
three.
"""

import copy
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.inference import prepare_for_inference
from utils.atomic import atomic_path
from utils.errors import UserError, first_line
from weights.onnx_metadata import ONNX_PRECISIONS, seal, written_facts
from weights.onnx_precision import LEAST_DECIBELS, convert, lowest_psnr

CLOSE = 1e-4  # largest difference from the network itself that is let pass
OF_ROUNDING = 4  # or, where it is more, this many times the rounding of the network itself
LAYERS = ("diffuse", "highlight")
Runner = Callable[[Tensor], list[Tensor]]


@dataclass(frozen=True)
class Exported:
    """What `export_network` wrote.

    difference  the largest of the file in fp32 from the network itself, over `sizes` (H, W)
    decibels    PSNR of the file in another precision to that in fp32, on the picture where it is the lowest
    """

    path: Path
    sizes: list[tuple[int, int]]
    difference: float
    is_dynamic: bool
    decibels: float | None = None


class Layers(nn.Module):
    """The diffuse layer and the highlight map of a network, as a tuple."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> (B, 3, H, W), (B, 1, H, W)."""
        result = self.network(image)
        return result.diffuse, result.highlight


def export_network(
    network: nn.Module,
    path: str | os.PathLike,
    format: str,
    *,
    size: int | None = None,
    precision: str = "fp32",
    pictures: Callable[[int], Sequence[Iterable[np.ndarray]]] | None = None,
) -> Exported:
    """Writes `network` (of `models.build_model`) to `path`, and checks what the file computes.

    format  "onnx" (run by ONNX Runtime) or "torchscript" (run by torch.jit.load, also from C++)
    size    side in pixels of the picture that it is traced with, rounded up to a multiple of `spec.multiple`,
            the only one that a network with attention takes then. None: 224, at least two multiples
    precision  of an ONNX file: "fp32", "fp16" or "int8" (weights/onnx_precision.py)
    pictures   for fp16 and int8: side in pixels -> pictures (1, 3, side, side) float32 in [0, 1] to measure
               ranges on, and others to compare the result on

    The file is run on random images, of other sizes too where it takes them, and is only put in place where
    no value differs by more than 1e-4 from the network itself (of layers larger than 1: of their largest
    value), or by more than 4 times what the network's own rounding amounts to, its distance from the same in
    double precision; sharp attention makes that large in untrained networks. In fewer bits the diffuse layer
    must reach 45 dB to that in fp32, on `pictures`. Raises UserError where either does not hold, where
    the packages of the extra `onnx` are missing, and where the network cannot be exported.
    """
    _check_kind(format, precision)
    multiple = network.spec.multiple
    side = max(multiple * -(-(size or 224) // multiple), 2 * multiple if size is None else multiple)
    is_dynamic = not has_attention(network)
    layers = Layers(prepare_for_inference(network, fold_batch_norm=False, channels_last=False))
    write, open_file = FORMATS[format]
    sizes = [(side, side)] + ([(side + multiple, side), (multiple, 3 * multiple)] if is_dynamic else [])
    with atomic_path(path) as temporary:
        try:
            with warnings.catch_warnings(
                action="ignore"
            ):  # tracing warns of every size that it takes as fixed
                write(layers, temporary, side, is_dynamic)
        except (RuntimeError, ValueError, TypeError) as error:
            raise UserError(
                f"{network.spec.name} cannot be exported as {format}: {first_line(error)}"
            ) from error
        difference, rounding = _differences(network, open_file(temporary), sizes)
        allowed = max(CLOSE, OF_ROUNDING * rounding)
        if not difference <= allowed:
            raise UserError(
                f"the {format} file of {network.spec.name} differs by {difference:.2g} from the network "
                f"(allowed: {allowed:.2g}); it was not kept"
            )
        reached = None
        if precision != "fp32":
            if pictures is None:
                raise ValueError(f"{precision} needs pictures to measure on")
            calibration, check = pictures(side)
            reached = _reduce(temporary, precision, calibration, check, network.spec.name)
        if format == "onnx":
            seal(temporary)
    return Exported(Path(path), sizes, difference, is_dynamic, reached)


def _check_kind(format: str, precision: str) -> None:
    if format not in FORMATS:
        raise UserError(f"no format {format!r}: choose {' or '.join(FORMATS)}")
    if precision not in ONNX_PRECISIONS:
        raise UserError(f"no precision {precision!r}: choose {', '.join(ONNX_PRECISIONS)}")
    if precision != "fp32" and format != "onnx":
        raise UserError(f"{precision} is of ONNX files only, {format} is written in fp32")


def _reduce(
    path: Path,
    precision: str,
    calibration: Iterable[np.ndarray],
    check: Iterable[np.ndarray],
    name: str,
) -> float:
    """Puts the file into another precision; returns how close it is, in decibels. Raises UserError."""
    with tempfile.TemporaryDirectory() as folder:
        reduced = Path(folder, path.name)
        try:
            convert(path, reduced, precision, calibration)
        except (RuntimeError, ValueError, TypeError) as error:
            raise UserError(f"{name} cannot be written in {precision}: {first_line(error)}") from error
        reached = lowest_psnr(path, reduced, check)
        if not reached >= LEAST_DECIBELS:
            raise UserError(
                f"{name} in {precision} reaches only {reached:.1f} dB to itself in fp32 (at least "
                f"{LEAST_DECIBELS:.0f}); it was not kept"
            )
        shutil.copyfile(reduced, path)
    return reached


def has_attention(network: nn.Module) -> bool:
    """True where the number of tokens decides what is computed, as in the released AHA network."""
    return any(name.endswith("attention_projection") for name, _ in network.named_modules())


def _write_torchscript(layers: nn.Module, path: Path, side: int, is_dynamic: bool) -> None:
    with torch.no_grad():
        traced = torch.jit.trace(layers, torch.rand(1, 3, side, side), check_trace=False)
    traced.save(str(path))


def _write_onnx(layers: nn.Module, path: Path, side: int, is_dynamic: bool) -> None:
    _require("onnx", "onnxscript", "onnxruntime")
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    spec = layers.network.spec
    shapes, image = None, torch.rand(1, 3, side, side)
    if is_dynamic:
        rows, columns = torch.export.Dim("rows", min=1, max=512), torch.export.Dim("columns", min=1, max=512)
        batch = torch.export.Dim("batch", min=1, max=4096)
        shapes = ({0: batch, 2: spec.multiple * rows, 3: spec.multiple * columns},)
        image = torch.rand(2, 3, side, side + spec.multiple)  # a side of one alone would be taken as fixed
    program = torch.onnx.export(
        layers,
        (image,),
        input_names=["image"],
        output_names=list(LAYERS),
        dynamic_shapes=shapes,
        opset_version=18,
        dynamo=True,
        verbose=False,
    )
    # The exporter notes for every operation where it stands in the code, with the paths of this machine.
    ClearMetadataAndDocStringPass()(program.model)
    program.model.metadata_props.update(written_facts(spec, "fp32"))
    program.save(str(path))


def _open_torchscript(path: Path) -> Runner:
    with warnings.catch_warnings(action="ignore"):
        module = torch.jit.load(str(path), map_location="cpu")
    return lambda image: list(module(image))


def _open_onnx(path: Path) -> Runner:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])

    def run(image: Tensor) -> list[Tensor]:
        return [torch.from_numpy(layer) for layer in session.run(list(LAYERS), {"image": image.numpy()})]

    return run


def _differences(network: nn.Module, runner: Runner, sizes: list[tuple[int, int]]) -> tuple[float, float]:
    """The file's largest difference from the network, and the network's own from double precision."""
    exact = Layers(copy.deepcopy(network).eval().double())
    layers = Layers(copy.deepcopy(network).eval())
    differences, roundings = [], []
    for height, width in sizes:
        image = torch.from_numpy(np.random.default_rng(height).random((1, 3, height, width), np.float32))
        with torch.no_grad():
            wanted, found, precise = layers(image), runner(image), exact(image.double())
        for own, other, certain in zip(wanted, found, precise, strict=True):
            scale = certain.abs().max().clamp_min(1)
            differences.append(((own - other).abs().max() / scale).item())
            roundings.append(((own - certain).abs().max() / scale).item())
    return float(np.max(differences)), float(np.max(roundings))  # NaN stays NaN


def _require(*packages: str) -> None:
    for package in packages:
        try:
            __import__(package)
        except ImportError as error:
            raise UserError(
                f"ONNX files need the package {package}: pip install onnx onnxscript onnxruntime"
            ) from error


FORMATS = {"onnx": (_write_onnx, _open_onnx), "torchscript": (_write_torchscript, _open_torchscript)}
