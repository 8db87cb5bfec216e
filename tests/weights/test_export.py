"""Exported networks compute what the networks compute."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from models import build_model
from synthetic import render_batch
from tests.tolerances import NETWORK
from utils.errors import UserError
from weights import export, load_model
from weights.backends import OnnxNetwork
from weights.export import export_network
from weights.model_files import save_model

SMALL = {
    "aha": {"widths": (6, 6, 12)},
    "aha-figure": {"widths": (3, 6, 6), "trunk": "small", "trunk_channels": (4, 6, 8)},
    "aha-lite": {"widths": (4, 6, 8), "trunk_channels": (4, 6, 8)},
    "aha-lite0": {"widths": (4, 4, 6, 8, 8, 8)},
    "tshrnet": {"width": 2},
}
ROOT = Path(__file__).resolve().parents[2]


def small(name):
    torch.manual_seed(0)
    network = build_model(name, **SMALL.get(name, {})).eval()
    if name == "aha":  # a map of about 0.5, as of a trained network: far above 1 attention amplifies rounding
        with torch.no_grad():
            for layer in (network.HFE.scores1, network.HFE.scores2, network.HFE.scores3):
                layer.weight.mul_(0.01)
                layer.bias.fill_(0.2)
    return network


@pytest.mark.parametrize("name", ["aha-lite", "aha-lite0", "aha", "tshrnet"])
def test_torchscript_of_every_kind_of_network(tmp_path, name):
    network = small(name)
    done = export_network(network, tmp_path / "a.pt", "torchscript", size=64)
    assert done.difference <= NETWORK
    assert done.is_dynamic == (name != "aha")
    assert len(done.sizes) == (1 if name == "aha" else 3)
    module = torch.jit.load(tmp_path / "a.pt")
    height = width = done.sizes[0][0]
    image = torch.rand(1, 3, height, width)
    diffuse, highlight = module(image)
    torch.testing.assert_close(diffuse, network(image).diffuse, rtol=0, atol=NETWORK)
    assert highlight.shape == (1, 1, height, width)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["aha-lite", "aha-lite0", "aha"])
def test_onnx(tmp_path, name):
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    onnxruntime = pytest.importorskip("onnxruntime")
    network = small(name)
    done = export_network(network, tmp_path / "a.onnx", "onnx", size=64)
    assert done.difference <= NETWORK
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    said = session.get_modelmeta().custom_metadata_map
    assert (said["network"], said["multiple"]) == (name, "32")
    assert str(ROOT).encode() not in (tmp_path / "a.onnx").read_bytes()
    # Several pictures of another size at once, where the network takes them.
    shape = (1, 3, 64, 64) if name == "aha" else (3, 3, 160, 96)
    image = np.random.default_rng(1).random(shape, np.float32)
    diffuse, _ = session.run(None, {"image": image})
    with torch.no_grad():
        wanted = network(torch.from_numpy(image)).diffuse.numpy()
    np.testing.assert_allclose(diffuse, wanted, rtol=0, atol=NETWORK)


def _pictures(side):
    """Generated scenes to calibrate on, and others to compare on."""
    return [
        [render_batch([index], size=side, seed=seed)["input"].numpy() for index in range(count)]
        for seed, count in ((1, 4), (2, 2))
    ]


@pytest.mark.slow
def test_fewer_bits_where_they_are_close(tmp_path, monkeypatch):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    network = load_model(ROOT / "savedmodel" / "aha-lite.safetensors")
    exact = export_network(network, tmp_path / "fp32.onnx", "onnx").path
    copied = lambda layers, path, *_: shutil.copyfile(exact, path)  # noqa: E731
    monkeypatch.setitem(export.FORMATS, "onnx", (copied, export.FORMATS["onnx"][1]))
    for precision, share in (("fp16", 0.6), ("int8", 0.4)):
        file = tmp_path / f"{precision}.onnx"
        done = export_network(network, file, "onnx", precision=precision, pictures=_pictures)
        assert done.decibels >= 45
        assert file.stat().st_size < share * exact.stat().st_size
        assert OnnxNetwork(file).precision == precision
        image = torch.rand(1, 3, 96, 160, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            difference = OnnxNetwork(file)(image).diffuse - network(image).diffuse
        # Noise is harder than the pictures that the file is measured on: 35 dB will do.
        assert difference.square().mean() < 10**-3.5
    monkeypatch.setattr(export, "LEAST_DECIBELS", 200.0)
    with pytest.raises(UserError, match=r"aha-lite in fp16 reaches only .* dB to itself in fp32"):
        export_network(network, tmp_path / "a.onnx", "onnx", precision="fp16", pictures=_pictures)
    assert not (tmp_path / "a.onnx").exists()


def test_a_file_that_computes_something_else_is_not_kept(tmp_path, monkeypatch):
    write, _ = export.FORMATS["torchscript"]
    other = write, lambda path: lambda image: [image, image[:, :1]]
    monkeypatch.setitem(export.FORMATS, "torchscript", other)
    with pytest.raises(UserError, match=r"differs by .* it was not kept"):
        export_network(small("aha-lite"), tmp_path / "a.pt", "torchscript", size=64)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_told(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no format 'caffe'"):
        export_network(small("aha-lite"), tmp_path / "a", "caffe")
    with pytest.raises(UserError, match="no precision 'int4'"):
        export_network(small("aha-lite"), tmp_path / "a", "onnx", precision="int4")
    with pytest.raises(UserError, match="fp16 is of ONNX files only"):
        export_network(small("aha-lite"), tmp_path / "a", "torchscript", precision="fp16")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match="pip install onnx onnxscript onnxruntime"):
        export_network(small("aha-lite"), tmp_path / "a.onnx", "onnx", size=64)


@pytest.mark.slow
def test_the_command(tmp_path):
    save_model(small("aha-lite"), tmp_path / "w.safetensors")
    command = [sys.executable, "export.py", "--infer_model", str(tmp_path / "w.safetensors")]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "a.pt"), "--size", "64"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "aha-lite as torchscript" in done.stdout
    assert "multiples of 32" in done.stdout
    refused = subprocess.run([*command, "--output", "a.xyz"], cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "name it .onnx or .pt" in refused.stderr
