"""Methods by their names and weights, and networks saved so that they are found again."""

import difflib
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from torch import nn

from models import MODELS
from utils.errors import UserError
from weights.backends import check_backend, load_network
from weights.hub import CARD, WEIGHTS, download, upload, write_card
from weights.missing import check_weights
from weights.model_files import save_model

INPUT = "input"
"""The method that removes nothing."""
DEFAULT_NETWORK = "aha-lite"
DEFAULT_WEIGHTS = Path(__file__).resolve().parent.parent / "savedmodel" / "aha-lite.safetensors"

Method: TypeAlias = nn.Module | Callable[[np.ndarray], np.ndarray]
"""A network, or a function from (H, W, 3) float32 in [0, 1] to its diffuse layer of the same shape."""


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
        Whether there is such a method is for `find_method` to say.
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


def find_method(
    method: MethodSpec | str | os.PathLike,
    *,
    output: str | None = None,
    backend: str | None = None,
    revision: str | None = None,
    token: str | None = None,
) -> Method:
    """A network with its weights, or a classical method, as `HighlightRemover` takes it.

    method    what `MethodSpec.parse` takes; or, unless it is a MethodSpec, "OWNER/NAME" of a repository of
              the Hugging Face Hub
    output    "diffuse" or "tone_corrected": which stage of TSHRNet is the result
    backend   what runs a network, "torch" or "onnxruntime"; None: as the file is
    revision  branch, tag or commit of that repository
    token     to read a private one; None: the one that `hf auth login` stored

    Raises UserError where there is no such method, for a backend that cannot run it, and for weights that
    are missing, cannot be read or downloaded, or are those of another network.
    """
    spec = method if isinstance(method, MethodSpec) else MethodSpec.parse(os.fspath(method))
    check_backend(backend)
    if spec.weights is not None:
        check_weights(spec.weights)
        return load_network(spec.weights, spec.name, backend=backend, output=output)
    functions = {INPUT: _unchanged} | _classical()
    name = spec.name or ""
    if name in functions:
        if output is not None:
            raise UserError(f"{name} has one result: only TSHRNet has several")
        if backend == "onnxruntime":
            raise UserError(f"{name} is not a network: only networks run in ONNX Runtime")
        return functions[name]
    if name in MODELS:
        raise UserError(f"{name} is a network and needs weights: write {name}:PATH_OF_ITS_WEIGHTS")
    if not isinstance(method, MethodSpec) and re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        path = download(name, revision=revision, token=token)
        return load_network(path, backend=backend, output=output)
    similar = difflib.get_close_matches(name, [*functions, *MODELS], n=1)
    hint = f" (did you mean {similar[0]}?)" if similar else ""
    raise UserError(
        f"no method and no weight file {name!r}{hint}: there are {', '.join(functions)}, with weights "
        f"(NAME:PATH) {', '.join(MODELS)}, and in Python OWNER/NAME of the Hugging Face Hub"
    )


def default_weights() -> Path:
    """The weights that come with the project. Raises UserError where they do not."""
    if not DEFAULT_WEIGHTS.exists():
        raise UserError(
            f"no weights: {DEFAULT_WEIGHTS} is not there; name a file of weights, or a classical method "
            "such as shen2013"
        )
    return DEFAULT_WEIGHTS


def save_network(
    network: nn.Module,
    folder: str | os.PathLike,
    card: str | os.PathLike | None = None,
    repository: str = "OWNER/NAME",
) -> None:
    """Writes a network into a folder that `find_method` reads: its weights and a model card. The weight file
    says what the file of the network said of its training.

    card        Markdown file with the Hub's YAML front matter; None: one of what the network says of itself
    repository  the name that this card mentions

    Raises UserError for methods without weights and where the files cannot be written.
    """
    if not hasattr(network, "spec") or not any(True for _ in network.parameters()):
        raise UserError("only networks in PyTorch have weights to save; a classical method is its name")
    save_model(network, Path(folder, WEIGHTS), training=getattr(network, "provenance", None))
    write_card(network, Path(folder, CARD), card, repository)


def push_network(
    network: nn.Module,
    repository: str,
    *,
    card: str | os.PathLike | None = None,
    private: bool | None = None,
    token: str | None = None,
    message: str = "Weights of a specular highlight removal network",
) -> str:
    """Uploads a network to "OWNER/NAME" of the Hub, which is made where it does not exist; returns its URL.

    card           as for `save_network`
    private        whether a new repository is; None: the owner's setting
    token          with the right to write; None: the one that `hf auth login` stored
    message        of the commit

    Raises UserError where that fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        save_network(network, folder, card, repository)
        return upload(Path(folder), repository, private=private, token=token, message=message)


def _unchanged(image: np.ndarray) -> np.ndarray:
    return image.copy()


_unchanged.__name__ = INPUT


def _classical() -> dict:
    # Only when asked for: the classical methods bring scipy and others along.
    from classical import METHODS

    return METHODS
