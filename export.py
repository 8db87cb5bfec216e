"""Writes a network as an ONNX or a TorchScript file, and checks that the file computes the same.

python export.py --output aha-lite.onnx
python export.py --output aha-lite-int8.onnx --precision int8
python export.py --infer_model Nature.mdl --size 448 --output aha448.onnx
python export.py --infer_model TSHRNet_weights/ --format torchscript --output tshrnet.pt
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from utils.errors import UserError, run

if TYPE_CHECKING:
    import numpy as np


@dataclass
class ExportOptions:
    """Options of export.py."""

    output: str
    """the file to write"""
    infer_model: str | None = None
    """weights, as infer.py takes them; default: savedmodel/aha-lite.safetensors"""
    method: str | None = None
    """the network, where the weight file does not say it (aha, aha-figure, tshrnet, tshrnet-mix)"""
    format: Literal["onnx", "torchscript"] | None = None
    """default: by the suffix of the output, .onnx or .pt"""
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    """of an ONNX file: half or less than a third of the bytes, kept only where the diffuse layer reaches
    45 dB to that in fp32 on generated scenes"""
    size: int | None = None
    """side in pixels of the picture that a network with attention (aha) will take; the other networks take
    pictures of any size that is a multiple of 32 (TSHRNet: 256). Default: 224"""


def main() -> int:
    """Entry point; returns the exit code."""
    from utils.cli import parse

    options = parse(ExportOptions, prog="export.py", description=__doc__)
    kind = options.format or {".onnx": "onnx", ".pt": "torchscript"}.get(Path(options.output).suffix)
    if kind is None:
        raise UserError(f"--output {options.output}: name it .onnx or .pt, or give --format")
    if options.size is not None and options.size < 1:
        raise UserError("--size must be at least 1")
    # The heavy imports come after all that can be refused without them.
    from restoration.methods import default_weights
    from weights import load_model
    from weights.export import export_network
    from weights.missing import check_weights

    path = Path(options.infer_model or default_weights())
    check_weights(path)
    network = load_model(path, options.method)
    done = export_network(
        network,
        options.output,
        kind,
        size=options.size,
        precision=options.precision,
        pictures=lambda side: (_scenes(12, side, 20001), _scenes(8, side, 20002)),
    )
    side = done.sizes[0][0]
    takes = f"of {side}x{side}"
    if done.is_dynamic:
        takes = f"whose sides are multiples of {network.spec.multiple}"
    size = done.path.stat().st_size / 2**20
    print(
        f"{done.path}: {network.spec.name} as {kind}, {size:.1f} MiB, for pictures {takes}; at most "
        f"{done.difference:.1e} from the network itself, over {len(done.sizes)} sizes"
        + ("" if done.decibels is None else f"; {options.precision}: {done.decibels:.1f} dB to fp32 or more")
    )
    return 0


def _scenes(count: int, side: int, seed: int) -> "Iterator[np.ndarray]":
    """Generated scenes (1, 3, side, side) float32 in [0, 1], to measure an export in fewer bits on."""
    from synthetic import render_batch

    for index in range(count):
        yield render_batch([index], size=side, seed=seed)["input"].numpy()


if __name__ == "__main__":
    sys.exit(run(main))
