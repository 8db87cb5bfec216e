"""A method by name: the input itself, a classical method, or a network with its weights."""

import difflib
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models import MODELS
from restoration.backends import check_backend, load_network
from restoration.pretrained import DEFAULT_NETWORK, default_weights
from restoration.remover import HighlightRemover
from utils.errors import UserError

INPUT = "input"
"""The method that removes nothing."""


@dataclass(frozen=True)
class MethodSpec:
    """Which method is meant: what its name, the path of its weights and its test-time options say."""

    name: str | None = None
    """"input", a classical method ("shen2013", ...) or a network ("aha", ...); None: the network that the
    weights name"""
    weights: Path | None = None
    """file or folder with a network's weights"""
    test_time_augmentation: int | None = None
    """as `HighlightRemover` takes it; None: what is usual for the network"""

    @classmethod
    def parse(cls, text: str) -> "MethodSpec":
        """The method meant by "input", "shen2013", "NETWORK:PATH", or PATH alone, that of some weights.

        "@1", "@2" or "@4" behind them asks for test-time augmentation. The shipped network needs no path.
        Whether there is such a method is for `load_method` to say.
        """
        copies = None
        path, _, digits = text.rpartition("@")
        if path and digits.isdecimal() and not os.path.exists(text):
            text, copies = path, int(digits)
        name, separator, path = text.partition(":")
        if separator and name in MODELS:
            return cls(name, Path(path), copies)
        if text == DEFAULT_NETWORK:
            return cls(text, default_weights(), copies)
        if text in (INPUT, *_classical(), *MODELS) or not os.path.exists(text):
            return cls(text, None, copies)
        return cls(None, Path(text), copies)

    @classmethod
    def choose(
        cls, method: str | None, weights: str | None, test_time_augmentation: int | None = None
    ) -> "MethodSpec":
        """Of a method's name and weights where they were given apart; without either the shipped network.

        Raises UserError for weights with a method that takes none.
        """
        spec = cls.parse(method or DEFAULT_NETWORK) if method or not weights else cls()
        if weights is not None:
            if spec.name not in (None, *MODELS):
                raise UserError(f"{spec.name} takes no weights; these do: {', '.join(MODELS)}")
            spec = replace(spec, weights=Path(weights))
        if test_time_augmentation is not None:
            spec = replace(spec, test_time_augmentation=test_time_augmentation)
        return spec

    def __str__(self) -> str:
        words = ":".join(str(part) for part in (self.name, self.weights) if part is not None)
        return words if self.test_time_augmentation is None else f"{words}@{self.test_time_augmentation}"


def load_method(
    method: MethodSpec | str, *, output: str | None = None, backend: str | None = None, **remover_options
) -> HighlightRemover:
    """A remover for a method, or for what `MethodSpec.parse` makes of its name.

    output           "diffuse" or "tone_corrected": which stage of TSHRNet is the result
    backend          what runs a network, "torch" or "onnxruntime"; None: ONNX Runtime for ONNX files alone
    remover_options  of HighlightRemover

    Raises UserError for an unknown name, missing weights, weights of another network.
    """
    spec = MethodSpec.parse(method) if isinstance(method, str) else method
    if spec.test_time_augmentation is not None:
        remover_options["test_time_augmentation"] = spec.test_time_augmentation
    check_backend(backend)
    if spec.weights is None:
        if spec.name in (INPUT, *_classical()) and output is not None:
            raise UserError(f"{spec.name} has one result: only TSHRNet has several")
        if spec.name in (INPUT, *_classical()) and backend == "onnxruntime":
            raise UserError(f"{spec.name} is no network: only networks run in ONNX Runtime")
        if spec.name == INPUT:
            return HighlightRemover(_unchanged, **remover_options)
        if spec.name in _classical():
            return HighlightRemover(_classical()[spec.name], **remover_options)
        if spec.name in MODELS:
            raise UserError(
                f"{spec.name} is a network and needs weights: write {spec.name}:PATH_OF_ITS_WEIGHTS"
            )
        similar = difflib.get_close_matches(spec.name, [*_classical(), *MODELS], n=1)
        hint = f" (did you mean {similar[0]}?)" if similar else ""
        raise UserError(
            f"no method and no weight file {spec.name!r}{hint}: there are {INPUT}, "
            f"{', '.join(_classical())}, and with weights (NAME:PATH) {', '.join(MODELS)}"
        )
    network = load_network(spec.weights, spec.name, backend=backend, output=output)
    return HighlightRemover(network, **remover_options)


def _unchanged(image: np.ndarray) -> np.ndarray:
    return image.copy()


_unchanged.__name__ = INPUT


def _classical() -> dict:
    # Only when asked for: the classical methods bring scipy and others along.
    from classical import METHODS

    return METHODS
