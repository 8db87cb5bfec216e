"""What computes a network: PyTorch, or ONNX Runtime from an exported file.

An ONNX file is run by ONNX Runtime. Other weights are PyTorch's; asked for ONNX Runtime, they are exported
once into the cache folder of the user, and found there from then on.
"""

import os
from contextlib import suppress
from pathlib import Path

from torch import nn

from restoration.onnx_network import OnnxNetwork
from utils.errors import UserError
from weights.hashing import content_hash
from weights.model_files import load_model
from weights.onnx_metadata import written_facts

BACKENDS = ("torch", "onnxruntime")


def load_network(
    path: str | os.PathLike, name: str | None = None, *, backend: str | None = None, output: str | None = None
) -> nn.Module:
    """The network with the weights in `path`, in eval mode, to be run by `backend`.

    path, name  as `load_model` takes them; or a file of export.py, NAME.onnx
    backend     "torch" or "onnxruntime"; None: as the file is
    output      "diffuse" or "tone_corrected": which stage of TSHRNet is the result

    Raises UserError for weights that cannot be read, for a backend that cannot run them and where its
    packages are missing.
    """
    check_backend(backend)
    if Path(path).suffix.lower() == ".onnx":
        return _of_onnx(path, name, backend, output)
    network = load_model(path, name)
    if output is not None:
        _choose_output(network, output)
    return in_onnxruntime(network) if backend == "onnxruntime" else network


def check_backend(backend: str | None) -> None:
    """Raises UserError for another backend than those of BACKENDS."""
    if backend not in (None, *BACKENDS):
        raise UserError(f"no backend {backend!r}: choose {' or '.join(BACKENDS)}")


def in_onnxruntime(network: nn.Module, folder: Path | None = None) -> OnnxNetwork:
    """The same network in ONNX Runtime, by a file in `folder`, which is written where it is not there.

    folder  None: `cache_folder()`

    Raises UserError where the network cannot be exported and where the file cannot be written. Several
    threads and processes may do so at once.
    """
    from weights.export import export_network, has_attention  # needed the first time only

    said = {"facts": written_facts(network.spec, "fp32"), "state": network.state_dict()}
    said |= {"hyperparameters": network.spec.hyperparameters, "output": getattr(network, "output", None)}
    path = (folder or cache_folder()) / f"{network.spec.name}-{content_hash(said)[:16]}.onnx"
    if path.is_file():
        with suppress(UserError):  # damaged, or of another version: written anew
            return OnnxNetwork(path)
    # A network with attention takes one size only then: that of its tiles.
    export_network(network, path, "onnx", size=network.spec.tile if has_attention(network) else None)
    return OnnxNetwork(path)


def cache_folder() -> Path:
    """Where exported files are kept: ~/.cache/specular, or below $XDG_CACHE_HOME where that is set."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "specular")


def _of_onnx(
    path: str | os.PathLike, name: str | None, backend: str | None, output: str | None
) -> OnnxNetwork:
    if backend == "torch":
        raise UserError(f"{path} runs in ONNX Runtime alone; PyTorch needs the weights behind it")
    network = OnnxNetwork(path)
    if name not in (None, network.spec.name):
        raise UserError(f"{path} holds {network.spec.name}, not {name}")
    if output is not None:
        raise UserError(f"{path} has one result, chosen when it was exported")
    return network


def _choose_output(network: nn.Module, output: str) -> None:
    if not hasattr(network, "output"):
        raise UserError(f"only TSHRNet has several results; {network.spec.name} has one")
    network.output = output
