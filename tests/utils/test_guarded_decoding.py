"""Decoding in helper processes: the same pictures, and limits that hold."""

import multiprocessing
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from utils import guarded_decoding, helper_processes
from utils.errors import UserError
from utils.guarded_decoding import decode_guarded, end_helpers
from utils.image_decoding import decode, size_of
from utils.image_files import Picture, write_picture


@pytest.fixture
def deep(tmp_path):
    """The bytes of a 16-bit PNG with alpha and metadata."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 65536, (40, 60, 3), dtype=np.uint16)
    picture = Picture(pixels, pixels[..., 0].copy(), xmp=b"<x/>", dpi=(300.0, 300.0))
    write_picture(tmp_path / "a.png", picture)
    return (tmp_path / "a.png").read_bytes()


def test_the_same_picture_as_without_a_helper(deep):
    sizes = []
    there, here = decode_guarded(deep, admit=sizes.append), decode(deep)
    assert np.array_equal(there.pixels, here.pixels)
    assert np.array_equal(there.alpha, here.alpha)
    assert (there.xmp, there.dpi, there.format) == (here.xmp, here.dpi, here.format)
    assert sizes == [2400]


def test_a_process_that_may_have_no_helpers_decodes_itself(deep, monkeypatch):
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    monkeypatch.setattr(guarded_decoding, "_Helper", None)
    sizes = []
    guarded_decoding.start_helper()
    assert decode_guarded(deep, admit=sizes.append).pixels.shape == (40, 60, 3)
    assert sizes == [2400]


def test_errors_come_through(deep):
    for data, words in ((b"", "empty"), (b"text", "not a picture"), (deep[:200], "truncated")):
        with pytest.raises(UserError, match=words):
            decode_guarded(data)
    with pytest.raises(UserError, match="more than"):
        decode_guarded(deep, max_pixels=100)


def test_what_takes_too_long_is_ended_and_the_next_is_decoded(deep, monkeypatch):
    decode_guarded(deep)
    monkeypatch.setattr(guarded_decoding, "SECONDS", -1.0)
    monkeypatch.setattr(helper_processes, "STEP", 0.0)
    with pytest.raises(UserError, match="takes more than"):
        for _ in range(100):  # an answer may come before the first look at the clock
            decode_guarded(deep)
    monkeypatch.undo()
    assert decode_guarded(deep).pixels.shape == (40, 60, 3)


def test_a_helper_that_dies_costs_one_file_at_most(deep):
    decode_guarded(deep)
    helper = guarded_decoding._idle[-1]
    helper.process.kill()
    helper.process.join()
    assert decode_guarded(deep).pixels.shape == (40, 60, 3)
    with pytest.raises(UserError, match="crashed"):
        decode_guarded(deep, admit=lambda _: _kill_all())
    assert decode_guarded(deep).pixels.shape == (40, 60, 3)
    end_helpers()
    assert not guarded_decoding._idle


def _kill_all():
    for child in multiprocessing.active_children():
        if child.name == "picture-decoder":
            child.kill()
            child.join()


def test_a_script_without_the_usual_guard_can_use_it(deep, tmp_path):
    (tmp_path / "a.png").write_bytes(deep)
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from utils.guarded_decoding import decode_guarded\n"
        f"print(decode_guarded(open({str(tmp_path / 'a.png')!r}, 'rb').read()).pixels.shape)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == "(40, 60, 3)\n"


def test_memory_beyond_the_allowance_is_refused():
    """In a process of its own: the limit is for the whole of it."""
    code = (
        "import numpy as np\nfrom utils.helper_processes import limited_memory\n"
        "with limited_memory(2**28):\n"
        "    np.ones(2**24, np.uint8)\n"
        "    try:\n        np.ones(2**30, np.uint8)\n"
        "    except MemoryError:\n        print('refused')\n"
        "np.ones(2**28, np.uint8)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


@pytest.mark.parametrize("numbers", [1, 9])
def test_a_tiff_that_claims_several_widths_has_no_size(numbers):
    width = (256, 4, numbers, 20 if numbers == 1 else 8)  # the number itself, or where the numbers are
    entries = [width, (257, 4, 1, 10), (258, 3, 1, 8), (273, 4, 1, 8), (279, 4, 1, 200)]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    data = b"II*\0" + struct.pack("<I", 8) + directory + bytes(4)
    assert size_of(data) == ((20, 10) if numbers == 1 else (0, 0))
    if numbers > 1:
        with pytest.raises(UserError):
            decode_guarded(data, admit=lambda pixels: None)
