"""An exported ONNX file in fewer bits, and how far its results are from those of the file itself.

fp16  weights and arithmetic in half precision; inputs and outputs stay float32
int8  weights, channel by channel, and the inputs of the convolutions in 8 bits; all else stays float32.
      Their ranges are those met on pictures that the caller gives (static quantisation). Ranges found anew
      for every picture (dynamic quantisation) are closer still, but several times as slow as float32.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from utils.colour import psnr

LEAST_DECIBELS = 45.0
"""PSNR of the diffuse layer to that of the float32 file, on every picture: an RMS error of 1.4 of 255."""


def convert(source: Path, target: Path, precision: str, pictures: Iterable[np.ndarray]) -> None:
    """Writes the ONNX file `source` in "fp16" or "int8" to `target`, which says so in its metadata.

    pictures  (1, 3, H, W) float32 in [0, 1], on which the ranges of int8 are measured
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    if precision == "fp16":
        model = convert_float_to_float16(onnx.load(source), keep_io_types=True)
    else:
        _quantise(source, target, pictures)
        model = onnx.load(target)
    written = {entry.key: entry.value for entry in model.metadata_props}
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, written | {"precision": precision})
    onnx.save(model, target)


def lowest_psnr(source: Path, target: Path, pictures: Iterable[np.ndarray]) -> float:
    """PSNR in dB of the diffuse layers, clipped to [0, 1], of two ONNX files, on the picture where it is the
    lowest; `pictures` as for `convert`, and others than those."""
    sessions = _session(source), _session(target)
    errors = []
    for picture in pictures:
        first, second = (session.run(["diffuse"], {"image": picture})[0].clip(0, 1) for session in sessions)
        errors.append(np.mean((first.astype(np.float64) - second) ** 2))
    return psnr(float(np.max(errors)))  # NaN stays NaN


def _quantise(source: Path, target: Path, pictures: Iterable[np.ndarray]) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    remaining = iter(pictures)

    class Pictures(CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:
            picture = next(remaining, None)
            return None if picture is None else {"image": picture}

    with _silent():
        quantize_static(
            source,
            target,
            Pictures(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            # Seven bits for the weights: with eight, processors without VNNI overflow.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


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
