"""Weights in files: round trips, the authors' format, and files that must be refused."""

import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from models import build_model
from utils.errors import UserError
from weights.hashing import content_hash
from weights.model_files import fill, load_model, read_metadata, save_model
from weights.pickled import read_pickled
from weights.safetensors_files import write_safetensors


@pytest.fixture(scope="module")
def lite():
    torch.manual_seed(0)
    return build_model("aha-lite", widths=(4, 6, 8), trunk_channels=(4, 6, 8)).eval()


@pytest.fixture(scope="module")
def released_state():
    state = build_model("aha").state_dict()
    return {name: value for name, value in state.items() if "attention_projection" not in name}


class _RunsCode:
    def __reduce__(self):
        return os.system, ("touch /tmp/specular-code-was-run",)


def test_round_trip(lite, tmp_path):
    save_model(lite, tmp_path / "a.safetensors", training={"steps": 7})
    loaded = load_model(tmp_path / "a.safetensors")
    image = torch.rand(1, 3, 20, 20)
    with torch.inference_mode():
        assert torch.equal(lite(image).diffuse, loaded(image).diffuse)
    assert not loaded.training
    assert read_metadata(tmp_path / "a.safetensors")["training"] == {"steps": 7}
    save_model(lite, tmp_path / "h.safetensors", half=True)
    half = load_model(tmp_path / "h.safetensors")
    assert all(v.dtype == torch.float32 for v in half.state_dict().values() if v.is_floating_point())
    assert (tmp_path / "h.safetensors").stat().st_size < 0.75 * (tmp_path / "a.safetensors").stat().st_size


@pytest.mark.parametrize(("prefix", "bare"), [("", True), ("module.", False)])
def test_authors_files(released_state, tmp_path, prefix, bare):
    state = {prefix + name: value for name, value in released_state.items()}
    whole = {"epoch": 1, "model": state, "optimizer": {"state": {}}}
    torch.save(state if bare else whole, tmp_path / "N.mdl")
    first, second = load_model(tmp_path / "N.mdl"), load_model(tmp_path / "N.mdl")
    for name, value in released_state.items():
        assert torch.equal(first.state_dict()[name], value)
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value)


def test_projection_of_the_file_is_used(released_state, tmp_path):
    projection = {"weight": torch.full((3, 192, 3, 3), 0.5), "bias": torch.zeros(192)}
    projection = {f"attention_projection.{name}": value for name, value in projection.items()}
    torch.save(released_state | projection, tmp_path / "N.mdl")
    assert (load_model(tmp_path / "N.mdl").refine.attention_projection.weight == 0.5).all()


@pytest.mark.parametrize("protocol", [2, 4])
def test_code_is_refused(tmp_path, protocol):
    torch.save({"model": _RunsCode()}, tmp_path / "a.mdl")
    (tmp_path / "b.mdl").write_bytes(pickle.dumps(_RunsCode(), protocol))
    for name in ("a.mdl", "b.mdl"):
        with pytest.raises(UserError, match="run code"):
            load_model(tmp_path / name)
    assert not os.path.exists("/tmp/specular-code-was-run")


def test_broken_files(lite, released_state, tmp_path):
    save_model(lite, tmp_path / "a.safetensors")
    torch.save(released_state, tmp_path / "a.mdl")
    for name in ("a.safetensors", "a.mdl"):
        whole = (tmp_path / name).read_bytes()
        for size in (0, 100, len(whole) // 2):
            (tmp_path / name).write_bytes(whole[:size])
            with pytest.raises(UserError, match=name):
                load_model(tmp_path / name)
    with pytest.raises(UserError, match="no such weight file"):
        load_model(tmp_path / "missing.safetensors")
    with pytest.raises(UserError, match=r"Pre-trained Models at https://\S+\)$"):
        load_model(tmp_path / "Nature.mdl")
    with pytest.raises(UserError, match="UNet1_60"):
        load_model(tmp_path)


def test_other_networks_are_named(lite, released_state, tmp_path):
    torch.save(build_model("aha-figure").state_dict(), tmp_path / "f.pth")
    with pytest.raises(UserError, match=r"missing.*It looks like aha-figure"):
        load_model(tmp_path / "f.pth")
    assert load_model(tmp_path / "f.pth", name="aha-figure").spec.name == "aha-figure"
    save_model(lite, tmp_path / "l.safetensors")
    with pytest.raises(UserError, match="aha-lite, not of aha"):
        load_model(tmp_path / "l.safetensors", name="aha")

    fewer = {name: value for name, value in released_state.items() if not name.startswith("coarse.coarse1.0")}
    torch.save(fewer, tmp_path / "m.mdl")
    with pytest.raises(UserError, match=r"4 entries missing.*coarse\.coarse1\.0\.conv"):
        load_model(tmp_path / "m.mdl")
    torch.save(released_state | {"conv_P1.0.conv.bias": torch.zeros(7)}, tmp_path / "s.mdl")
    with pytest.raises(UserError, match=r"conv_P1\.0\.conv\.bias \(7,\) instead of \(48,\)"):
        load_model(tmp_path / "s.mdl")
    torch.save(released_state | {"conv_P1.0.conv.bias": torch.full((48,), torch.nan)}, tmp_path / "n.mdl")
    with pytest.raises(UserError, match="not finite"):
        load_model(tmp_path / "n.mdl")


def _rewritten(source, target, **texts):
    """A copy of one of our files with other metadata (None: left out) and a right hash."""
    with safe_open(source, "pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        metadata = dict(file.metadata()) | texts
    kept = {key: value for key, value in metadata.items() if value is not None and key != "sha256"}
    write_safetensors(target, state, kept)
    return target


@pytest.mark.parametrize(
    ("texts", "word"),
    [
        ({"format": None}, "not one of ours"),
        ({"format": "specular-highlight-removal 99"}, "not one of ours"),
        ({"network": None}, "network 'None'"),
        ({"network": "aha-heavy"}, "network 'aha-heavy'"),
        ({"network": "aha"}, "hyper-parameter|does not"),
        ({"hyperparameters": None}, "hyperparameters is damaged or missing"),
        ({"hyperparameters": "{"}, "hyperparameters is damaged or missing"),
        ({"hyperparameters": "[" * 100_000}, "hyperparameters is damaged or missing"),
        ({"hyperparameters": "[1, 2]"}, "no table"),
        ({"hyperparameters": '{"widths": [4, 6, 8], "depth": 3}'}, "hyper-parameter 'depth'"),
        ({"hyperparameters": '{"widths": "wide"}'}, "widths is wide"),
        ({"hyperparameters": '{"widths": []}'}, r"widths is \(\)|widths is \[\]"),
        ({"hyperparameters": '{"widths": [4, 6]}'}, "another version"),
        ({"hyperparameters": '{"widths": [-4, 6, 8]}'}, "widths is"),
        ({"hyperparameters": '{"widths": [4.5, 6, 8]}'}, "widths is"),
        ({"hyperparameters": '{"widths": [true, 6, 8]}'}, "widths is"),
        ({"hyperparameters": '{"widths": [1000000000, 6, 8]}'}, "widths is"),
        ({"hyperparameters": '{"dilations": [%s1]}' % ("1," * 10_000)}, "dilations is"),
        ({"hyperparameters": '{"bounded": 1}'}, "bounded is 1"),
        ({"hyperparameters": '{"trunk": "resnet1000"}'}, "resnet1000"),
        ({"hyperparameters": '{"trunk": null}'}, "trunk is None"),
        ({"training": "not JSON"}, "training is damaged or missing"),
    ],
)
def test_forged_metadata_is_refused_in_a_sentence(lite, tmp_path, texts, word):
    save_model(lite, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match=word):
        load_model(_rewritten(tmp_path / "a.safetensors", tmp_path / "b.safetensors", **texts))


def test_absurd_widths_are_refused_before_anything_is_allocated(lite, tmp_path):
    """With these the network would take 10 GiB; the file has 100 KiB."""
    save_model(lite, tmp_path / "a.safetensors")
    forged = lite.spec.hyperparameters | {"widths": [8192, 8192, 8192]}
    files = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    file = _rewritten(*files, hyperparameters=json.dumps(forged))
    resource = pytest.importorskip("resource", reason="needs POSIX")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="entries of other shapes"):
        load_model(file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB


def test_a_flipped_bit_is_noticed(lite, released_state, tmp_path):
    save_model(lite, tmp_path / "a.safetensors")
    torch.save(released_state, tmp_path / "a.mdl")
    random = np.random.default_rng(0)
    for name in ("a.safetensors", "a.mdl"):
        whole = (tmp_path / name).read_bytes()
        for place in random.integers(len(whole) // 2, len(whole) - 2000, 4):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << int(random.integers(8))
            (tmp_path / name).write_bytes(damaged)
            with pytest.raises(UserError, match="damaged"):
                load_model(tmp_path / name)


def test_files_without_checksums_are_refused_or_read_with_a_warning(lite, tmp_path):
    save_model(lite, tmp_path / "a.safetensors")
    old = tmp_path / "old.safetensors"
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        save_file(lite.state_dict(), old, {k: v for k, v in file.metadata().items() if k != "sha256"})
    with pytest.raises(UserError, match=r"old\.safetensors is damaged"):
        load_model(old)
    torch.save(lite.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    with pytest.warns(UserWarning, match=r"old\.pth has no checksums"):
        read_pickled(tmp_path / "old.pth")


def test_compressed_archives_are_refused(tmp_path):
    """64 MiB of zeros in 64 KiB: what it unpacks to is not bounded by its size."""
    torch.save({"w": torch.zeros(2**24)}, tmp_path / "a.mdl")
    plain = zipfile.ZipFile(tmp_path / "a.mdl")
    with zipfile.ZipFile(tmp_path / "b.mdl", "w", zipfile.ZIP_DEFLATED) as packed, plain:
        for entry in plain.namelist():
            packed.writestr(entry, plain.read(entry))
    with pytest.raises(UserError, match=r"b\.mdl refused: it is compressed"):
        load_model(tmp_path / "b.mdl")


class _AsksForMemory:
    def __reduce__(self):
        return bytearray, (2**40,)


@pytest.mark.parametrize("archive", [True, False])
def test_pickles_that_ask_for_memory_are_refused(tmp_path, archive):
    torch.save({"model": _AsksForMemory()}, tmp_path / "a.mdl", _use_new_zipfile_serialization=archive)
    with pytest.raises(UserError, match=r"calls \w+\.bytearray"):
        load_model(tmp_path / "a.mdl")


def test_a_run_folder_and_a_checkpoint_are_weights(lite, tmp_path):
    save_model(lite, tmp_path / "best.safetensors")
    checkpoint = {
        "network": "aha-lite",
        "hyperparameters": lite.spec.hyperparameters,
        "networks": {"model": {name: torch.zeros_like(value) for name, value in lite.state_dict().items()}},
        "average": lite.state_dict(),
        "progress": {"step": 3},
    }
    torch.save(checkpoint, tmp_path / "last.pt")
    for path in (tmp_path, tmp_path / "last.pt"):
        for name, value in load_model(path).state_dict().items():
            assert torch.equal(value, lite.state_dict()[name])
    torch.save(checkpoint | {"hyperparameters": {"widths": [10**9] * 3}}, tmp_path / "last.pt")
    with pytest.raises(UserError, match="widths is"):
        load_model(tmp_path / "last.pt")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "a.safetensors")
    (tmp_path / "b.pth").symlink_to("/dev/zero")
    for name in ("a.safetensors", "b.pth"):
        with pytest.raises(UserError, match="no ordinary file"):
            load_model(tmp_path / name)


def test_numbers_of_another_kind_are_refused(lite, tmp_path):
    state = lite.state_dict()
    entry = "HFE.scores1.bias"
    for value, kind in ((state[entry].long(), "int64"), (state[entry].to(torch.complex64), "complex64")):
        torch.save(state | {entry: value}, tmp_path / "a.pth")
        with pytest.raises(UserError, match=kind):
            fill(build_model("aha-lite", **lite.spec.hyperparameters), state | {entry: value}, "a")


@pytest.mark.parametrize("name", ["aha-figure", "aha-lite"])
def test_every_hyper_parameter_of_the_table_can_be_saved_and_read(tmp_path, name):
    """Also a number of channels that is zero and a real number."""
    small = {"widths": (3, 6, 6), "trunk": "small", "trunk_channels": (4, 6, 8), "sharpen": 0, "shoulder": 0}
    model = build_model(name, **small)
    save_model(model, tmp_path / "a.safetensors")
    assert load_model(tmp_path / "a.safetensors").spec.hyperparameters == model.spec.hyperparameters


# ---- the hash of contents


def test_equal_contents_have_equal_hashes():
    weight = torch.arange(6.0).reshape(2, 3)
    a = {"w": weight, "steps": 3, "rates": [0.1, None], "name": "é"}
    b = {"name": "é", "rates": (0.1, None), "steps": 3, "w": weight.t().contiguous().t()}
    assert content_hash(a) == content_hash(b)
    # Across processes and versions: the value is stored in files.
    stored = content_hash({"a": [1, "b"], "t": torch.ones(2, dtype=torch.bfloat16)})
    assert stored.startswith("920f2d217ede59f0")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["ab", "c"], ["a", "bc"]), ([["a"], "b"], [["a", "b"]]), (1, True), (1, 1.0), ("1", 1),
        (b"a", "a"), (torch.zeros(2, 3), torch.zeros(3, 2)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.int32)), (torch.zeros(2), torch.tensor([0.0, -0.0])),
        ({"a": None}, {}),
    ],
)  # fmt: skip
def test_different_contents_have_different_hashes(first, second):
    assert content_hash(first) != content_hash(second)


def test_scalars_and_empty_tensors_have_a_hash():
    assert content_hash(torch.tensor(3)) != content_hash(torch.tensor(4))
    assert content_hash(torch.empty(0, 3)) != content_hash(torch.empty(3, 0))


def test_objects_have_none():
    with pytest.raises(TypeError, match="no hash of a set"):
        content_hash({1, 2})
