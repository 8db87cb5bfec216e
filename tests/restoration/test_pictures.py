"""HighlightRemover takes pictures as people have them, and gives the layers in the type that came in."""

import numpy as np
import pytest
import torch
from PIL import Image

from restoration import HighlightRemover
from tests.restoration.fakes import Dimmer
from tests.tolerances import HALF_LEVEL, ROUNDED
from utils.errors import UserError
from utils.image_files import Picture, write_picture


def _ramp(dtype=np.uint8, size=(20, 30)):
    """(H, W, 3): dark on the left, which `Dimmer` leaves alone, bright on the right."""
    values = np.linspace(0, 1, size[1])[None, :, None] * np.array([1, 0.9, 0.8]) + np.zeros((size[0], 1, 1))
    full = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    return np.rint(values * full).astype(dtype) if full > 1 else values.astype(dtype)


@pytest.fixture
def remover():
    return HighlightRemover(Dimmer())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2", np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [None, 1, 3, 4])
def test_arrays_come_back_as_they_came(remover, dtype, channels):
    picture = _ramp(dtype)
    if channels is None:
        picture = picture[..., 0]
    elif channels == 4:
        picture = np.concatenate([picture, picture[:, ::-1, :1]], axis=2)
    else:
        picture = picture[..., :channels]
    result = remover(picture)
    assert result.diffuse.dtype == result.specular.dtype == np.dtype(dtype).newbyteorder("=")
    assert result.diffuse.shape == picture.shape
    assert result.specular.shape == (picture[..., :3].shape if channels else picture.shape)
    assert result.highlight.shape == picture.shape[:2]
    colours = slice(None) if channels is None else (..., slice(0, 3))
    untouched = result.highlight == 0
    assert 0 < untouched.mean() < 1
    assert np.array_equal(result.diffuse[untouched], picture[untouched])
    assert (result.specular[~untouched] > 0).any()
    total = result.diffuse[colours].astype(float) + result.specular
    # 2**-11: fp16.
    assert np.allclose(total, picture[colours], atol=1e-3 if np.dtype(dtype).itemsize == 2 else ROUNDED)
    if channels == 4:
        assert np.array_equal(result.diffuse[..., 3], picture[..., 3])


def test_all_types_of_one_picture_give_one_result(remover):
    eight = _ramp(np.uint8)
    expected = remover(eight).diffuse
    assert np.abs(remover(eight / 255).diffuse * 255 - expected).max() <= HALF_LEVEL
    assert np.array_equal(remover(Image.fromarray(eight)).diffuse, expected)
    assert np.array_equal(remover(eight[..., ::-1][..., ::-1]).diffuse, expected)  # no array of its own


@pytest.mark.parametrize(
    ("mode", "comes_back"),
    [
        ("L", "L"),
        ("LA", "LA"),
        ("RGB", "RGB"),
        ("RGBA", "RGBA"),
        ("P", "RGB"),
        ("CMYK", "RGB"),
        ("I;16", "I;16"),
    ],
)
def test_pillow_images(remover, mode, comes_back):
    if mode == "I;16":
        image = Image.fromarray(_ramp(np.uint16)[..., 0])
    else:
        image = Image.fromarray(_ramp()).convert(mode)
    image.info["icc_profile"] = b"of the picture"
    result = remover(image)
    assert result.diffuse.mode == comes_back
    assert result.specular.mode == comes_back.removesuffix("A")
    assert result.highlight.mode == "L"
    assert {layer.size for layer in (result.diffuse, result.specular, result.highlight)} == {(30, 20)}
    profile = result.diffuse.info.get("icc_profile")
    assert profile == (None if mode == "CMYK" else b"of the picture")  # which is none of inks
    assert np.asarray(result.specular).any()
    assert not np.asarray(result.highlight)[:, 0].any()


def test_files_keep_their_depth_and_alpha(remover, tmp_path):
    pixels = _ramp(np.uint16)
    alpha = np.full(pixels.shape[:2], 40000, np.uint16)
    write_picture(tmp_path / "a.png", Picture(pixels, alpha))
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        result = remover(path)
        assert np.array_equal(result.diffuse, np.dstack([remover(pixels).diffuse, alpha]))
    with pytest.raises(UserError, match=r"none\.png"):
        remover(tmp_path / "none.png")


def test_released_protocol_gives_eight_bit_colour():
    remover = HighlightRemover(Dimmer(), protocol="released")
    grey = _ramp(np.float64)[..., :1]
    for picture in (grey, np.concatenate([_ramp(np.uint16)] * 2, axis=2)[..., :4]):
        result = remover(picture)
        assert result.diffuse.shape == result.specular.shape == (20, 30, 3)
        assert result.diffuse.dtype == np.uint8
    assert remover(Image.fromarray(_ramp()).convert("RGBA")).diffuse.mode == "RGB"


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (_ramp().astype(np.float32), "divide by 255"),
        (_ramp(np.float32) - 0.1, "scale or clip"),
        (np.full((4, 4), np.nan), "scale or clip"),
        (_ramp().astype(int), "uint8"),
        (np.zeros((4, 4), bool), "uint8"),
        (np.zeros((3, 20, 30), np.uint8), "channels to the end"),
        (np.zeros((0, 4, 3), np.uint8), "shape"),
        (np.zeros((1, 20, 30, 3), np.uint8), "shape"),
        (torch.zeros(3, 20, 30), "permute"),
        (None, "NoneType"),
        (Image.fromarray(np.full((4, 4), 2.0, np.float32)), "lie in"),
    ],
)
def test_what_is_refused(remover, picture, words):
    with pytest.raises(UserError, match=words):
        remover(picture)


def test_a_transparent_colour_becomes_alpha_and_no_hole_in_the_specular_layer(remover, tmp_path):
    for mode, transparent in (("RGB", (0, 0, 0)), ("L", 0), ("P", 0)):
        image = Image.fromarray(_ramp()).convert(mode)
        image.info["transparency"] = transparent
        result = remover(image)
        assert result.diffuse.mode == ("LA" if mode == "L" else "RGBA")
        result.specular.save(tmp_path / "specular.png")
        with Image.open(tmp_path / "specular.png") as written:
            assert "transparency" not in written.info


def test_cmyk_is_converted_and_loses_the_profile_of_its_inks(remover):
    image = Image.fromarray(_ramp()).convert("CMYK")
    image.info |= {"icc_profile": b"of inks", "dpi": (300, 300)}
    result = remover(image)
    assert "CMYK" in result.notes[0]
    assert "icc_profile" not in result.diffuse.info
    assert result.diffuse.info["dpi"] == (300, 300)


def test_grey_multiplied_by_alpha(remover):
    grey = Image.fromarray(_ramp()[..., 0]).convert("LA").convert("La")
    assert remover(grey).diffuse.mode == "LA"
