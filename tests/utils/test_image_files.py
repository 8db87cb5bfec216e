"""Pictures come out of files as they went in, and broken files are refused by name."""

import io
import os
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from utils.errors import UserError
from utils.image_files import (
    Picture,
    list_pictures,
    read_picture,
    read_rgb,
    scan_folder,
    write_picture,
    write_rgb,
)

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _pixels(dtype, channels, seed=0, size=(13, 17)):
    shape = size if channels == 1 else (*size, channels)
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.random(shape, dtype=np.float32)
    return rng.integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def _exif(orientation=1):
    exif = Image.Exif()
    exif[271], exif[0x0112] = "Maker of cameras", orientation
    return exif


def _same(a, b):
    return (a is None and b is None) or (a.dtype == b.dtype and np.array_equal(a, b))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF", ".webp"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True])
def test_lossless_round_trip(tmp_path, suffix, dtype, channels, alpha):
    if suffix == ".webp" and (dtype != np.uint8 or channels == 1):
        pytest.skip("WebP holds 8-bit RGB")
    if suffix == ".png" and dtype == np.float32:
        pytest.skip("PNG holds integers")
    picture = Picture(
        _pixels(dtype, channels), _pixels(dtype, 1, seed=1) if alpha else None, ICC, _exif().tobytes()[6:]
    )
    path = tmp_path / f"é x{suffix}"
    losses = write_picture(path, picture)
    back = read_picture(path)
    assert _same(back.pixels, picture.pixels)
    assert _same(back.alpha, picture.alpha)
    assert back.icc == ICC
    if not losses:
        exif = Image.Exif()
        exif.load(b"Exif\0\0" + back.exif)
        assert exif[271] == "Maker of cameras"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", "16.png", "16.tif"])
def test_orientation_is_applied_and_reset(tmp_path, orientation, suffix):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:, :8], upright[:8, 24:] = 200, 90
    stored = {  # what a camera held that way stores: the inverse of each EXIF orientation
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    path = tmp_path / f"a{suffix}"
    if suffix == "16.png":
        write_picture(path, Picture(stored.astype(np.uint16) * 257, exif=_exif(orientation).tobytes()[6:]))
    elif suffix == "16.tif":
        deep = stored.astype(np.uint16) * 257
        tifffile.imwrite(path, deep, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    else:
        options = {"lossless": True} if suffix == ".webp" else {}
        Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=_exif(orientation), **options)
    picture = read_picture(path)
    assert np.abs(read_rgb(path) * 255 - upright).max() < (3 if suffix == ".jpg" else 1e-3)  # levels
    write_picture(tmp_path / "again.png", picture)
    assert np.array_equal(read_picture(tmp_path / "again.png").pixels, picture.pixels)


def test_jpeg_is_written_full_chroma(tmp_path):
    path = tmp_path / "a.jpg"
    smooth = np.dstack(np.meshgrid(np.arange(64), np.arange(48))).astype(np.uint8)
    picture = Picture(np.dstack([smooth * 2, 255 - smooth[..., :1]]), None, ICC, _exif().tobytes()[6:])
    assert write_picture(path, picture) == ()
    back = read_picture(path)
    assert (
        np.abs(back.pixels.astype(int) - picture.pixels).max() <= 4
    )  # levels, by the quantisation of a smooth block
    assert back.icc == ICC
    assert b"Maker of cameras" in back.exif
    with Image.open(path) as image:
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3


def test_what_a_format_cannot_hold_is_said(tmp_path):
    deep = Picture(_pixels(np.uint16, 3), _pixels(np.uint16, 1))
    losses = " ".join(write_picture(tmp_path / "a.jpg", deep))
    assert "8 bits" in losses
    assert "alpha" in losses
    float_losses = write_picture(tmp_path / "a.png", Picture(_pixels(np.float32, 3)))
    assert "16 bits" in " ".join(float_losses)
    assert read_picture(tmp_path / "a.png").pixels.dtype == np.uint16


def test_palette_transparency_and_bilevel(tmp_path):
    rgb = Image.fromarray(_pixels(np.uint8, 3) // 64 * 64)
    palette = rgb.quantize(64)
    palette.save(tmp_path / "p.png")
    assert np.array_equal(read_picture(tmp_path / "p.png").pixels, np.asarray(palette.convert("RGB")))
    palette.save(tmp_path / "t.png", transparency=3)
    transparent = read_picture(tmp_path / "t.png")
    assert np.array_equal(transparent.alpha == 0, np.asarray(palette) == 3)
    Image.fromarray(_pixels(np.uint8, 1) > 99).save(tmp_path / "1.png")
    assert set(np.unique(read_picture(tmp_path / "1.png").pixels)) == {0, 255}


def test_cmyk_and_animation_are_said(tmp_path):
    Image.fromarray(_pixels(np.uint8, 3)).convert("CMYK").save(tmp_path / "c.jpg")
    cmyk = read_picture(tmp_path / "c.jpg")
    assert cmyk.pixels.shape == (13, 17, 3)
    assert "CMYK" in cmyk.notes[0]
    frames = [Image.fromarray(_pixels(np.uint8, 3, seed)) for seed in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    gif = read_picture(tmp_path / "a.gif")
    assert gif.notes == ("the first of its 3 frames",)
    with Image.open(tmp_path / "a.gif") as first:
        assert np.array_equal(gif.pixels, np.asarray(first.convert("RGB")))


def _encoded(kind, dtype=np.uint8):
    if kind == "TIFF":
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, _pixels(dtype, 3, size=(60, 60)), photometric="rgb", compression="zlib")
        return buffer.getvalue()
    buffer = io.BytesIO()
    Image.fromarray(_pixels(np.uint8, 3, size=(60, 60))).save(buffer, kind)
    return buffer.getvalue()


def _deep_png(tmp_path):
    write_rgb(tmp_path / "deep.png", _pixels(np.uint16, 3, size=(60, 60)))
    return (tmp_path / "deep.png").read_bytes()


@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "deep PNG", "deep TIFF"])
def test_truncated_is_refused_by_name(tmp_path, kind, share):
    whole = {"deep PNG": _deep_png, "deep TIFF": lambda _: _encoded("TIFF", np.uint16)}.get(
        kind, lambda _: _encoded(kind)
    )(tmp_path)
    path = tmp_path / "cut off.png"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match=r"cut off\.png"):
        read_picture(path)


def test_flipped_byte_in_deep_png_is_refused(tmp_path):
    data = bytearray(_deep_png(tmp_path))
    data[len(data) // 2] ^= 1
    (tmp_path / "bad.png").write_bytes(data)
    with pytest.raises(UserError, match="checksum"):
        read_picture(tmp_path / "bad.png")


@pytest.mark.parametrize("content", [b"", b"just text\n", b"\x89PNG\r\n\x1a\n", b"II*\x00", b"GIF89a", b"BM"])
def test_not_a_picture(tmp_path, content):
    path = tmp_path / "a text.png"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a text\.png"):
        read_picture(path)


def test_float_outside_the_unit_range_is_refused(tmp_path):
    for name, value in (("high", 3.5), ("low", -1), ("nan", np.nan)):
        pixels = _pixels(np.float32, 3)
        pixels[0, 0, 0] = value
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels, photometric="rgb")
        with pytest.raises(UserError, match=rf"{name}\.tif.*\[0, 1\]"):
            read_picture(tmp_path / f"{name}.tif")


def test_a_bomb_is_refused_before_decoding(tmp_path):
    write_rgb(tmp_path / "a.png", _pixels(np.uint8, 3))
    write_rgb(tmp_path / "b.png", _pixels(np.uint16, 3))
    tifffile.imwrite(tmp_path / "c.tif", _pixels(np.uint16, 3), photometric="rgb")
    write_rgb(tmp_path / "d.jpg", _pixels(np.uint8, 3))
    (tmp_path / "e.ppm").write_bytes(b"P6 13 17 65535\n" + bytes(13 * 17 * 6))
    for name in ("a.png", "b.png", "c.tif", "d.jpg", "e.ppm"):
        with pytest.raises(UserError, match="more than"):
            read_picture(tmp_path / name, max_pixels=200)
        assert read_picture(tmp_path / name, max_pixels=221).pixels.size == 13 * 17 * 3


def test_few_bytes_that_claim_many_pixels_are_refused(tmp_path):
    for suffix, place in ((".jpg", None), (".png", 16)):
        write_rgb(tmp_path / f"a{suffix}", _pixels(np.uint8, 3))
        data = bytearray((tmp_path / f"a{suffix}").read_bytes())
        if place is None:
            place = data.index(b"\xff\xc0") + 5
            data[place : place + 4] = struct.pack(">HH", 12000, 12000)
        else:
            data[place : place + 8] = struct.pack(">II", 12000, 12000)
            data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        (tmp_path / f"a{suffix}").write_bytes(data)
        with pytest.raises(UserError, match="cannot hold 12000x12000 pixels"):
            read_picture(tmp_path / f"a{suffix}")


def test_a_jpeg_of_endless_scans_is_refused(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(_pixels(np.uint8, 3, size=(60, 60))).save(buffer, "JPEG", progressive=True)
    whole = buffer.getvalue()
    last = whole.rindex(b"\xff\xda")
    (tmp_path / "a.jpg").write_bytes(whole[:last] + whole[last:-2] * 300 + whole[-2:])
    with pytest.raises(UserError, match="200 scans"):
        read_picture(tmp_path / "a.jpg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("kind", ["pipe", "device", "link to a device", "sparse"])
def test_what_never_ends_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "f.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "sparse":
        with open(path, "wb") as file:
            file.truncate(10**11)
    else:
        path = Path("/dev/zero") if kind == "device" else path
        if kind != "device":
            path.symlink_to("/dev/zero")
    with pytest.raises(UserError, match=r"not an ordinary file|too long"):
        read_picture(path)


def test_a_raw_file_is_not_taken_for_the_preview_inside(tmp_path):
    write_rgb(tmp_path / "preview.tif", np.zeros((4, 5, 3), np.uint8))
    (tmp_path / "preview.tif").rename(tmp_path / "IMG_1.DNG")
    with pytest.raises(UserError, match=r"cannot read .*IMG_1\.DNG: a camera's raw file; develop it"):
        read_picture(tmp_path / "IMG_1.DNG")


def test_heic(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    smooth = np.dstack(np.meshgrid(np.arange(64), np.arange(48))).astype(np.uint8)
    rgb = np.dstack([smooth * 2, 255 - smooth[..., :1]])
    heif.from_bytes("RGB", (64, 48), rgb.tobytes()).save(tmp_path / "a.heic", quality=95)
    picture = read_picture(tmp_path / "a.heic")
    assert (
        np.abs(picture.pixels.astype(int) - rgb).max() < 12
    )  # levels, by the quantisation and halved chroma
    assert picture.format == "HEIF"
    with pytest.raises(UserError, match="more than"):
        read_picture(tmp_path / "a.heic", max_pixels=100)
    assert [path.name for path in list_pictures(tmp_path)] == ["a.heic"]


def test_a_folder_is_listed_with_what_is_left_out(tmp_path):
    for name in ("a.png", "b.dng", "c.NEF", "d.txt", "e.txt", "README"):
        (tmp_path / name).write_bytes(b"x")
    listing = scan_folder(tmp_path)
    assert [path.name for path in listing.pictures] == ["a.png"]
    assert [path.name for path in listing.raw] == ["b.dng", "c.NEF"]
    assert listing.others == {".txt": 2, "without suffix": 1}


def test_a_folder_that_cannot_be_looked_into_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    real = os.scandir

    def scandir(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UserError, match=r"sub: Permission denied"):
        list_pictures(tmp_path, recursive=True)
    assert list_pictures(tmp_path) == []


def test_listing(tmp_path):
    for name in ("b.PNG", "a b.jpeg", "notes.txt", ".hidden.png", "ü.TiFf", "sub/c.bmp", "sub/deeper/d.webp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    os.symlink("loop.png", tmp_path / "loop.png")
    os.symlink("..", tmp_path / "sub" / "up")
    names = [p.name for p in list_pictures(tmp_path)]
    assert sorted(names) == sorted(["b.PNG", "a b.jpeg", "loop.png", "ü.TiFf"])
    deep = [str(p.relative_to(tmp_path)) for p in list_pictures(tmp_path, recursive=True)]
    assert sorted(deep) == sorted([*names, "sub/c.bmp", "sub/deeper/d.webp"])
    with pytest.raises(UserError, match=r"loop\.png"):
        read_picture(tmp_path / "loop.png")
    with pytest.raises(UserError, match="not a folder"):
        list_pictures(tmp_path / "notes.txt")


def test_write_rgb_rounds_and_clips(tmp_path):
    image = np.array([[[-1.0, 0.5, 2.0], [1 / 255 * 0.6, 0.2, 1.0]]])
    write_rgb(tmp_path / "a.png", image)
    assert read_picture(tmp_path / "a.png").pixels.tolist() == [[[0, 128, 255], [1, 51, 255]]]
    write_rgb(tmp_path / "b.png", image, bits=16)
    assert read_picture(tmp_path / "b.png").pixels[0, 1].tolist() == [154, 13107, 65535]


def test_unwritable_and_unknown_formats(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        write_rgb(tmp_path / "file" / "a.png", _pixels(np.uint8, 3))
    with pytest.raises(UserError, match=r"a\.xyz"):
        write_rgb(tmp_path / "a.xyz", _pixels(np.uint8, 3))
    picture = Picture(_pixels(np.uint8, 3), exif=b"II*\0" + bytes(70000))
    assert "too long" in " ".join(write_picture(tmp_path / "a.jpg", picture))
    assert read_picture(tmp_path / "a.jpg").exif is None
    write_picture(tmp_path / "b.jpg", replace(picture, exif=None))
