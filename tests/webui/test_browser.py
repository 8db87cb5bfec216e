"""The page in a real browser: pictures in, the slider moved, results out that are those of infer.py."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

import infer
from tests.chromium import BROWSER, keep_screenshot, new_page
from utils.image_files import Picture, read_picture, read_rgb, write_picture

pytest.importorskip("gradio", reason="the browser interface is not installed (extra demo)")
pytest.importorskip("playwright", reason="playwright is not installed (make demo-test)")

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium here (make demo-test installs it)"),
]

# Run by Python when it starts: notes where the server, with all its processes, connects to.
WATCH = """
import os, socket
usual = socket.socket.connect
def connect(self, address):
    if self.family != socket.AF_UNIX and not str(address[0]).startswith(("127.", "::1", "localhost")):
        with open(os.environ["CONNECTIONS"], "a") as log: log.write(f"{address}\\n")
    return usual(self, address)
socket.socket.connect = connect
"""


class Server:
    """demo.py in a process of its own."""

    def __init__(self, folder):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        (folder / "watch").mkdir()
        (folder / "watch" / "sitecustomize.py").write_text(WATCH)
        self.connections = folder / "connections"
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        environment = {
            "TMPDIR": self.temporary,
            "PYTHONPATH": folder / "watch",
            "CONNECTIONS": self.connections,
        }
        self.process = subprocess.Popen(
            [sys.executable, "demo.py", "--port", str(port), "--max_mb", "3", "--device", "cpu"],
            cwd=ROOT,
            env=os.environ | {name: str(value) for name, value in environment.items()},
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        assert line.startswith("open http://127.0.0.1:"), line
        self.address = f"http://127.0.0.1:{port}"

    def files(self):
        """What it has in its folder for temporary files, but for the empty ones that gradio makes there."""
        found = []
        for path in self.temporary.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # just removed
                if path.is_file() and path.stat().st_size:
                    found.append(path)
        return found


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0
    assert not list(server.temporary.glob("dehighlight-demo-*"))
    assert not server.connections.exists(), server.connections.read_text()


@pytest.fixture
def page(server):
    with new_page(server.address) as page:
        page.wait_for_selector("#start")
        yield page


def _upload(page, *paths):
    page.set_input_files("#pictures input[type=file]", paths)
    for path in paths:
        page.wait_for_selector(f"#pictures :text('{path.stem}')")


def _download(page, name, folder):
    link = page.locator(f"#downloads a[download='{name}']")
    with page.expect_download() as download:
        link.click()
    download.value.save_as(folder / name)
    return folder / name


def _pictures(folder):
    """A 16-bit PNG, an 8-bit JPEG and a text, in a folder."""
    shiny = read_rgb(ROOT / "samples" / "fruit.jpg")[::6, ::6]
    deep = np.rint(shiny * 65535).astype(np.uint16)
    write_picture(folder / "deep.png", Picture(deep))
    write_picture(folder / "plain.jpg", Picture((deep >> 8).astype(np.uint8)))
    (folder / "notes.txt").write_text("not a picture")
    return [folder / name for name in ("deep.png", "plain.jpg", "notes.txt")]


def test_results_are_those_of_infer(page, server, tmp_path):
    paths = _pictures(tmp_path)
    _upload(page, *paths)
    page.click("#start")
    page.wait_for_selector("#downloads :text('deep-removed')")
    messages = page.locator("#messages textarea").input_value()
    assert "notes.txt was left out: it is not a picture, or of a kind that is not supported" in messages
    out = tmp_path / "out"
    for path in paths[:2]:
        options = ["-i", str(path), "-o", str(out), "--save_highlight", "--save_specular", "--device", "cpu"]
        assert infer.main(options) == 0
    for stem, suffix in (("deep", ".png"), ("plain", ".jpg")):
        page.locator("#choice label").filter(has_text=stem).click()
        page.wait_for_selector(f"#downloads :text('{stem}-removed')")
        for name in (f"{stem}-removed{suffix}", f"{stem}-HFE.png", f"{stem}-specular.png"):
            ours, theirs = (
                read_picture(_download(page, name, tmp_path)).pixels,
                read_picture(out / name).pixels,
            )
            assert (
                ours.dtype
                == theirs.dtype
                == (np.uint16 if stem == "deep" and "HFE" not in name else np.uint8)
            )
            assert np.array_equal(ours, theirs)
    assert not np.array_equal(
        read_picture(tmp_path / "deep-removed.png").pixels, read_picture(paths[0]).pixels
    )
    archive = zipfile.ZipFile(_download(page, "all-results.zip", tmp_path))
    assert archive.read("deep-removed.png") == (tmp_path / "deep-removed.png").read_bytes()
    assert len(archive.namelist()) == 6
    assert any("session" in str(path) for path in server.files())
    page.close()
    end = time.monotonic() + 60
    while server.files() and time.monotonic() < end:
        time.sleep(0.2)
    assert not server.files()


def test_slider_strength_and_screenshot(page, tmp_path):
    _upload(page, ROOT / "samples" / "fruit.jpg")
    page.click("#start")
    page.wait_for_selector("#downloads :text('fruit-removed')")
    after = page.locator("#slider img").nth(1)

    def hidden():
        """Per cent of the result that are covered by the picture of before."""
        style = re.search(r"inset\(0px 0px 0px ([\d.]+)%", after.get_attribute("style"))
        return float(style[1])

    before = hidden()
    handle = page.locator("#slider [data-testid=slider]").bounding_box()
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 120, y, steps=5)
    page.mouse.up()
    assert hidden() < before - 5
    keep_screenshot(page, tmp_path)
    page.locator("input[aria-label^='number input for Strength']").fill("0")
    page.locator("input[aria-label^='number input for Strength']").press("Enter")
    page.click("#start")
    page.wait_for_function(
        "document.querySelector('#messages textarea')?.value.includes('nothing was removed')"
    )
    same = _download(page, "fruit-specular.png", tmp_path)
    assert not read_picture(same).pixels.any()


def test_too_large_files_and_no_files_are_refused(page, tmp_path):
    page.click("#start")
    page.wait_for_selector(":text('Choose a picture first')")
    (tmp_path / "large.tif").write_bytes(bytes(4_000_000))
    page.set_input_files("#pictures input[type=file]", tmp_path / "large.tif")
    page.wait_for_selector(":text('exceed the maximum allowed size')")
