"""from_pretrained, save_pretrained and push_to_hub: names, folders, and a Hub that runs in this process."""

import base64
import hashlib
import json
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
import yaml

from models import build_model
from restoration import HighlightRemover
from restoration.methods import DEFAULT_WEIGHTS
from utils.errors import UserError
from weights.model_files import read_metadata, save_model

_load = partial(HighlightRemover.from_pretrained, device="cpu")

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)


@pytest.fixture
def network():
    """A tiny aha-lite whose map is neither zero nor one."""
    torch.manual_seed(0)
    model = build_model("aha-lite", widths=(4, 4, 4), dilations=(2,), trunk_channels=(4, 4, 4))
    with torch.no_grad():
        model.HFE.scores1.bias.fill_(0.3)
    return model.eval()


def _front_matter(text):
    _, front, _ = text.split("---\n", 2)
    return yaml.safe_load(front)


@pytest.mark.parametrize("name", ["aha-lite", "shen2013"])
def test_names_are_those_of__load(name):
    expected = _load(name).restore(PICTURE)
    assert np.array_equal(HighlightRemover.from_pretrained(name)(PICTURE).diffuse, expected.diffuse)


def test_options_are_those_of_the_class():
    remover = HighlightRemover.from_pretrained("aha-lite", device="cpu", strength=0)
    assert np.array_equal(remover(PICTURE).diffuse, PICTURE)


def test_a_folder_gives_back_what_was_saved(network, tmp_path):
    remover = HighlightRemover(network)
    remover.save_pretrained(tmp_path / "mine")
    again = HighlightRemover.from_pretrained(tmp_path / "mine", device="cpu")
    assert np.array_equal(again(PICTURE).diffuse, remover(PICTURE).diffuse)
    again = HighlightRemover.from_pretrained(str(tmp_path / "mine" / "model.safetensors"), device="cpu")
    assert np.array_equal(again(PICTURE).diffuse, remover(PICTURE).diffuse)
    card = (tmp_path / "mine" / "README.md").read_text()
    assert _front_matter(card)["pipeline_tag"] == "image-to-image"
    assert "aha-lite" in _front_matter(card)["tags"]


def test_a_card_of_ones_own(network, tmp_path):
    card = DEFAULT_WEIGHTS.with_suffix(".md")
    front = _front_matter(card.read_text())
    assert front["license"] == "mit"
    assert front["library_name"] == "dehighlight"
    HighlightRemover(network).save_pretrained(tmp_path, card=card)
    assert (tmp_path / "README.md").read_bytes() == card.read_bytes()
    (tmp_path / "plain.md").write_text("# No front matter")
    for bad in ("plain.md", "none.md"):
        with pytest.raises(UserError, match=bad):
            HighlightRemover(network).save_pretrained(tmp_path, card=tmp_path / bad)


def test_what_is_not_there_is_a_sentence(tmp_path):
    for name in ("nonsense", str(tmp_path / "none.safetensors")):
        with pytest.raises(UserError, match="OWNER/NAME"):
            HighlightRemover.from_pretrained(name)
    with pytest.raises(UserError, match="folder without weights"):
        HighlightRemover.from_pretrained(tmp_path)
    with pytest.raises(UserError, match="classical"):
        HighlightRemover.from_pretrained("shen2013").save_pretrained(tmp_path)


_FILE_ADDRESS = "/{repo_id}/resolve/{revision}/{filename}"


class _Hub(BaseHTTPRequestHandler):
    """As much of huggingface.co as uploading and downloading a small repository needs."""

    files: dict = {}  # noqa: RUF012
    tokens: set = set()  # noqa: RUF012

    def log_message(self, *_):
        pass

    def _answer(self, body=b"", status=200, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, value):
        self._answer(json.dumps(value).encode(), Content_Type="application/json")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.tokens.add(self.headers.get("Authorization"))
        if self.path == "/api/repos/create":
            self._json({"url": f"http://{self.headers['Host']}/someone/lite"})
        elif "/preupload/" in self.path:
            named = [file["path"] for file in json.loads(body)["files"]]
            self._json(
                {"files": [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in named]}
            )
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            url = f"http://{self.headers['Host']}/someone/lite/commit/{'0' * 40}"
            self._json({"success": True, "commitOid": "0" * 40, "commitUrl": url, "hookOutput": ""})
        else:
            self._json({"warnings": [], "errors": []})  # validation of the card

    def do_GET(self):
        content = self.files.get(self.path.partition("/resolve/main/")[2])
        if self.path.startswith("/api/models/someone/lite"):
            self._json({"id": "someone/lite", "sha": "0" * 40, "siblings": [], "private": False})
        elif not self.path.startswith("/someone/lite/") or content is None:
            self._answer(status=404, X_Error_Code="RepoNotFound")
        else:
            etag = hashlib.sha1(content).hexdigest()
            self._answer(content, ETag=f'"{etag}"', X_Repo_Commit="0" * 40)

    do_HEAD = do_GET


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The library, talking to a server in this process and caching in a folder of the test."""
    constants = pytest.importorskip("huggingface_hub.constants")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", here)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", here + _FILE_ADDRESS)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    _Hub.files.clear()
    _Hub.tokens.clear()
    yield _Hub
    server.shutdown()
    server.server_close()


def test_up_to_the_hub_and_down_again(hub, network):
    remover = HighlightRemover(network)
    url = remover.push_to_hub("someone/lite", token="hf_secret", private=True)
    assert url.endswith("someone/lite")
    assert hub.tokens == {"Bearer hf_secret"}
    assert set(hub.files) == {"model.safetensors", "README.md"}
    assert b'from_pretrained("someone/lite")' in hub.files["README.md"]
    again = HighlightRemover.from_pretrained("someone/lite", device="cpu")
    assert np.array_equal(again(PICTURE).diffuse, remover(PICTURE).diffuse)


def test_how_it_was_trained_goes_along_to_the_hub(hub, network, tmp_path):
    save_model(network, tmp_path / "trained.safetensors", training={"data": "SHIQ", "steps": 7})
    HighlightRemover.from_pretrained(tmp_path / "trained.safetensors").push_to_hub("someone/lite")
    (tmp_path / "pushed.safetensors").write_bytes(hub.files["model.safetensors"])
    assert read_metadata(tmp_path / "pushed.safetensors")["training"] == {"data": "SHIQ", "steps": 7}
    HighlightRemover.from_pretrained("someone/lite").save_pretrained(tmp_path / "again")
    said = read_metadata(tmp_path / "again" / "model.safetensors")
    assert said["training"] == {"data": "SHIQ", "steps": 7}


def test_what_the_hub_lacks_or_sends_damaged(hub, network):
    with pytest.raises(UserError, match=r"cannot download model\.safetensors of someone/else"):
        HighlightRemover.from_pretrained("someone/else")
    HighlightRemover(network).push_to_hub("someone/lite", token="hf_secret")
    content = bytearray(hub.files["model.safetensors"])
    content[-1] ^= 1
    hub.files["model.safetensors"] = bytes(content)
    with pytest.raises(UserError, match="damaged"):
        HighlightRemover.from_pretrained("someone/lite")


def test_without_the_library(monkeypatch, network):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(UserError, match="pip install huggingface_hub"):
        HighlightRemover(network).push_to_hub("someone/lite")
