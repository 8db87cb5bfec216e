"""What is not pixels survives: camera data in TIFF, text in any script, XMP, resolution, PNG's colours; and
depths beyond 8 bits in every format that has them."""

import io
import struct

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from utils.image_files import Picture, read_picture, write_picture
from utils.image_metadata import png_chunks
from utils.tiff_directories import (
    EXIF,
    GPS,
    Field,
    Header,
    add_exif,
    exif_of_tiff,
    read_directory,
    take_orientation,
    write_directory,
)

MAKER = "Émile & Søn 写真".encode()


def _exif(order="<"):
    """A block as a camera writes it: make, camera data with a maker note, position."""
    camera = {
        0x829A: Field(5, 1, struct.pack(order + "II", 1, 250)),
        0x927C: Field(7, 40, bytes(range(40))),
        0x9003: Field(2, 20, b"2024:02:03 04:05:06\0"),
    }
    position = {1: Field(2, 2, b"N\0"), 2: Field(5, 3, struct.pack(order + "6I", 48, 1, 51, 1, 29, 1))}
    directory = {
        0x010F: Field(2, len(MAKER) + 1, MAKER + b"\0"),
        EXIF: Field(4, 1, camera),
        GPS: Field(4, 1, position),
    }
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    return head + write_directory(directory, order, 8)


def _directory(data):
    header = Header.of(data)
    return read_directory(data, header, header.first)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg", ".webp"])
def test_camera_data_and_position_survive(tmp_path, order, dtype, suffix):
    """8-bit pictures with such data failed as TIFF, deep ones lost it."""
    exif = _exif(order)
    pixels = np.zeros((5, 7, 3), dtype)
    write_picture(tmp_path / f"a{suffix}", Picture(pixels, exif=exif))
    back = read_picture(tmp_path / f"a{suffix}")
    assert _directory(back.exif) == _directory(exif)
    if suffix == ".tif":
        again = Image.Exif()
        again.load(b"Exif\0\0" + back.exif)
        assert again.get_ifd(GPS)[1] == "N"
        assert again.get_ifd(EXIF)[0x829A] == pytest.approx(1 / 250)
        assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), pixels)


@pytest.mark.parametrize("cut", [1, 9, 30, 60, 120])
def test_damaged_camera_data_is_no_reason_to_fail(tmp_path, cut):
    exif = _exif()[: 8 + cut]
    write_picture(tmp_path / "a.tif", Picture(np.zeros((5, 7, 3), np.uint8), exif=exif))
    assert read_picture(tmp_path / "a.tif").pixels.shape == (5, 7, 3)


def test_directories_that_point_at_themselves_end():
    exif = bytearray(_exif())
    for tag in (EXIF, GPS):
        entry = next(i for i in range(10, 60, 12) if struct.unpack_from("<H", exif, i)[0] == tag)
        struct.pack_into("<I", exif, entry + 8, 8)
    header = Header.of(bytes(exif))
    assert read_directory(bytes(exif), header, 8)
    plain = io.BytesIO()
    tifffile.imwrite(plain, np.zeros((5, 7), np.uint8))
    assert exif_of_tiff(add_exif(plain.getvalue(), bytes(exif))) is not None


def test_orientation_of_a_bigtiff_is_taken():
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((5, 7), np.uint8), bigtiff=True, extratags=[(274, "H", 1, 6, True)])
    orientation, data = take_orientation(file.getvalue())
    assert orientation == 6
    assert take_orientation(data)[0] == 1
    assert take_orientation(b"II*\0\xff\xff\xff\xff")[0] == 1


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_xmp_and_resolution_survive(tmp_path, suffix, dtype):
    xmp = "<x:xmpmeta>5 Sterne für Ø</x:xmpmeta>".encode()
    write_picture(tmp_path / f"a{suffix}", Picture(np.zeros((5, 7, 3), dtype), xmp=xmp, dpi=(300.0, 150.0)))
    back = read_picture(tmp_path / f"a{suffix}")
    assert back.xmp == xmp
    if suffix != ".webp":  # it has no place for a resolution
        assert back.dpi == pytest.approx((300, 150), rel=1e-3)  # whole pixels a metre


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_the_colours_of_a_png_mean_survives(tmp_path, dtype):
    colour = (
        (b"gAMA", struct.pack(">I", 45455)),
        (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
        (b"cICP", bytes([9, 16, 0, 1])),
    )
    path = tmp_path / "a.png"
    write_picture(path, Picture(np.zeros((5, 7, 3), dtype), png_colour=colour))
    back = read_picture(path)
    assert back.png_colour == colour
    write_picture(path, back)
    assert set(colour) <= set(png_chunks(path.read_bytes()))
    assert "gamma" in write_picture(tmp_path / "a.jpg", back)[-1]


@pytest.mark.parametrize("kind", ["bigtiff", "ppm", "pgm", "jp2", "grey jp2"])
def test_sixteen_bits_stay_sixteen(tmp_path, kind):
    """Pillow gives 8 of them."""
    pixels = np.random.default_rng(0).integers(0, 65536, (40, 52, 3), dtype=np.uint16)
    if kind in ("pgm", "grey jp2"):
        pixels = pixels[..., 0].copy()
    path = tmp_path / "a.xyz"
    if kind == "bigtiff":
        tifffile.imwrite(path, pixels, bigtiff=True, photometric="rgb")
    elif kind.endswith("jp2"):
        reverse = pixels[..., ::-1] if pixels.ndim == 3 else pixels
        path.write_bytes(cv2.imencode(".jp2", reverse, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])[1])
    else:
        head = b"P5" if kind == "pgm" else b"P6\n# a comment"
        path.write_bytes(head + b"\n52 40\n65535\n" + pixels.astype(">u2").tobytes())
    back = read_picture(path)
    assert back.pixels.dtype == np.uint16
    assert np.array_equal(back.pixels, pixels)


def test_a_netpbm_file_with_another_white_is_scaled(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 3 1 1000 " + np.array([0, 500, 1000], ">u2").tobytes())
    assert read_picture(tmp_path / "a.pgm").pixels.tolist() == [[0, 32768, 65535]]


def test_metadata_that_is_none_is_left_out_and_said(tmp_path):
    """A PNG whose eXIf is garbage and a TIFF whose ICC tag is a number failed."""
    pixels = np.zeros((5, 7, 3), np.uint8)
    write_picture(tmp_path / "a.png", Picture(pixels, exif=b"garbage, not a TIFF header"))
    tifffile.imwrite(tmp_path / "b.tif", pixels, photometric="rgb", extratags=[(34675, "I", 1, 5, True)])
    for name, words in (("a.png", "EXIF data"), ("b.tif", "colour profile")):
        picture = read_picture(tmp_path / name)
        assert f"its {words} cannot be used" in picture.notes[0]
        write_picture(tmp_path / "again.tif", picture)
        assert np.array_equal(read_picture(tmp_path / "again.tif").pixels, pixels)


XMP_TURNED = (
    b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>'
)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_an_orientation_in_xmp_does_not_turn_the_result_again(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(np.zeros((12, 16, 3), np.uint8))
    stored.save(tmp_path / "a.jpg", exif=exif, xmp=XMP_TURNED)
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.pixels.shape[:2] == (16, 12)
    assert picture.xmp == XMP_TURNED.replace(b"6", b"1")
    write_picture(tmp_path / f"b{suffix}", picture)
    with Image.open(tmp_path / f"b{suffix}") as written:
        assert ImageOps.exif_transpose(written).size == (12, 16)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("samples", [2, 4])
def test_colours_multiplied_by_alpha_are_divided_by_it(tmp_path, dtype, samples):
    white = 65535 if dtype == np.uint16 else 1
    alpha = (np.array([[0, 0.25, 1]]) * white).astype(dtype)
    straight = np.array([[0, 0.5, 0.7]]) * white  # nothing is known where alpha is 0
    colour = (straight * np.array([[0, 0.25, 1]])).astype(dtype)
    layers = np.stack([colour] * (samples - 1) + [alpha], axis=2)
    photometric = "rgb" if samples == 4 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", layers, photometric=photometric, extrasamples=["assocalpha"])
    picture = read_picture(tmp_path / "a.tif")
    assert np.array_equal(picture.alpha, alpha)
    expected = straight if samples == 2 else np.repeat(straight[..., None], 3, axis=2)
    assert np.abs(picture.pixels - expected).max() <= 4 * white / 65535  # a rounding, divided by 0.25


def test_a_transparent_grey_level_of_16_bits_is_alpha(tmp_path):
    values = np.array([[7, 8], [65535, 7]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png", transparency=7)
    picture = read_picture(tmp_path / "a.png")
    assert np.array_equal(picture.pixels, values)
    assert np.array_equal(picture.alpha, [[0, 65535], [65535, 0]])


def test_jpeg_2000_with_alpha_keeps_16_bits(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (96, 120, 4)).astype(np.uint16)
    options = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000]
    cv2.imwrite(str(tmp_path / "a.jp2"), values, options)
    picture = read_picture(tmp_path / "a.jp2")
    assert picture.pixels.dtype == picture.alpha.dtype == np.uint16
    assert np.array_equal(picture.pixels, values[..., 2::-1])
    assert np.array_equal(picture.alpha, values[..., 3])
