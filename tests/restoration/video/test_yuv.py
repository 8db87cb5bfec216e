"""Luma and chroma: the same numbers as FFmpeg's converter, and nothing changed where nothing is removed."""

import numpy as np
import pytest

av = pytest.importorskip("av")

from restoration.video.clip_reader import ONE_THREAD, Coding, subtract, to_rgb  # noqa: E402
from tests.tolerances import ROUNDED  # noqa: E402

MATRICES = {1: "ITU709", 6: "SMPTE170M", 9: "BT2020"}


def _smooth_picture(size=(32, 48)):
    """Without edges, so that ways to resize chroma agree."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]] / np.array(size).reshape(2, 1, 1)
    return np.stack([0.2 + 0.6 * rows, 0.3 + 0.5 * columns, 0.7 - 0.4 * rows * columns], axis=2)


def _planes(picture, pixel_format, matrix, colour_range):
    levels = np.rint(picture * 65535).astype(np.uint16)
    frame = av.VideoFrame.from_ndarray(levels, "rgb48le").reformat(
        format=pixel_format,
        dst_colorspace=MATRICES[matrix],
        dst_color_range=colour_range,
        threads=ONE_THREAD,
    )
    dtype = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
    return [np.frombuffer(p, dtype).reshape(p.height, -1)[:, : p.width].copy() for p in frame.planes]


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("colour_range", [1, 2])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le", "yuv444p"])
def test_as_ffmpeg_converts(pixel_format, matrix, colour_range):
    picture = _smooth_picture()
    planes = _planes(picture, pixel_format, matrix, colour_range)
    coding = Coding.of(pixel_format, matrix, colour_range, height=32)
    # Rounded luma and chroma, which the matrix doubles; FFmpeg rounds chroma of 8 bits coarsely.
    levels = 4 if coding.bits == 8 else 2.5
    assert np.abs(to_rgb(planes, coding) - picture)[2:-2, 2:-2].max() < levels / 255


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "yuv444p"])
def test_the_layer_is_what_is_missing_afterwards(pixel_format):
    picture = _smooth_picture()
    coding = Coding.of(pixel_format, 1, 1, height=32)
    planes = _planes(picture, pixel_format, 1, 1)
    specular = (0.2 * picture).astype(np.float32)
    result = to_rgb(subtract(planes, specular, coding), coding)
    # Levels of three planes.
    assert np.abs(result - (to_rgb(planes, coding) - specular))[2:-2, 2:-2].max() < 2.5 / 255


def test_where_nothing_is_removed_every_sample_stays():
    rng = np.random.default_rng(0)
    planes = [rng.integers(0, 256, size, dtype=np.uint8) for size in ((33, 47), (17, 24), (17, 24))]
    coding = Coding.of("yuvj420p", 2, 1, height=33)
    assert coding.full_range
    unchanged = subtract(planes, np.zeros((33, 47, 3), np.float32), coding)
    assert all(np.array_equal(*pair) for pair in zip(planes, unchanged, strict=True))


def test_grey_is_one_plane():
    grey = np.arange(16, 236, dtype=np.uint8).reshape(20, 11)
    coding = Coding.of("gray", 2, 1, height=20)
    picture = to_rgb([grey], coding)
    assert picture.shape == (20, 11)
    assert np.allclose(picture, (grey - 16.0) / 219, atol=ROUNDED)
    assert np.array_equal(subtract([grey], picture, coding)[0], np.full_like(grey, 16))


def test_the_matrix_is_guessed_by_size_where_the_clip_does_not_say_it():
    assert Coding.of("yuv420p", 2, 1, height=576).matrix == 6
    assert Coding.of("yuv420p", 2, 1, height=720).matrix == 1
    with pytest.raises(ValueError, match="nv12"):
        Coding.of("nv12", 1, 1, height=720)
