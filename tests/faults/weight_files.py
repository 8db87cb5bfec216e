"""Weight files that are damaged, forged or foreign: each is loaded unchanged or refused in a sentence.

Files with a hash or checksums that still load must hold the very weights that were written: a change that
passes unnoticed is a failure. Those without (MindSpore, PyTorch before 1.6) may load with other numbers.
"""

import collections
import json
import os
import pickle
import shutil
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import nn

from models import build_model
from models.unet import UNet
from tests.faults.attempts import Kind, Outcome, Row, scratch, try_kinds
from tests.faults.mindspore_files import unet_checkpoint
from tests.faults.mutations import STARTS, mutate
from weights.hashing import content_hash
from weights.model_files import load_model, network_of, read_weights, save_model
from weights.safetensors_files import write_safetensors

COUNT = 500
# The largest file has 300 KiB. What is held above that is Python's own and the tables of networks.
SECONDS, MEBIBYTES = 5.0, 200.0
MARKER = "code-was-run"
SMALL = {"widths": (3, 6, 6), "trunk_channels": (4, 6, 8)}


@dataclass(frozen=True)
class WeightKind(Kind):
    """may_load  False where every case must be refused
    original  hash of the weights that a file that loads must hold; "" where it may hold others
    """

    may_load: bool = True
    original: str = ""


def run(seed: int, count: int = COUNT) -> list[Row]:
    """`count` files in all, in equal parts of each kind; a row for each kind."""
    with scratch() as folder:
        kinds = _kinds(folder / "whole")
        return try_kinds(kinds, count, seed, load_and_hash, _judged, seconds=SECONDS, mebibytes=MEBIBYTES)


def load_and_hash(path: str) -> str:
    """Loads as users do; returns a hash of the weights. Raises AssertionError where code ran or NaN came."""
    try:
        with warnings.catch_warnings(action="ignore"):
            if path.endswith(".mdl"):
                # The authors' network has 300 MB; the same code reads a small one in the same form.
                weights = replace(read_weights(path), default="aha-lite", hyperparameters=SMALL)
                model = network_of(weights, path)
            else:
                model = load_model(path)
    finally:
        assert not (Path(path).parent / MARKER).exists(), "a file ran code"
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    return content_hash(model.state_dict())


def _judged(kind: WeightKind, outcome: Outcome, path: Path) -> Outcome:
    if outcome.kind != "fine":
        return outcome
    if not kind.may_load:
        return replace(outcome, kind="failed", detail="it was loaded")
    if kind.original and outcome.detail != kind.original:
        return replace(outcome, kind="failed", detail="other weights were loaded, without a word")
    return outcome


def _kinds(folder: Path) -> list[WeightKind]:
    folder.mkdir()
    torch.manual_seed(0)
    model = build_model("aha-lite", **SMALL)
    files = {name: folder / name for name in ("a.safetensors", "a.mdl", "old.mdl", "last.pt")}
    _write_files(model, files)
    for ending in ("pth", "ckpt"):
        _write_unets(folder / ending, ending)
    ours = content_hash(model.state_dict())
    tshrnet = load_and_hash(str(folder / "pth"))
    for path in files.values():
        assert load_and_hash(str(path)) == ours
    return [
        WeightKind(".safetensors, bytes changed", _bytes_of(files["a.safetensors"]), original=ours),
        WeightKind(".safetensors, metadata forged", _metadata_of(files["a.safetensors"]), original=ours),
        WeightKind(".safetensors, tensors forged", _tensors_of(model), may_load=False),
        WeightKind(".mdl, bytes changed", _bytes_of(files["a.mdl"]), original=ours),
        WeightKind(".mdl, pickle changed under right checksums", _pickle_of(files["a.mdl"])),
        WeightKind(".mdl before PyTorch 1.6, bytes changed", _bytes_of(files["old.mdl"])),
        WeightKind("pickles that call functions", _calls, may_load=False),
        WeightKind("checkpoint of train.py, bytes changed", _bytes_of(files["last.pt"]), original=ours),
        WeightKind("TSHRNet's .pth, bytes of one changed", _one_of(folder / "pth"), original=tshrnet),
        WeightKind("TSHRNet's .ckpt of MindSpore, bytes of one changed", _one_of(folder / "ckpt")),
        WeightKind("files of other programs under these names", _foreign, may_load=False),
    ]


def _write_files(model: nn.Module, files: dict[str, Path]) -> None:
    save_model(model, files["a.safetensors"], training={"steps": 7})
    torch.save({"epoch": 1, "model": model.state_dict()}, files["a.mdl"])
    torch.save(model.state_dict(), files["old.mdl"], _use_new_zipfile_serialization=False)
    state = {
        "network": "aha-lite",
        "hyperparameters": model.spec.hyperparameters,
        "networks": {"model": model.state_dict()},
        "average": model.state_dict(),
        "progress": {"step": 3},
    }
    torch.save(state, files["last.pt"])


def _write_unets(folder: Path, ending: str) -> None:
    folder.mkdir()
    for number, channels in enumerate((3, 3, 6, 9), start=1):
        state = UNet(channels, width=2).state_dict()
        file = folder / f"UNet{number}_60.{ending}"
        if ending == "pth":
            torch.save(state, file)
        else:
            file.write_bytes(unet_checkpoint(state))


def _bytes_of(whole: Path) -> Callable[[Path, np.random.Generator], Path]:
    content = whole.read_bytes()

    def make(folder: Path, rng: np.random.Generator) -> Path:
        (folder / whole.name).write_bytes(mutate(content, rng))
        return folder / whole.name

    return make


def _one_of(whole: Path) -> Callable[[Path, np.random.Generator], Path]:
    def make(folder: Path, rng: np.random.Generator) -> Path:
        shutil.copytree(whole, folder, dirs_exist_ok=True)
        file = sorted(folder.iterdir())[rng.integers(4)]
        file.write_bytes(mutate(file.read_bytes(), rng))
        return folder

    return make


_ABSURD = (0, -1, 2**31, 2**63, 10**300, 1.5, 1e308, float("nan"), True, None, "", "wide", "\u0000", [], {})
_ABSURD += ([0, 0, 0], [8192] * 3, [2**40] * 3, [[4]], [1] * 100_000, ["a", "b", "c"], {"a": 1}, [None] * 3)


def _metadata_of(whole: Path) -> Callable[[Path, np.random.Generator], Path]:
    """Metadata forged under a right hash."""
    with safe_open(whole, "pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        metadata = {key: text for key, text in file.metadata().items() if key != "sha256"}
    odd = ("", "[" * 5000, "aha", "null", '{"a":' * 2000, "NaN", "0" * 10_000)

    def make(folder: Path, rng: np.random.Generator) -> Path:
        forged, way = dict(metadata), int(rng.integers(5))
        key = ("network", "hyperparameters", "training", "format")[rng.integers(4)]
        if way == 0:
            del forged[key]
        elif way == 1:
            forged[key] = mutate(forged[key].encode(), rng).decode("latin-1")
        elif way == 2:
            forged[key] = odd[rng.integers(len(odd))]
        else:
            values = json.loads(forged["hyperparameters"])
            names = [*values, "unknown"]
            for _ in range(way - 2):
                values[names[rng.integers(len(names))]] = _ABSURD[rng.integers(len(_ABSURD))]
            forged["hyperparameters"] = json.dumps(values)
        write_safetensors(folder / "a.safetensors", state, forged)
        return folder / "a.safetensors"

    return make


def _tensors_of(model: nn.Module) -> Callable[[Path, np.random.Generator], Path]:
    def make(folder: Path, rng: np.random.Generator) -> Path:
        changed = build_model("aha-lite", **SMALL)
        changed.load_state_dict(model.state_dict())
        state = dict(changed.state_dict())
        name = list(state)[rng.integers(len(state))]
        while not state[name].is_floating_point():
            name = list(state)[rng.integers(len(state))]
        way = int(rng.integers(6))
        if way == 0:
            state[name] = torch.full_like(state[name], float(rng.choice([np.nan, np.inf, -np.inf])))
        elif way == 1:
            state[name] = state[name].flatten()[:-1].contiguous()
        elif way == 2:
            state[name] = state[name].to([torch.int8, torch.bool, torch.int64][rng.integers(3)])
        elif way == 3:
            del state[name]
        elif way == 4:
            state["extra." + "x" * int(rng.integers(1, 3000))] = torch.zeros(1)
        else:
            state[name] = torch.zeros(0)
        # The metadata and the hash are right: what is wrong are the tensors.
        changed.state_dict = lambda: state
        save_model(changed, folder / "a.safetensors")
        return folder / "a.safetensors"

    return make


def _pickle_of(whole: Path) -> Callable[[Path, np.random.Generator], Path]:
    with zipfile.ZipFile(whole) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}

    def make(folder: Path, rng: np.random.Generator) -> Path:
        with zipfile.ZipFile(folder / "a.mdl", "w", zipfile.ZIP_STORED) as archive:
            for name, content in entries.items():
                archive.writestr(name, mutate(content, rng) if name.endswith(".pkl") else content)
        return folder / "a.mdl"

    return make


class _Call:
    def __init__(self, function: Callable, *arguments: object):
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def _calls(folder: Path, rng: np.random.Generator) -> Path:
    """A pickle that would write a file, ask for a tebibyte, or build an object with code in it."""
    marker = folder / MARKER
    calls = (
        _Call(os.system, f"touch {marker}"),
        _Call(eval, f"open({str(marker)!r}, 'w')"),
        _Call(exec, f"open({str(marker)!r}, 'w')"),
        _Call(bytearray, 2**40),
        _Call(torch.FloatTensor, 2**38),
        _Call(torch.load, str(marker)),
        _Call(getattr, nn.Linear, "forward"),
        _Call(collections.Counter, "weights"),
        nn.Linear(2, 2),
        folder,
    )
    call = calls[rng.integers(len(calls))]
    content = [call, {"model": call}, {"model": {"w": call}}, [torch.zeros(2), call]][rng.integers(4)]
    file = folder / ("a.mdl", "a.pth", "a.pt", "a.ckpt")[rng.integers(4)]
    if rng.random() < 0.3:
        file.write_bytes(pickle.dumps(content, protocol=int(rng.integers(6))))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=bool(rng.random() < 0.5))
    return file


def _foreign(folder: Path, rng: np.random.Generator) -> Path:
    names = ("a.safetensors", "a.mdl", "a.pth", "UNet1_60.ckpt", "UNet2_60ckpt", "UNet3_60.pth", "last.pt")
    for name in names if rng.random() < 0.2 else [names[rng.integers(len(names))]]:
        start = [b"", *STARTS.values()][rng.integers(len(STARTS) + 1)]
        path = folder / name
        path.write_bytes(start + rng.bytes(int(rng.choice([0, 1, 100, 5000]))))
    return path if rng.random() < 0.7 else folder
