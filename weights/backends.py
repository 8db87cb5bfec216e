"""Networks with their weights, computed by PyTorch or by ONNX Runtime.

An ONNX file is run by ONNX Runtime. Other weights are PyTorch's; asked for ONNX Runtime, they are exported
once into the cache folder of the user, and found there from then on.
"""

import hashlib
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from models import Separation
from models.bounds import pad_to_multiple
from utils.devices import choose_device
from utils.errors import UserError, first_line
from weights.hashing import content_hash
from weights.hub import WEIGHTS
from weights.model_files import load_model
from weights.onnx_metadata import read_facts, read_sealed, written_facts

BACKENDS = ("torch", "onnxruntime")
INPUT = "image"
OUTPUTS = ["diffuse", "highlight"]
TYPE = "tensor(float)"


class OnnxNetwork(nn.Module):
    """A file of export.py as a network: `spec` is what the file says, `precision` fp32, fp16 or int8.

    Runs on the CPU in the calling thread alone, several pictures at once from several threads, and on a GPU
    where onnxruntime was built for it. Raises UserError for a file that is missing, damaged or not ours, and
    where onnxruntime is not installed.
    """

    def __init__(self, path: str | os.PathLike):
        super().__init__()
        self.path = Path(path)
        self._lock = threading.Lock()
        self._sessions: dict[str, Any] = {}
        self.identity = ""
        """SHA-256 of the file, once it is read: its weights are no parameters of this module"""
        session = self._session(torch.device("cpu"))
        self.spec, self.precision = read_facts(session.get_modelmeta().custom_metadata_map, path)
        shape = _checked_shape(session, self.path)
        self.side = shape[2] if isinstance(shape[2], int) else None
        """the one side of square pictures that a network with attention takes; None: any multiple"""

    def forward(self, image: Tensor) -> Separation:
        """image (B, 3, H, W) in [0, 1], H, W >= 1 -> its layers, on the device of `image`.

        Raises UserError where the network takes pictures of another size only, MemoryError where memory does
        not suffice.
        """
        height, width = image.shape[-2:]
        padded = pad_to_multiple(image.float(), self.spec.multiple)
        if self.side is not None and padded.shape[-2:] != (self.side, self.side):
            raise UserError(
                f"{self.path.name} takes pictures and tiles of {self.side}x{self.side} pixels only, not of "
                f"{width}x{height}: attention fixes the size in an ONNX file; PyTorch takes all sizes"
            )
        layers = self._run(padded) if self.side is None else _each_alone(self._run, padded)
        diffuse, highlight = (layer[..., :height, :width].to(image.device) for layer in layers)
        return Separation(diffuse, image - diffuse, highlight)

    def choose_device(self, name: str) -> torch.device:
        """The device called `name`; "auto" is a GPU only where onnxruntime can use it, too.

        Raises UserError for one that onnxruntime cannot use.
        """
        has_cuda = "CUDAExecutionProvider" in _onnxruntime().get_available_providers()
        device = choose_device("cpu" if name == "auto" and not has_cuda else name)
        if device.type == "cpu" or (device.type == "cuda" and has_cuda):
            return device
        raise UserError(
            f"the installed onnxruntime cannot use {device}: the device cpu always works, and CUDA needs the "
            "package onnxruntime-gpu in its place"
        )

    def checked_precision(self, asked: str) -> str:
        """The file's own precision. Raises UserError where another one was asked for than it or "auto"."""
        if asked not in ("auto", self.precision):
            raise UserError(f"{self.path.name} computes in {self.precision}, chosen when it was exported")
        return self.precision

    def _run(self, image: Tensor) -> list[Tensor]:
        try:
            layers = self._session(image.device).run(OUTPUTS, {INPUT: image.cpu().numpy()})
        except Exception as error:  # ONNX Runtime's own classes derive from nothing narrower
            if "allocate" in str(error):
                raise MemoryError(str(error)) from error
            raise
        return [torch.from_numpy(layer) for layer in layers]

    def _session(self, device: torch.device) -> Any:
        """Made when first needed: a GPU may not be there, or never be asked for."""
        with self._lock:
            if str(device) not in self._sessions:
                content = read_sealed(self.path)
                self.identity = hashlib.sha256(content).hexdigest()
                self._sessions[str(device)] = _open(content, self.path, device)
            return self._sessions[str(device)]


def _open(content: bytes, path: Path, device: torch.device) -> Any:
    onnxruntime = _onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; it warns of every node that runs on the CPU by design
    # As for PyTorch (restoration/separator.py): a crop in one thread, several crops side by side.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda":
        # TF32 has 10 bits of mantissa.
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0, "use_tf32": 0}))
    try:
        return onnxruntime.InferenceSession(content, options, providers=providers)
    except Exception as error:  # as above
        first = first_line(error)
        raise UserError(f"{path} cannot be read as an ONNX file: {first}") from error


def _checked_shape(session: Any, path: Path) -> list[Any]:
    """The shape of the input (B, 3, H, W), in which a free side is a text. Raises UserError for other inputs
    and outputs than those of export.py."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    names = [value.name for value in (*inputs, *outputs)]
    types = {value.type for value in (*inputs, *outputs)}
    if names != [INPUT, *OUTPUTS] or types != {TYPE} or len(inputs[0].shape) != 4:
        found = ", ".join(names)[:80]
        raise UserError(f"{path}: its inputs and outputs ({found}) are not those of export.py")
    return inputs[0].shape


def _each_alone(run: Any, images: Tensor) -> list[Tensor]:
    """A file of a fixed size takes one picture at a time."""
    parts = [run(image[None]) for image in images]
    return [torch.cat(layer) for layer in zip(*parts, strict=True)]


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            "ONNX files need the package onnxruntime: pip install onnx onnxscript onnxruntime"
        ) from error
    return onnxruntime


def load_network(
    path: str | os.PathLike, name: str | None = None, *, backend: str | None = None, output: str | None = None
) -> nn.Module:
    """The network with the weights in `path`, in eval mode, to be run by `backend`.

    path, name  as `load_model` takes them; or a file of export.py, NAME.onnx; or a folder with
                model.safetensors
    backend     "torch" or "onnxruntime"; None: as the file is
    output      "diffuse" or "tone_corrected": which stage of TSHRNet is the result

    Raises UserError for weights that cannot be read, for a backend that cannot run them and where its
    packages are missing.
    """
    check_backend(backend)
    if Path(path).suffix.lower() == ".onnx":
        return _of_onnx(path, name, backend, output)
    saved = Path(path, WEIGHTS)
    network = load_model(saved if saved.is_file() else path, name)
    if output is not None:
        choose_output(network, output)
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
    said |= {
        "hyperparameters": network.spec.hyperparameters,
        "output": network.output if isinstance(network, HasOutputs) else None,
    }
    path = (folder or cache_folder()) / f"{network.spec.name}-{content_hash(said)[:16]}.onnx"
    if path.is_file():
        with suppress(UserError):  # damaged, or of another version: written anew
            return OnnxNetwork(path)
    # A network with attention takes one size only then: that of its tiles.
    export_network(network, path, "onnx", size=network.spec.tile if has_attention(network) else None)
    return OnnxNetwork(path)


def cache_folder() -> Path:
    """Where exported files are kept: ~/.cache/dehighlight, or below $XDG_CACHE_HOME where that is set."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "dehighlight")


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


@runtime_checkable
class HasOutputs(Protocol):
    """A network of which several stages can be the result: TSHRNet."""

    output: str
    """which of them is"""


def choose_output(network: nn.Module, output: str) -> None:
    """Makes the stage `output` the result of a network. Raises UserError for networks with one result."""
    if not isinstance(network, HasOutputs):
        raise UserError(f"only TSHRNet has several results; {network.spec.name} has one")
    network.output = output
