"""Properties of reading and writing, for any size, depth, mode, orientation and profile."""

import io

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from utils.errors import UserError
from utils.image_decoding import decode, size_of
from utils.image_encoding import encode, fit
from utils.image_files import WRITERS, Picture

FEW = settings(max_examples=25, deadline=None)
FORMATS = sorted(set(WRITERS.values()))
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))
profiles = st.sampled_from([None, ICC, b"", b"no profile"])


@st.composite
def pictures(draw):
    """Any picture that can be in memory."""
    dtype = np.dtype(draw(st.sampled_from([np.uint8, np.uint16, np.float32])))
    height, width = draw(sizes)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    levels = rng.random((height, width, 4), dtype=np.float32)
    values = levels if dtype.kind == "f" else (levels * np.iinfo(dtype).max).astype(dtype)
    pixels = values[..., :3] if draw(st.booleans()) else values[..., 0]
    return Picture(
        np.ascontiguousarray(pixels),
        np.ascontiguousarray(values[..., 3]) if draw(st.booleans()) else None,
        icc=draw(profiles) or None,
        xmp=draw(st.sampled_from([None, b"<x/>"])),
        dpi=draw(st.sampled_from([None, (72.0, 72.0), (300.0, 600.0)])),
    )


@FEW
@given(pictures(), st.sampled_from(FORMATS))
def test_what_is_written_is_read_again(picture, kind):
    fitted, losses = fit(picture, kind)
    data = encode(fitted, kind)
    assert size_of(data) == picture.pixels.shape[1::-1]
    back = decode(data)
    assert (back.format, back.pixels.shape[:2]) == (kind, picture.pixels.shape[:2])
    assert (back.alpha is None) == (fitted.alpha is None)
    if kind in ("PNG", "TIFF") and not losses:
        assert back.pixels.dtype == picture.pixels.dtype
        assert np.array_equal(back.pixels, picture.pixels)
        assert picture.alpha is None or np.array_equal(back.alpha, picture.alpha)
        assert (back.icc, back.xmp) == (picture.icc, picture.xmp)
        assert picture.dpi is None or back.dpi == pytest.approx(picture.dpi, rel=1e-3)  # whole pixels a metre


@FEW
@given(
    st.sampled_from(
        ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB", "I", "I;16"]
    ),
    st.sampled_from(["PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "AVIF"]),
    sizes,
    st.integers(0, 12),
    profiles,
)
def test_any_mode_that_pillow_writes_is_read_or_refused(mode, kind, size, orientation, profile):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).convert("RGB")
    try:
        image = image.convert("L") if mode in ("I", "I;16", "PA", "LAB", "LA") else image
        image = image.convert(mode)
        exif, file = Image.Exif(), io.BytesIO()
        exif[0x0112] = orientation
        image.save(file, kind, exif=exif, icc_profile=profile or None)
    except (OSError, ValueError, KeyError, TypeError):  # a mode that the format does not have
        return
    try:
        picture = decode(file.getvalue())
    except UserError:
        return
    turned = kind in ("PNG", "JPEG", "TIFF", "WEBP", "AVIF") and 5 <= orientation <= 8
    if kind != "AVIF":  # its decoder turns pictures itself, by what the file says beside EXIF
        assert picture.pixels.shape[:2] == (size[::-1] if turned else size)
    assert picture.pixels.dtype in (np.uint8, np.uint16)
    for writer in FORMATS:
        encode(fit(picture, writer)[0], writer)


@FEW
@given(
    st.sampled_from([np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.float16, np.float32, np.float64]),
    st.sampled_from([1, 2, 3, 4, 5]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, "zlib"]),
    st.integers(0, 9),
)
def test_any_tiff_is_read_or_refused(dtype, samples, big, planar, compression, orientation):
    dtype = np.dtype(dtype)
    shape = (9, 7) if samples == 1 else ((samples, 9, 7) if planar else (9, 7, samples))
    pixels = np.zeros(shape, dtype)
    file = io.BytesIO()
    try:
        tifffile.imwrite(
            file,
            pixels,
            bigtiff=big,
            photometric="rgb" if samples >= 3 else "minisblack",
            planarconfig=None if samples == 1 else ("separate" if planar else "contig"),
            compression=compression,
            extratags=[(274, "H", 1, orientation, True)],
        )
    except ValueError:  # a combination that TIFF does not have
        return
    try:
        picture = decode(file.getvalue())
    except UserError:
        return
    assert picture.pixels.shape[:2] == ((7, 9) if 5 <= orientation <= 8 else (9, 7))
    assert not picture.pixels.any()


@FEW
@given(
    st.binary(max_size=200), st.sampled_from(["", "PNG", "JPEG", "TIFF", "BIG", "GIF", "WEBP", "BMP", "HEIC"])
)
def test_bytes_are_a_picture_or_a_sentence(content, start):
    heads = {
        "PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "JPEG": b"\xff\xd8\xff\xc0\0\x11\x08",
        "TIFF": b"II*\0\x08\0\0\0", "BIG": b"MM\0+\0\x08\0\0\0\0\0\0\0\0\0\x10", "GIF": b"GIF89a",
        "WEBP": b"RIFF\xff\0\0\0WEBPVP8L", "BMP": b"BM", "HEIC": b"\0\0\0\x18ftypheic",
    }  # fmt: skip
    said = ""
    try:
        assert decode(heads.get(start, b"") + content, max_pixels=10**6).pixels.size
    except UserError as error:
        said = str(error)
    assert "\n" not in said
