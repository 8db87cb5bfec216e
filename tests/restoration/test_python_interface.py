"""What people do with a remover in Python beside calling it on one array."""

import io
import multiprocessing
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from models import build_model
from restoration import HighlightRemover
from utils.errors import UserError
from utils.image_files import read_picture
from weights.model_files import save_model

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A tiny aha-lite whose map is neither zero nor one."""
    torch.manual_seed(0)
    model = build_model("aha-lite", widths=(4, 4, 4), dilations=(2,), trunk_channels=(4, 4, 4))
    with torch.no_grad():
        model.HFE.scores1.bias.fill_(0.3)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_model(model, path)
    return path


@pytest.fixture
def remover(weights):
    with HighlightRemover.from_pretrained(weights, device="cpu", strength=0.9) as remover:
        yield remover


def _content(**options):
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, "PNG", **options)
    return file.getvalue()


def test_it_says_what_it_is(remover, weights):
    assert repr(remover) == f"HighlightRemover(aha-lite, weights {weights}, cpu fp32)"
    assert remover.device == torch.device("cpu")
    assert (
        repr(HighlightRemover.from_pretrained("shen2013", device="cpu"))
        == "HighlightRemover(shen2013, cpu fp32)"
    )


@pytest.mark.parametrize("name", ["tiny", "shen2013"])
def test_pickles_and_pools_of_fresh_processes(remover, name):
    used = remover if name == "tiny" else HighlightRemover.from_pretrained(name, device="cpu")
    copy = pickle.loads(pickle.dumps(used))
    assert repr(copy) == repr(used)
    wanted = used(PICTURE).diffuse
    assert np.array_equal(copy(PICTURE).diffuse, wanted)
    if name == "tiny":
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert np.array_equal(pool.map(used, [PICTURE])[0].diffuse, wanted)


def test_bytes_and_open_files(remover):
    wanted = remover(PICTURE).diffuse
    assert (wanted != PICTURE).any()
    assert np.array_equal(remover(_content()).diffuse, wanted)
    assert np.array_equal(remover(io.BytesIO(_content())).diffuse, wanted)
    with pytest.raises(UserError):
        remover(b"no picture")
    with pytest.raises(UserError, match="not int"):
        remover(3)


def test_lists_come_back_as_lists(remover):
    image = Image.fromarray(PICTURE[:20])
    first, second, third = remover([PICTURE, image, _content()])
    assert np.array_equal(first.diffuse, remover(PICTURE).diffuse)
    assert np.array_equal(np.asarray(second.diffuse), np.asarray(remover(image).diffuse))
    assert np.array_equal(third.diffuse, first.diffuse)
    assert remover([]) == []


def test_strength_of_one_call(remover, weights):
    with HighlightRemover.from_pretrained(weights, device="cpu", strength=0.4) as weaker:
        wanted = weaker(PICTURE).diffuse
    for found in (remover(PICTURE, strength=0.4), remover([PICTURE], strength=0.4)[0]):
        assert np.array_equal(found.diffuse, wanted)
    assert np.array_equal(remover(PICTURE, strength=0).diffuse, PICTURE)
    assert remover.strength == 0.9
    with pytest.raises(UserError, match="strength must be between"):
        remover(PICTURE, strength=9)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_results_are_saved_with_what_came_along(remover, tmp_path, suffix):
    path, target = tmp_path / "a.png", tmp_path / f"b{suffix}"
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    path.write_bytes(_content(exif=exif, dpi=(300, 300)))
    for picture in (path, path.read_bytes(), Image.open(path)):
        result = remover(picture)
        result.save(target)
        written = read_picture(target)
        assert np.array_equal(written.pixels, np.asarray(result.diffuse))
        assert b"A camera" in written.exif
    alpha = np.dstack([PICTURE, PICTURE[..., 0]])
    for array in (alpha, PICTURE[..., 0], PICTURE[..., :1]):
        result = remover(array)
        result.save(target)
        written = read_picture(target)
        layers = written.pixels if written.alpha is None else np.dstack([written.pixels, written.alpha])
        assert np.array_equal(layers, result.diffuse.squeeze())
    with pytest.raises(UserError, match=r"b\.xyz"):
        result.save(tmp_path / "b.xyz")


def test_a_misspelt_keyword_is_told_the_right_one(weights):
    with pytest.raises(TypeError, match="'strenght': did you mean strength"):
        HighlightRemover.from_pretrained(weights, strenght=1)


def test_the_hub_offline_is_a_sentence(monkeypatch, tmp_path):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="cannot be reached, and the file is not in the local cache"):
        HighlightRemover.from_pretrained("owner/name")
