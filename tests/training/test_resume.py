"""Runs that go on: in another folder, with other options, after a stop at an awkward moment."""

import os
import shutil
import signal

import numpy as np
import pytest
import torch

from tests.training.compare import assert_same_run, log_lines
from tests.training.conftest import write_pair
from training import loop
from training.loop import train
from training.stream import SampleStream
from training.validation import Interrupted
from utils.errors import UserError, WriteError
from weights.model_files import read_metadata


def _state(folder):
    return torch.load(folder / "last.pt", weights_only=True)


@pytest.fixture
def stop_in_validation(monkeypatch):
    """stop(number): Ctrl-C comes in that validation, counted from 1."""
    real, count = loop.validate, [0, 0]

    def validate(*args, **options):
        count[0] += 1
        if count[0] == count[1]:
            os.kill(os.getpid(), signal.SIGINT)
            raise Interrupted
        return real(*args, **options)

    def stop(number):
        count[:] = [0, number]

    monkeypatch.setattr(loop, "validate", validate)
    return stop


@pytest.mark.parametrize("gone", [False, True])
def test_a_run_that_goes_on_elsewhere_takes_its_best_along_or_ranks_afresh(tiny, tmp_path, gone):
    one, two = tmp_path / "one", tmp_path / "two"
    train(tiny(runs_name=str(one), max_steps=4, val_every=2))
    step = 6 if gone else read_metadata(one / "best.safetensors")["training"]["steps"]
    for path in one.glob("best*") if gone else ():
        path.unlink()
    # At a rate of 0 nothing becomes better.
    train(tiny(runs_name=str(two), resume=str(one / "last.pt"), max_steps=6, val_every=2, lr_g=0.0))
    assert read_metadata(two / "best.safetensors")["training"]["steps"] == step
    if not gone:
        assert [path.name for path in two.glob("best-*.pt")] == [f"best-{step:08d}.pt"]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_another_weight_decay_holds_from_there_on(tiny, tmp_path, optimizer):
    train(tiny(max_steps=2, optimizer=optimizer))
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    train(tiny(max_steps=4, optimizer=optimizer))
    train(tiny(runs_name=str(tmp_path / "other"), max_steps=4, optimizer=optimizer, weight_decay=5.0))
    states = [_state(tmp_path / name)["networks"]["model"] for name in ("run", "other")]
    norms = [sum(float(value.abs().sum()) for value in state.values()) for state in states]
    assert norms[1] < 0.995 * norms[0]


def test_a_stop_in_the_last_validation_is_made_up_for(tiny, tmp_path, stop_in_validation):
    stop_in_validation(2)
    options = {"resume_state": "weights", "max_steps": 4, "val_every": 2}
    assert train(tiny(**options)) == 128 + signal.SIGINT
    assert [line["step"] for line in log_lines(tmp_path / "run", "validation")] == [2]
    assert train(tiny(**options)) == 0
    assert [line["step"] for line in log_lines(tmp_path / "run", "validation")] == [2, 4]


def test_early_stopping_is_the_same_after_a_stop_in_a_validation(tiny, tmp_path, stop_in_validation):
    stop_in_validation(2)
    options = {"max_steps": 8, "val_every": 2, "early_stop": 1, "lr_g": 0.0}
    assert train(tiny(**options)) == 128 + signal.SIGINT
    assert train(tiny(**options)) == 0
    assert _state(tmp_path / "run")["progress"]["step"] == 4


def test_the_way_to_go_on_from_a_named_checkpoint_is_another(tiny, tmp_path, stop_in_validation, capsys):
    train(tiny(runs_name=str(tmp_path / "one"), max_steps=2, val_every=2))
    stop_in_validation(1)
    train(tiny(resume=str(tmp_path / "one" / "last.pt"), max_steps=4, val_every=2))
    said = capsys.readouterr()
    assert "--resume auto goes on from there" in said.out + said.err


def test_the_learning_rate_follows_the_estimates_without_a_content_loss(tiny, tmp_path):
    train(tiny(lambda_content=0.0, lambda_squared=1.0, max_steps=2, val_every=1))
    assert all(line["loss"] > 0 for line in log_lines(tmp_path / "run", "validation"))


def test_a_folder_named_as_the_runs_own_pictures_is_validated_on(tiny, pairs, tmp_path):
    shutil.copytree(pairs / "test", tmp_path / "validation")
    train(tiny(val_dataroot=[str(tmp_path / "validation")], max_steps=1))
    kinds = {line["kind"] for line in log_lines(tmp_path / "run", "validation")}
    assert kinds == {"validation/validation", "validation/validation (own)"}
    assert len(list((tmp_path / "run").glob("best-*.pt"))) == 1


def test_a_folder_to_validate_on_may_have_another_layout(tiny, pairs, tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    for path in (pairs / "test").glob("*_A.png"):
        shutil.copy(path, folder / path.name.replace("_A", ""))
        shutil.copy(path.with_name(path.name.replace("_A", "_D")), folder / path.name.replace("_A", "_gt"))
    assert train(tiny(layout="shiq", val_dataroot=[str(folder)], max_steps=1)) == 0


def test_bad_pictures_to_validate_on_are_left_out(tiny, pairs, tmp_path):
    folder = tmp_path / "bad"
    shutil.copytree(pairs / "test", folder)
    first = min(folder.glob("*_D.png"))
    first.write_bytes(b"no picture")
    options = {"val_dataroot": [str(folder)], "val_share": 0.0, "skip_bad_files": True, "max_steps": 1}
    assert train(tiny(pictures=True, **options)) == 0
    assert (tmp_path / "run" / "pictures" / "00000001.png").exists()
    # What is left has no highlight.
    for path in folder.glob("*.png"):
        if path.name[:5] != first.name[:5]:
            path.unlink()
    write_pair(folder, "14009", np.random.default_rng(1), side=32)
    shutil.copy(folder / "14009_D.png", folder / "14009_A.png")
    with pytest.raises(UserError, match="has a highlight"):
        train(tiny(**options | {"runs_name": str(tmp_path / "none")}))


def test_another_joint_batch_goes_on_after_the_same_samples(tiny, tmp_path, capsys, monkeypatch):
    """2, then 4, then 2 samples a step: none twice, none left out, as many epochs as the options say."""
    positions = []
    real = SampleStream.__getitem__
    monkeypatch.setattr(SampleStream, "__getitem__", lambda s, p: positions.append(p) or real(s, p))
    for length in ({"max_steps": 3}, {"max_steps": 5, "batch_size": 4}, {"max_steps": None, "epochs": 3}):
        train(tiny(val_every=100, lr_schedule="cosine", **length))
    # Seven training pictures three times; the last step takes a whole batch.
    assert positions == list(range(22))
    progress = _state(tmp_path / "run")["progress"]
    assert (progress["step"], progress["samples"], progress["joint_batch"]) == (3 + 2 + 4, 22, 2)
    said = capsys.readouterr().err
    assert "a step takes 4 samples from here on, 2 before: the run goes on after 6 samples" in said
    assert "a step takes 2 samples from here on, 4 before: the run goes on after 14 samples" in said
    epochs = [line["epoch"] for line in log_lines(tmp_path / "run", "train")]
    assert epochs == sorted(epochs)


@pytest.mark.parametrize(
    "every", [{"checkpoint_every": None, "checkpoint_minutes": 0.0}, {"checkpoint_every": 1}]
)
def test_checkpoints_written_beside_the_training_are_whole(tiny, tmp_path, monkeypatch, every):
    """A run that dies between validations goes on from the checkpoint before, bit for bit."""
    broken = tiny(val_every=100, **every)
    train(tiny(runs_name=str(tmp_path / "whole"), val_every=100, **every))
    real, steps = loop.TrainingLoop.step, []

    def step(self, parts):
        if len(steps) == 4:
            self.checkpoints.wait()
            raise KeyboardInterrupt
        steps.append(real(self, parts))

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop.TrainingLoop, "step", step)
        train(broken)
    assert _state(tmp_path / "run")["progress"]["step"] == 4
    train(broken)
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_an_error_in_writing_beside_the_training_ends_it(tiny, monkeypatch):
    def full(path, state):
        if state["progress"]["step"]:
            raise WriteError(f"{path}: no space left on device")

    monkeypatch.setattr("training.checkpoints.save_checkpoint", full)
    with pytest.raises(WriteError, match=r"last\.pt: no space left"):
        train(tiny(checkpoint_every=1, max_steps=50, val_every=100))
