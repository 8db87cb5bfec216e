"""Kinds of files that people met and that lost something: what is kept of each, or the note that says it."""

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from restoration.composition import Restored
from restoration.jobs import Job, plan_jobs
from restoration.pictures import write_results
from utils.errors import UserError
from utils.image_decoding import decode
from utils.image_encoding import encode, fit
from utils.image_files import read_picture
from utils.image_metadata import PNG_SIGNATURE, png_chunks
from utils.picture import Picture
from utils.tiff_directories import exif_of_tiff

RNG = np.random.default_rng(0)


def _chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _insert(png, *chunks):
    return png[:33] + b"".join(_chunk(*chunk) for chunk in chunks) + png[33:]


def _saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _tiff(array, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, metadata=None, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(("primaries", "transfer"), [(9, 16), (9, 18), (12, 13)])
def test_heic_colours_without_a_profile_stay(primaries, transfer):
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    file = pillow_heif.from_bytes("RGB", (32, 32), bytes(range(256)) * 12)
    options = {"color_primaries": primaries, "transfer_characteristics": transfer, "save_nclx_profile": True}
    try:
        file.save(buffer, **options)
    except RuntimeError:
        pytest.skip("no HEIC encoder here")
    picture = decode(buffer.getvalue())
    assert (b"cICP", bytes([primaries, transfer, 0, 1])) in set(png_chunks(encode(picture, "PNG")))
    assert any("what its colours mean" in loss for loss in fit(picture, "JPEG")[1])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [2, 4, 5])
def test_unspecified_channels_are_no_alpha(dtype, channels):
    array = RNG.integers(0, np.iinfo(dtype).max, (9, 7, channels)).astype(dtype)
    colours = 1 if channels == 2 else 3
    kind = "minisblack" if colours == 1 else "rgb"
    extras = ["unspecified"] * (channels - colours)
    picture = decode(_tiff(array, photometric=kind, extrasamples=extras, planarconfig="contig"))
    assert picture.alpha is None
    assert np.array_equal(picture.pixels, array[..., 0] if colours == 1 else array[..., :3])
    assert any("extra channel" in note for note in picture.notes)


def test_an_alpha_behind_another_channel_is_found():
    array = RNG.integers(0, 65535, (9, 7, 5)).astype(np.uint16)
    picture = decode(_tiff(array, photometric="rgb", extrasamples=["unspecified", "unassalpha"]))
    assert np.array_equal(picture.alpha, array[..., 4])


def test_a_compression_that_is_not_supported_is_called_so():
    data = bytearray(_saved(Image.new("RGB", (8, 8)), "TIFF", compression="tiff_lzw"))
    place = data.index(struct.pack("<HHI", 259, 3, 1)) + 8
    data[place : place + 2] = struct.pack("<H", 50001)
    with pytest.raises(UserError, match="WEBP compression are not supported"):
        decode(bytes(data))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_exif_in_imagemagicks_text_form(dtype):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    block = exif.tobytes()
    words = f"\nexif\n{len(block):8}\n" + block.hex() + "\n"
    png = cv2.imencode(".png", np.zeros((4, 6, 3), dtype))[1].tobytes()
    text = b"Raw profile type exif\0\0" + zlib.compress(words.encode())
    picture = decode(_insert(png, (b"zTXt", text)))
    assert picture.pixels.shape[:2] == (6, 4)
    assert b"Maker" in picture.exif


def test_first_frame_of_a_16_bit_animation():
    first, second = (np.full((4, 4, 3), value, np.uint16) for value in (1000, 50000))
    bodies = [
        b"".join(body for kind, body in png_chunks(cv2.imencode(".png", a)[1].tobytes()) if kind == b"IDAT")
        for a in (first, second)
    ]
    header = cv2.imencode(".png", first)[1].tobytes()[8:33]

    def control(number):
        return b"fcTL", struct.pack(">IIIIIHHBB", number, 4, 4, 0, 0, 1, 10, 0, 1)

    chunks = [(b"acTL", struct.pack(">II", 2, 0)), control(0), (b"IDAT", bodies[0]), control(1)]
    chunks += [(b"fdAT", struct.pack(">I", 2) + bodies[1]), (b"IEND", b"")]
    picture = decode(PNG_SIGNATURE + header + b"".join(_chunk(*chunk) for chunk in chunks))
    assert np.array_equal(picture.pixels, first)
    assert picture.notes == ("the first of its 2 frames",)


def test_the_xmp_of_a_gain_map_goes_with_it():
    xmp = b'<x xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"/>'
    picture = decode(_saved(Image.new("RGB", (16, 16)), "JPEG", xmp=xmp))
    assert picture.xmp is None
    assert "gain map" in picture.notes[0]
    assert decode(_saved(Image.new("RGB", (16, 16)), "JPEG", xmp=b"<x/>")).xmp == b"<x/>"


def test_lab_loses_its_profile():
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    picture = decode(_saved(Image.new("LAB", (8, 8), (128, 0, 0)), "TIFF", icc_profile=lab))
    assert picture.icc is None
    assert picture.notes == ("Lab converted to sRGB",)


def _results(tmp_path, picture, name):
    job = Job(tmp_path / name, {"result": tmp_path / "out.auto"})
    restored = Restored(picture.pixels, np.zeros(picture.pixels.shape[:2], np.float32), ())
    return write_results(job, picture, restored, "native")


@pytest.mark.parametrize("plain", [False, True])
def test_bmp_with_alpha_becomes_png(tmp_path, plain):
    array = RNG.integers(0, 255, (8, 8, 4)).astype(np.uint8)
    masked = cv2.imencode(".bmp", array)[1].tobytes()
    picture = decode(_saved(Image.fromarray(array), "BMP") if plain else masked)
    assert "written as PNG, not BMP" in _results(tmp_path, picture, "a.bmp")
    assert np.array_equal(read_picture(tmp_path / "out.png").alpha, array[..., 3])
    assert not _results(tmp_path, Picture(array[..., :3], format="BMP"), "a.bmp")


def test_thumbnails_show_the_result(tmp_path):
    thumbnail = _saved(Image.new("RGB", (160, 120), "red"), "JPEG") + bytes(3000)
    first = struct.pack("<HHHIII", 1, 0x0112, 3, 1, 1, 26)
    second = struct.pack("<H", 2) + struct.pack("<HHII", 0x0201, 4, 1, 56)
    second += struct.pack("<HHII", 0x0202, 4, 1, len(thumbnail)) + bytes(4)
    exif = b"II*\0" + struct.pack("<I", 8) + first + second + thumbnail
    _results(tmp_path, Picture(np.full((60, 80, 3), 200, np.uint8), exif=exif, format="JPEG"), "a.jpg")
    exif = read_picture(tmp_path / "out.jpg").exif
    small = np.asarray(Image.open(io.BytesIO(exif[56:])))
    assert np.abs(small.astype(int) - 200).max() < 3


def test_geotiff_tags_survive():
    scale = (33550, "d", 3, (2.0, 2.0, 0.0), True)
    keys = (34735, "H", 4, (1, 1, 0, 0), True)
    data = _tiff(np.zeros((4, 4), np.uint8), photometric="minisblack", extratags=[scale, keys])
    assert exif_of_tiff(data) is not None
    with tifffile.TiffFile(io.BytesIO(encode(decode(data), "TIFF"))) as file:
        assert file.pages[0].tags[33550].value == (2.0, 2.0, 0.0)
        assert file.pages[0].tags[34735].value == (1, 1, 0, 0)


def test_only_pictures_whose_names_clash_are_renamed():
    pictures = [Path("in", name) for name in ("a.jpg", "a.png", "a_jpg.png", "b.jpg")]
    jobs = plan_jobs(pictures, Path("in"), Path("out"), suffix="-removed", extras=["highlight"])
    names = [job.outputs["highlight"].name for job in jobs]
    assert names == ["a_jpg_jpg-HFE.png", "a_png-HFE.png", "a_jpg-HFE.png", "b-HFE.png"]


def test_avif_of_10_bits_keeps_them():
    levels = np.repeat(np.arange(0, 1024, 16, dtype=np.uint16)[None, :, None], 64, 0).repeat(3, 2)
    try:
        _, data = cv2.imencode(".avif", levels, [cv2.IMWRITE_AVIF_DEPTH, 10, cv2.IMWRITE_AVIF_QUALITY, 100])
    except cv2.error:
        pytest.skip("no AVIF encoder here")
    picture = decode(data.tobytes())
    assert picture.pixels.dtype == np.uint16
    assert picture.notes == ("its 10 bits are kept as 16",)
    assert np.abs((picture.pixels >> 6).astype(int) - levels).max() <= 8
