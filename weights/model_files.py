"""Weights in files: ours as safetensors, the authors' as they published them.

save_model(model, "savedmodel/mine.safetensors", half=True, training={"data": "SHIQ", "steps": 1000})
model = load_model("savedmodel/mine.safetensors")          # the network's name stands in the file
model = load_model("Nature.mdl")                           # the AHA authors' checkpoint
model = load_model("TSHRNet_weights/", name="tshrnet-mix") # the TSHRNet authors' four files
"""

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from models import MODELS, build_model, with_added
from utils.atomic import atomic_path
from utils.errors import UserError
from weights.pickled import read_pickled, state_dict_in
from weights.tshrnet_folder import is_released_tshrnet, read_released_tshrnet

FORMAT = "specular-highlight-removal 1"
# The authors draw this layer anew at every forward and save it nowhere; models/refine.py seeds it.
OPTIONAL = {"attention_projection.weight", "attention_projection.bias"}
SHOWN = 3  # entries that an error names


def save_model(
    model: nn.Module, path: str | os.PathLike, *, half: bool = False, training: dict | None = None
) -> None:
    """Writes the weights of a network made by `build_model` as safetensors, atomically.

    half      floating-point entries in fp16 (they come back as fp32)
    training  how it was trained, anything JSON can hold; kept in the file's metadata
    """
    spec = model.spec
    metadata = {
        "format": FORMAT,
        "network": spec.name,
        "hyperparameters": json.dumps(spec.hyperparameters),
        "training": json.dumps(training or {}),
    }
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    if half:
        state = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    with atomic_path(path) as temporary:
        save_file(state, temporary, metadata)


def load_model(
    path: str | os.PathLike, name: str | None = None, device: str | torch.device = "cpu"
) -> nn.Module:
    """A network in eval mode, fp32, on `device`, with the weights in `path`.

    path  our .safetensors; a `torch.save` file of the AHA authors (`Nature.mdl`: a state dict, bare or
          under "model", with or without `module.`); a folder with TSHRNet's four files
    name  the network, where the file does not say it (a foreign file is taken for "aha", a TSHRNet
          folder for "tshrnet"); where the file does, the two must agree

    Raises UserError for a missing, truncated or unsafe file and for weights of another network.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"no such weight file: {path}")
    if name is not None and name not in MODELS:
        raise UserError(f"no network {name!r}: there are {', '.join(MODELS)}")
    if is_released_tshrnet(path):
        state, saved_name, hyperparameters = read_released_tshrnet(path), None, {}
        default = "tshrnet"
    elif path.is_dir():
        raise UserError(f"{path} is a folder without TSHRNet's weight files UNet1_60.pth .. UNet4_60.pth")
    elif path.suffix == ".safetensors":
        state, saved_name, hyperparameters = _read_safetensors(path)
        default = "aha"
    else:
        state, saved_name, hyperparameters = state_dict_in(read_pickled(path), path), None, {}
        default = "aha"
    if saved_name and name and saved_name != name:
        raise UserError(f"{path} holds weights of {saved_name}, not of {name}")
    try:
        model = build_model(saved_name or name or default, **hyperparameters)
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} was written by another version of this program: {error}") from error
    fill(model, state, path)
    return model.to(device).eval()


def read_metadata(path: str | os.PathLike) -> dict:
    """{"network": name, "hyperparameters": dict, "training": dict} of one of our safetensors files."""
    with _open(Path(path)) as file:
        metadata = file.metadata() or {}
    if metadata.get("format") != FORMAT:
        raise UserError(
            f"{path} is a safetensors file, but not one of ours: it does not say which network it is"
        )
    return {
        "network": metadata["network"],
        "hyperparameters": json.loads(metadata["hyperparameters"]),
        "training": json.loads(metadata["training"]),
    }


def fill(model: nn.Module, state: dict[str, Tensor], path: str | os.PathLike) -> None:
    """Copies `state` into `model`; raises UserError naming `path` unless names and shapes agree."""
    own = model.state_dict()
    missing = [name for name in own if name not in state and name not in OPTIONAL]
    extra = [name for name in state if name not in own]
    if missing or extra:
        raise UserError(_mismatch(model.spec.name, state, missing, extra, path))
    shapes = [name for name, value in state.items() if value.shape != own[name].shape]
    if shapes:
        first = shapes[0]
        raise UserError(
            f"{path} does not fit {model.spec.name}: {len(shapes)} entries of other shapes, such as {first} "
            f"{tuple(state[first].shape)} instead of {tuple(own[first].shape)}: other hyper-parameters?"
        )
    broken = [name for name, value in state.items() if not torch.isfinite(value).all()]
    if broken:
        raise UserError(f"{path} holds values that are not finite, in {_some(broken)}: its training diverged")
    kept = {name: own[name] for name in OPTIONAL if name in own}
    model.load_state_dict(kept | state)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], str, dict]:
    metadata = read_metadata(path)
    with _open(path) as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    network = metadata["network"]
    return state, network, with_added(network, metadata["hyperparameters"])


def _open(path: Path):
    try:
        return safe_open(path, framework="pt")
    except FileNotFoundError as error:
        raise UserError(f"no such weight file: {path}") from error
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is no whole safetensors file ({error}): get it again") from error


def _mismatch(name: str, state: dict, missing: list[str], extra: list[str], path: str | os.PathLike) -> str:
    parts = [f"{path} does not hold the weights of {name}:"]
    if missing:
        parts.append(f"{len(missing)} entries missing ({_some(missing)})")
    if extra:
        parts.append(f"{len(extra)} entries it does not have ({_some(extra)})")
    likely = _likely_network(state)
    if likely and likely != name:
        parts.append(f"It looks like {likely}: say so (for instance --method {likely}:{path})")
    return "; ".join(parts).replace(":;", ":")


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _likely_network(state: dict[str, Tensor]) -> str | None:
    """The network that shares most names and shapes with `state`, where that is more than half of them."""
    shapes = {(name, tuple(value.shape)) for name, value in state.items()}
    scores = {}
    for name in MODELS:
        with torch.device("meta"):
            own = build_model(name).state_dict()
        entries = {(entry, tuple(value.shape)) for entry, value in own.items()}
        scores[name] = len(shapes & entries) / len(shapes | entries)
    best = max(scores, key=scores.get)
    return best if scores[best] > 0.5 else None
