"""Debian's Chromium without a window, for tests of pages."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
ROOT = Path(__file__).parents[1]
PATIENCE = 180_000
"""Milliseconds to wait for anything: the machine may be busy."""


@contextmanager
def new_page(address: str, patience: int = PATIENCE) -> Iterator:
    """The page at `address` in a new Chromium; every request that is not to its server is a failure."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (make demo-test)"
    )
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS, headless=True)
        page = browser.new_page(viewport={"width": 1100, "height": 800})
        page.set_default_timeout(patience)
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(address)
        yield page
        browser.close()
        outside = [url for url in requests if not url.startswith((address, "data:", "blob:"))]
        assert not outside


def keep_screenshot(page, folder: Path) -> None:
    """Where DEMO_SCREENSHOT names a file, the page as it is now becomes the picture in the documentation."""
    page.wait_for_timeout(1000)
    page.screenshot(path=folder / "page.png", full_page=True)
    kept = os.environ.get("DEMO_SCREENSHOT")
    if kept:
        shown = Image.open(folder / "page.png").convert("RGB")
        shown = shown.quantize(palette=shown.quantize(256), dither=Image.Dither.FLOYDSTEINBERG)
        shown.save(ROOT / kept, optimize=True)
        assert (ROOT / kept).stat().st_size < 300_000
