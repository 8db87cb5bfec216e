"""An exported ONNX file in fewer bits, and how far its results are from those of the file itself.

fp16  weights and arithmetic in half precision; inputs and outputs stay float32
int8  weights, channel by channel, and the inputs of the convolutions in 8 bits; all else stays float32.
      Their ranges are those met on generated scenes (static quantisation). Ranges found anew for every
      picture (dynamic quantisation) are closer still, but take ONNX Runtime several times as long as float32.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

CALIBRATION_SEED, CHECK_SEED = 20001, 20002
CALIBRATION_SCENES, CHECK_SCENES = 12, 8
LEAST_DECIBELS = 45.0
"""PSNR of the diffuse layer to that of the float32 file, in every scene: an RMS error of 1.4 8-bit levels."""


def convert(source: Path, target: Path, precision: str, side: int) -> None:
    """Writes the ONNX file `source` in "fp16" or "int8" to `target`, which says so in its metadata.

    side  in pixels, of the scenes that the ranges are measured on
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    if precision == "fp16":
        model = convert_float_to_float16(onnx.load(source), keep_io_types=True)
    else:
        _quantise(source, target, side)
        model = onnx.load(target)
    said = {entry.key: entry.value for entry in model.metadata_props}
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, said | {"precision": precision})
    onnx.save(model, target)


def decibels(source: Path, target: Path, side: int) -> float:
    """PSNR of the diffuse layers, clipped to [0, 1], of two ONNX files: of the scene where it is the least.

    The scenes are others than those that the ranges were measured on.
    """
    sessions = _session(source), _session(target)
    errors = []
    for scene in _scenes(CHECK_SEED, CHECK_SCENES, side):
        first, second = (session.run(["diffuse"], {"image": scene})[0].clip(0, 1) for session in sessions)
        errors.append(np.mean((first.astype(np.float64) - second) ** 2))
    largest = float(np.max(errors))  # NaN stays NaN
    return -10 * math.log10(largest) if largest else math.inf


def _quantise(source: Path, target: Path, side: int) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Scenes(CalibrationDataReader):
        scenes = _scenes(CALIBRATION_SEED, CALIBRATION_SCENES, side)

        def get_next(self) -> dict[str, np.ndarray] | None:
            scene = next(self.scenes, None)
            return None if scene is None else {"image": scene}

    with _silent():
        quantize_static(
            source,
            target,
            Scenes(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            # Seven bits for the weights: with eight, processors without VNNI overflow.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def _scenes(seed: int, count: int, side: int) -> Iterator[np.ndarray]:
    """Inputs (1, 3, side, side) float32 in [0, 1]."""
    from synthetic import render_batch

    for index in range(count):
        yield render_batch([index], size=side, seed=seed)["input"].numpy()


def _session(path: Path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


@contextmanager
def _silent() -> Iterator[None]:
    """Without the library's advice on preparing files, which does not apply to those that torch wrote."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
