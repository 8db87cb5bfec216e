"""Methods by name or from the Hugging Face Hub, and networks saved so that both can find them."""

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import nn

from restoration.backends import check_backend, load_network
from utils.errors import UserError
from weights.hub import CARD, WEIGHTS, download, upload, write_card
from weights.model_files import save_model

DEFAULT_NETWORK = "aha-lite"
DEFAULT_WEIGHTS = Path(__file__).resolve().parent.parent / "savedmodel" / "aha-lite.safetensors"


def default_weights() -> Path:
    """The weights that come with the project. Raises UserError where they do not."""
    if not DEFAULT_WEIGHTS.exists():
        raise UserError(
            f"no weights: {DEFAULT_WEIGHTS} is not there; name a file of weights, or a classical method "
            "such as shen2013"
        )
    return DEFAULT_WEIGHTS


def find_method(
    name: str | os.PathLike,
    *,
    revision: str | None = None,
    token: str | None = None,
    backend: str | None = None,
) -> nn.Module | Callable[[np.ndarray], np.ndarray]:
    """A network with its weights, or a classical method, as `HighlightRemover` takes it.

    name      "aha-lite", the shipped network; a classical method ("shen2013", ...); a path that
              `load_network` takes, or a folder of `save_network`; or "OWNER/NAME" of a repository of the Hub
    revision  branch, tag or commit of that repository
    token     to read a private one; None: the one that `hf auth login` stored
    backend   of a network, as `load_network` takes it

    Raises UserError where there is no such method, for a backend that cannot run it, and for weights that
    cannot be read or downloaded.
    """
    from classical import METHODS

    text = os.fspath(name)
    if text == DEFAULT_NETWORK:
        return load_network(default_weights(), backend=backend)
    if text in METHODS:
        check_backend(backend)
        if backend == "onnxruntime":
            raise UserError(f"{text} is no network: only networks run in ONNX Runtime")
        return METHODS[text]
    if os.path.exists(text):
        saved = Path(text, WEIGHTS)
        return load_network(saved if saved.is_file() else text, backend=backend)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", text):
        return load_network(download(text, revision=revision, token=token), backend=backend)
    raise UserError(
        f"no method, no weights and no repository {text!r}: there are {DEFAULT_NETWORK}, "
        f"{', '.join(METHODS)}, paths of weights, and OWNER/NAME of the Hugging Face Hub"
    )


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
