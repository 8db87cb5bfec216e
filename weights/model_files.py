"""Weights in files: ours as safetensors, the authors' as they published them.

save_model(model, "savedmodel/mine.safetensors", half=True, training={"data": "SHIQ", "steps": 1000})
model = load_model("savedmodel/mine.safetensors")          # the network's name stands in the file
model = load_model("runs/mine")                            # the best weights of a run of train.py
model = load_model("Nature.mdl")                           # the AHA authors' checkpoint
model = load_model("TSHRNet_weights/", name="tshrnet-mix") # the TSHRNet authors' four files
"""

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from models import MODELS, build_model
from utils.errors import UserError
from weights.pickled import read_pickled, require_file, state_dict_in
from weights.safetensors_files import (
    checked_hyperparameters,
    read_metadata,
    read_safetensors,
    write_safetensors,
    written_metadata,
)
from weights.tshrnet_folder import is_released_tshrnet, read_released_tshrnet

# Entries that files may lack. The AHA authors draw the projection anew at every forward and save it nowhere;
# models/refine.py seeds it. MindSpore's batch norms do not count batches, and no result depends on it.
OPTIONAL = ("attention_projection.weight", "attention_projection.bias", "num_batches_tracked")
SHOWN = 3  # entries that an error names
BEST_OF_A_RUN = ("best.safetensors", "last.safetensors", "last.pt")
CHECKPOINT_KEYS = {"network", "hyperparameters", "networks", "average"}
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}


@dataclass(frozen=True)
class Weights:
    """What a file holds. `network` is None where the file does not say whose weights these are.

    `training`: how the network was trained, as far as the file says
    """

    state: dict[str, Tensor]
    network: str | None
    default: str
    hyperparameters: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)


def save_model(
    model: nn.Module, path: str | os.PathLike, *, half: bool = False, training: dict | None = None
) -> None:
    """Writes the weights of a network made by `build_model` as safetensors, atomically, with a hash of them.

    half      floating-point entries in fp16 (they come back as fp32)
    training  how it was trained, anything JSON can hold; kept in the file's metadata
    """
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    if half:
        state = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    metadata = written_metadata(model.spec.name, model.spec.hyperparameters, training or {})
    write_safetensors(path, state, metadata)


def load_model(
    path: str | os.PathLike, name: str | None = None, device: str | torch.device = "cpu"
) -> nn.Module:
    """A network in eval mode, fp32, on `device`, with the weights in `path`; its attribute `provenance` is
    what the file says of its training.

    path  our .safetensors; a run folder of train.py (its best weights) or one of its checkpoints (their
          moving average where they have one); a `torch.save` file of the AHA authors (`Nature.mdl`: a state
          dict, bare or under "model", with or without `module.`); a folder with TSHRNet's four files, of
          PyTorch (.pth) or of MindSpore (.ckpt), or one of the four
    name  the network, where the file does not say it (a foreign file is taken for "aha", a TSHRNet
          folder for "tshrnet"); where the file does, the two must agree

    Raises UserError for a missing, damaged or unsafe file and for weights of another network. Names, shapes
    and types are compared before the network is made: a file of a few bytes cannot claim gigabytes. Warns
    (UserWarning) of files without a checksum, in which damage would not be noticed.
    """
    if name is not None and name not in MODELS:
        raise UserError(f"no network {name!r}: there are {', '.join(MODELS)}")
    return network_of(read_weights(path), path, name).to(device).eval()


def read_weights(path: str | os.PathLike) -> Weights:
    """What any file that `load_model` takes holds; nothing larger than it is allocated. Raises UserError."""
    path = Path(path)
    if path.is_dir() and not is_released_tshrnet(path):
        path = _best_of_a_run(path)
    if is_released_tshrnet(path):
        state, width = read_released_tshrnet(path)
        return Weights(state, None, "tshrnet", {"width": width})
    require_file(path)
    if path.suffix == ".onnx":
        raise UserError(f"{path} is an exported network, which can only be run; name the weights behind it")
    if path.suffix == ".safetensors":
        metadata = read_metadata(path)
        return Weights(
            read_safetensors(path),
            metadata["network"],
            "aha",
            metadata["hyperparameters"],
            metadata["training"],
        )
    content = read_pickled(path)
    if isinstance(content, Mapping) and content.keys() >= CHECKPOINT_KEYS:
        return _of_checkpoint(content, path)
    return Weights(state_dict_in(content, path), None, "aha")


def network_of(weights: Weights, path: str | os.PathLike, name: str | None = None) -> nn.Module:
    """The network with the weights read from `path`, in training mode; `name` as for `load_model`."""
    if weights.network and name and weights.network != name:
        raise UserError(f"{path} holds weights of {weights.network}, not of {name}")
    wanted = weights.network or name or weights.default
    try:
        # On this device tensors have shapes and no values.
        with torch.device("meta"):
            skeleton = build_model(wanted, **weights.hyperparameters)
        check_fit(skeleton, weights.state, path)
        model = build_model(wanted, **weights.hyperparameters)
        model.provenance = weights.training
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{path} was written by another version of this program: {error}") from error
    fill(model, weights.state, path)
    return model


def fill(model: nn.Module, state: dict[str, Tensor], path: str | os.PathLike) -> None:
    """Copies `state` into `model`; raises UserError naming `path` unless names, shapes and types agree."""
    check_fit(model, state, path)
    broken = [name for name, value in state.items() if not torch.isfinite(value).all()]
    if broken:
        raise UserError(f"{path} holds values that are not finite, in {_some(broken)}: its training diverged")
    own = model.state_dict()
    kept = {name: value for name, value in own.items() if name.endswith(OPTIONAL)}
    model.load_state_dict(kept | state)


def check_fit(model: nn.Module, state: dict[str, Tensor], path: str | os.PathLike) -> None:
    """Raises UserError naming `path` unless `state` has the names, shapes and kinds of numbers of `model`."""
    own, network = model.state_dict(), model.spec.name
    missing = [name for name in own if name not in state and not name.endswith(OPTIONAL)]
    extra = [name for name in state if name not in own]
    if missing or extra:
        raise UserError(_mismatch(network, state, missing, extra, path))
    shapes = [name for name, value in state.items() if value.shape != own[name].shape]
    if shapes:
        first = shapes[0]
        raise UserError(
            f"{path} does not fit {network}: {len(shapes)} entries of other shapes, such as {first} "
            f"{tuple(state[first].shape)} instead of {tuple(own[first].shape)}: other hyper-parameters?"
        )
    for name, value in state.items():
        is_float = value.dtype in FLOATS if own[name].is_floating_point() else value.dtype == own[name].dtype
        if not is_float or value.layout != torch.strided:
            raise UserError(f"{path} does not fit {network}: {name} has numbers of type {value.dtype}")


def _best_of_a_run(folder: Path) -> Path:
    for name in BEST_OF_A_RUN:
        if (folder / name).is_file():
            return folder / name
    raise UserError(
        f"{folder} is a folder without weights: neither TSHRNet's four files (UNet1_60.pth .. UNet4_60.pth, "
        f"or .ckpt) nor a run of train.py ({', '.join(BEST_OF_A_RUN)})"
    )


def _of_checkpoint(content: Mapping, path: Path) -> Weights:
    network, networks = content["network"], content["networks"]
    hyperparameters = checked_hyperparameters(network, content["hyperparameters"], path)
    state = content["average"] or (networks.get("model") if isinstance(networks, Mapping) else None)
    progress = content.get("progress")
    training = {
        "steps": progress.get("step") if isinstance(progress, Mapping) else None,
        "averaged": bool(content["average"]),
        "options": content.get("options"),
    }
    return Weights(state_dict_in(state, path), network, network, hyperparameters, training)


def _mismatch(name: str, state: dict, missing: list[str], extra: list[str], path: str | os.PathLike) -> str:
    parts = [f"{path} does not hold the weights of {name}:"]
    if missing:
        parts.append(f"{len(missing)} entries missing ({_some(missing)})")
    if extra:
        parts.append(f"{len(extra)} entries it does not have ({_some(extra)})")
    likely = _likely_network(state)
    if likely and likely != name:
        parts.append(f"It looks like {likely}: say so (for instance {likely}:{path})")
    return "; ".join(parts).replace(":;", ":")


def _some(names: list[str]) -> str:
    shown = ", ".join(name[:80] for name in names[:SHOWN])
    return shown + (", ..." if len(names) > SHOWN else "")


def _likely_network(state: dict[str, Tensor]) -> str | None:
    """The network that shares most names and shapes with `state`, where that is more than half of them."""
    shapes = {(name, tuple(value.shape)) for name, value in state.items()}
    scores = {}
    for name in MODELS:
        entries = _entries_of(name)
        scores[name] = len(shapes & entries) / len(shapes | entries)
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] > 0.5 else None


@functools.cache
def _entries_of(network: str) -> set[tuple[str, tuple[int, ...]]]:
    with torch.device("meta"):
        own = build_model(network).state_dict()
    return {(entry, tuple(value.shape)) for entry, value in own.items()}
