"""The page of examples/browser in a real browser: its results are those of infer.py."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import infer
from restoration.methods import default_weights
from tests.chromium import BROWSER, keep_screenshot, new_page
from tests.tolerances import ONE_LEVEL
from utils.image_files import read_picture
from weights import load_model
from weights.export import export_network

for package in ("playwright", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason=f"{package} is not installed (make demo-test)")

ROOT = Path(__file__).parents[2]
RUNTIME = Path(
    os.environ.get("ONNXRUNTIME_WEB") or ROOT / ".venv" / "npm" / "node_modules" / "onnxruntime-web", "dist"
)
PATIENCE = 600_000
"""Milliseconds for one picture: WebAssembly in one thread of a busy machine."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium here (make demo-test installs it)"),
    pytest.mark.skipif(not RUNTIME.is_dir(), reason="no onnxruntime-web here (make demo-test installs it)"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of the page, with the network and ONNX Runtime beside it, as its users set it up."""
    folder = tmp_path_factory.mktemp("served") / "browser"
    shutil.copytree(ROOT / "examples" / "browser", folder, ignore=shutil.ignore_patterns("*.onnx", "ort"))
    export_network(load_model(default_weights()), folder / "aha-lite.onnx", "onnx")
    (folder / "ort").symlink_to(RUNTIME)
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    line = server.stdout.readline()
    yield line[line.index("(") + 1 : line.index(")")]
    server.terminate()
    server.wait(60)


def _separated(page, path, target):
    page.wait_for_selector("#file:enabled")
    page.set_input_files("#file", path)
    page.wait_for_selector("#status:has-text('Done')")
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == f"{path.stem}-removed.png"
    download.value.save_as(target)
    return read_picture(target).pixels


# As it is; reduced to the working size; with the second pass over small highlights; brightened.
@pytest.mark.parametrize(
    ("box", "brightness"),
    [
        ((160, 40, 350, 170), 1),
        ((100, 100, 700, 500), 1),
        ((128, 300, 1152, 556), 1),
        ((0, 0, 620, 410), 0.4),
    ],
)
def test_results_are_those_of_infer(address, tmp_path, box, brightness):
    levels = np.asarray(Image.open(ROOT / "samples" / "fruit.jpg").crop(box))
    picture = tmp_path / "fruit.png"
    Image.fromarray(np.rint(levels * brightness).astype(np.uint8)).save(picture)
    with new_page(address, PATIENCE) as page:
        found = _separated(page, picture, tmp_path / "page.png")
        assert page.evaluate("[before.width, before.height]") == [box[2] - box[0], box[3] - box[1]]
    command = ["-i", str(picture), "-o", str(tmp_path / "out"), "--device", "cpu", "--precision", "fp32"]
    assert infer.main(command) == 0
    expected = read_picture(tmp_path / "out" / "fruit-removed.png").pixels
    assert (expected != read_picture(picture).pixels).any()
    difference = np.abs(found[..., :3].astype(int) - expected)
    assert difference.max() <= ONE_LEVEL
    assert (difference > 0).mean() < 0.002  # as of ONNX Runtime in test_backends.py


def test_before_and_after_with_a_slider(address, tmp_path):
    with new_page(address, PATIENCE) as page:
        page.wait_for_selector("#file:enabled")
        (tmp_path / "notes.txt").write_text("not a picture")
        page.set_input_files("#file", tmp_path / "notes.txt")
        page.wait_for_selector("#status.failed:has-text('notes.txt is no picture')")
        page.uncheck("#small")
        found = _separated(page, ROOT / "samples" / "fruit.jpg", tmp_path / "page.png")
        assert found.shape[:2] == (960, 1280)
        page.fill("#slider", "30")
        assert "30%" in page.evaluate("getComputedStyle(after).clipPath")
        keep_screenshot(page, tmp_path)


def test_without_the_network_the_command_is_named(address):
    with new_page(address, PATIENCE) as page:
        page.route("**/aha-lite.onnx", lambda route: route.fulfill(status=404))
        page.reload()
        command = "python export.py --output examples/browser/aha-lite.onnx"
        page.wait_for_selector(f"#status.failed:has-text('{command}')")
        assert page.is_disabled("#file")
