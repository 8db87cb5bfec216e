"""TensorBoard, and Weights & Biases by a stand-in of its interface; the real one is no requirement."""

import json
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.loop import train
from training.trackers import check_trackers
from utils.errors import UserError

STAND_IN = """
import json, pathlib

class Config:
    def update(self, values, allow_val_change):
        note("config", values["model"])

class Run:
    def log(self, values, step=None):
        note("log", step, values)
    def finish(self):
        note("finish")

class Image:
    def __init__(self, pixels):
        assert pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == "uint8"

def note(*what):
    with open(pathlib.Path(__file__).with_name("calls.jsonl"), "a") as file:
        file.write(json.dumps(what, default=lambda thing: type(thing).__name__) + "\\n")

def init(**how):
    if (pathlib.Path(__file__).with_name("offline")).exists():
        raise RuntimeError("no API key")
    note("init", how)
    return Run()

config = Config()
"""


@pytest.fixture
def wandb(tmp_path, monkeypatch):
    """Puts the stand-in on the path; returns what was called, as lists."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "wandb.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    yield lambda: list(map(json.loads, (tmp_path / "site" / "calls.jsonl").read_text().splitlines()))
    sys.modules.pop("wandb", None)


def test_wandb_gets_options_values_and_pictures(tiny, tmp_path, wandb, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "shine")
    assert train(tiny(tracker=["wandb"], pictures=True, max_steps=3)) == 0
    calls = wandb()
    init = calls[0][1]
    assert calls[0][0] == "init"
    assert (init["project"], init["name"], init["dir"]) == ("shine", "run", str(tmp_path / "run"))
    assert calls[1] == ["config", "aha-lite"]
    assert calls[-1] == ["finish"]
    logged = [(step, name) for what, step, values in calls[2:-1] for name in values]
    assert {(1, "train/loss"), (3, "validation/validation/psnr"), (3, "pictures")} <= set(logged)
    assert [step for step, _ in logged] == sorted(step for step, _ in logged)
    assert not (tmp_path / "run" / "tensorboard").exists()

    assert train(tiny(tracker=["wandb"], max_steps=4)) == 0
    _, again = [call[1] for call in wandb() if call[0] == "init"]
    assert again["id"] == init["id"]
    assert again["resume"] == "allow"


def test_a_wandb_that_does_not_start_is_one_sentence(tiny, tmp_path, wandb):
    (tmp_path / "site" / "offline").touch()
    with pytest.raises(UserError, match=r"wandb did not start \(no API key\).*WANDB_MODE=offline"):
        train(tiny(tracker=["wandb"], max_steps=1))


def test_tensorboard_hides_what_lies_behind_the_checkpoint(tiny, tmp_path):
    train(tiny(tracker=["tensorboard"], pictures=True, max_steps=3))
    train(tiny(tracker=["tensorboard"], pictures=True, max_steps=4))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4]
    assert [event.step for event in events.Images("pictures")] == [3, 4]


def test_trackers_that_cannot_be_had_are_refused_before_anything_is_read(tiny, monkeypatch):
    with pytest.raises(UserError, match="`tracker=none tensorboard`: leave none out"):
        train(tiny(tracker=["none", "tensorboard"], dataroot="there is none"))
    monkeypatch.setattr("training.trackers.find_spec", lambda name: None)
    with pytest.raises(UserError, match="`tracker=wandb`: pip install wandb, or pass another one"):
        train(tiny(tracker=["wandb"], dataroot="there is none"))
    check_trackers(["none"])
