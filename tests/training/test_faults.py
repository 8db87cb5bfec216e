"""What can go wrong while a run is under way: nothing is lost, nothing hangs, a sentence says what it was."""

import errno
import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest
import torch

from tests.locks import holder_of
from tests.training.compare import assert_equal, assert_same_run
from training import checkpoints, logger, loop
from training.loop import TrainingLoop, train
from utils.errors import UserError, WriteError
from utils.signals import StopSignals
from weights.hashing import content_hash
from weights.model_files import load_model, read_metadata

SHORT = {"max_steps": 4, "val_every": 2, "ema_decay": 0.9}


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def _at_step(monkeypatch, step, action):
    """Does `action` after optimiser step `step`, before the next one."""
    log = TrainingLoop.log
    monkeypatch.setattr(TrainingLoop, "log", lambda l: log(l) or (l.run.progress.step == step and action()))


# ---- killed between the files of one validation


@pytest.fixture
def improving(monkeypatch):
    """Every validation is better than the one before."""
    save = checkpoints.CheckpointManager.save_validated
    monkeypatch.setattr(
        checkpoints.CheckpointManager,
        "save_validated",
        lambda manager, _: save(manager, float(manager.run.progress.step)),
    )


def _writers(folder):
    """The calls that publish a validated step, in their order."""
    return [
        (checkpoints, "save_checkpoint", lambda path, *_: path.name.startswith("best-")),
        (checkpoints.CheckpointManager, "_save_weights", lambda *_: True),
        (checkpoints, "_alias", lambda path, name: name.name == "last.pt"),
        (Path, "unlink", lambda path, **_: path.name.startswith("best-")),
    ]


@pytest.mark.parametrize("point", range(4))
@pytest.mark.parametrize("finished", [False, True], ids=["before", "after"])
@pytest.mark.usefixtures("improving")
def test_killed_while_publishing_the_best(tiny, tmp_path, monkeypatch, point, finished):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(tiny(runs_name=str(whole), **SHORT))
    assert [path.name for path in whole.glob("best-*.pt")] == ["best-00000004.pt"]

    place, name, chosen = _writers(parts)[point]
    call, seen = getattr(place, name), []

    def cut(*arguments, **keywords):
        if not chosen(*arguments, **keywords):
            return call(*arguments, **keywords)
        seen.append(name)
        # Best files are deleted once, everything else is written at both validations.
        second = len(seen) == (1 if place is Path else 2)
        if second and not finished:
            raise Killed
        result = call(*arguments, **keywords)
        if second:
            raise Killed
        return result

    with monkeypatch.context() as patch:
        patch.setattr(place, name, cut)
        with pytest.raises(Killed):
            train(tiny(runs_name=str(parts), **SHORT))
    train(tiny(runs_name=str(parts), **SHORT))
    assert_same_run(whole, parts)
    a, b = (load_model(folder / "best.safetensors").state_dict() for folder in (whole, parts))
    assert_equal(a, b)
    assert read_metadata(parts / "best.safetensors")["training"]["steps"] == 4


# ---- damaged, missing and foreign files of a run


def test_a_deleted_last_checkpoint_does_not_destroy_the_run(tiny, tmp_path):
    run = tmp_path / "run"
    train(tiny(**SHORT))
    (run / "last.pt").unlink()
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    with pytest.raises(UserError, match=r"without its last\.pt.*`resume=.*best-0000000\d\.pt`"):
        train(tiny(**SHORT))
    after = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    assert before.keys() == after.keys()
    assert all(before[name] == after[name] for name in before.keys() - {"run.lock"})
    best = next(run.glob("best-*.pt"))
    assert train(tiny(**SHORT | {"resume": str(best), "max_steps": 5})) == 0


def test_a_run_that_was_killed_at_once_goes_on(tiny, monkeypatch):
    _killed_at_step(monkeypatch, 1, tiny(**SHORT | {"val_every": 100}))
    assert train(tiny(**SHORT)) == 0


def test_a_changed_bit_is_noticed(tiny, tmp_path):
    train(tiny(max_steps=1))
    last = tmp_path / "run" / "last.pt"
    good = last.read_bytes()
    for place in range(len(good) // 40, len(good), len(good) // 20):
        last.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        try:
            checkpoints.load_checkpoint(last)
        except UserError:
            continue
        # What an archive says of times and permissions changes nothing.
        content = checkpoints.load_checkpoint(last)
        last.write_bytes(good)
        assert content_hash(content) == content_hash(checkpoints.load_checkpoint(last))
    last.write_bytes(good)
    state = torch.load(last, weights_only=True)
    next(iter(state["networks"]["model"].values())).view(-1)[0] += 1e-3
    torch.save(state, last)
    with pytest.raises(UserError, match=r"last\.pt is damaged: its content has another hash"):
        train(tiny(max_steps=2))


def _killed_at_step(monkeypatch, step, options):
    with monkeypatch.context() as patch:
        _at_step(patch, step, lambda: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            train(options)


def test_a_run_folder_may_move_and_nothing_depends_on_the_clock(tiny, tmp_path, monkeypatch):
    whole, before, after = tmp_path / "whole", tmp_path / "before", tmp_path / "elsewhere" / "after"
    train(tiny(runs_name=str(whole), **SHORT))
    jumps = iter(range(10**6))
    # A day back at every look at it.
    monkeypatch.setattr(time, "time", lambda: 1.7e9 - 86400 * next(jumps))
    _killed_at_step(monkeypatch, 3, tiny(runs_name=str(before), **SHORT))
    after.parent.mkdir()
    before.rename(after)
    train(tiny(runs_name=str(after), **SHORT))
    assert_same_run(whole, after)


@pytest.mark.parametrize("part", ["networks", "progress", "recipe", "options"])
def test_checkpoints_without_their_parts_are_refused(tiny, tmp_path, part):
    train(tiny(max_steps=1))
    last = tmp_path / "run" / "last.pt"
    state = torch.load(last, weights_only=True)
    without, odd = {key: state[key] for key in state if key != part}, state | {part: {"odd": 1}}
    # Options of before are only reported.
    for broken in [without] if part == "options" else [without, odd]:
        broken.pop("sha256")
        content = {key: value for key, value in broken.items() if key != "format"}
        torch.save(broken | {"sha256": content_hash(content)}, last)
        with pytest.raises(UserError, match=r"last\.pt"):
            train(tiny(max_steps=2))


def test_odd_lines_of_a_log_are_left_out(tiny, tmp_path, capsys):
    train(tiny(max_steps=2))
    log = tmp_path / "run" / "log.jsonl"
    good = log.read_bytes()
    log.write_bytes(b"[]\n3\n\xff\xfe\n{}\n" + good + b'{"step": 3, "kin')
    train(tiny(max_steps=3))
    assert log.read_bytes().startswith(good)
    assert "4 lines that no training writes left out" in capsys.readouterr().err


# ---- pictures and workers


def _children():
    return psutil.Process().children(recursive=True)


@pytest.mark.parametrize("changes", [{"crop": 100, "size": 0}, {"broken": True}])
def test_a_bad_sample_ends_training_with_workers(tiny, pairs, tmp_path, changes):
    root = tmp_path / "broken"
    shutil.copytree(pairs, root)
    if changes.pop("broken", False):
        for path in (root / "train").glob("*_D.png"):
            path.write_bytes(path.read_bytes()[:200])
        # Validation comes first to none of them.
        changes["val_dataroot"] = [str(pairs / "test")]
    before = _children()
    with pytest.raises(UserError, match=r"_D\.png|smaller than the crop"):
        train(tiny(dataroot=str(root), num_workers=2, **changes))
    assert {child.pid for child in _children()} <= {child.pid for child in before}


def test_pictures_that_vanish_lose_no_steps(tiny, pairs, tmp_path, monkeypatch):
    root, hidden = tmp_path / "data", tmp_path / "hidden"
    shutil.copytree(pairs, root)
    options = SHORT | {"dataroot": str(root), "checkpoint_every": 100, "val_every": 100}
    options |= {"val_dataroot": [str(pairs / "test")], "grad_accumulation": 2, "batch_size": 1}
    train(tiny(**options, runs_name=str(tmp_path / "whole")))
    with monkeypatch.context() as patch:
        _at_step(patch, 2, lambda: (root / "train").rename(hidden))
        with pytest.raises(UserError, match=r"train/.*after step 2, which is saved"):
            train(tiny(**options))
    hidden.rename(root / "train")
    assert torch.load(tmp_path / "run" / "last.pt", weights_only=True)["progress"]["step"] == 2
    train(tiny(**options))
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_a_worker_that_dies_loses_no_steps(tiny, tmp_path, monkeypatch):
    def kill():
        for child in _children():
            if child.pid not in others:
                os.kill(child.pid, signal.SIGKILL)

    others = {child.pid for child in _children()}
    # Batches are read ahead: the loss is noticed some steps later, by its death or by its broken connection.
    _at_step(monkeypatch, 2, kill)
    with pytest.raises(UserError, match=r"(DataLoader worker|reset by peer) .*which is saved in"):
        train(tiny(num_workers=1, max_steps=30, val_every=100, checkpoint_every=100))
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    assert 2 <= state["progress"]["step"] < 30
    assert {child.pid for child in _children()} <= others


def test_a_connection_to_a_dead_worker_is_named_and_loses_no_steps(tiny, tmp_path, monkeypatch):
    batches, whole = [], loop.checked

    def closed_at_the_third(batch):
        batches.append(batch)
        if len(batches) == 3:
            raise EOFError
        return whole(batch)

    monkeypatch.setattr(loop, "checked", closed_at_the_third)
    with pytest.raises(UserError, match=r"DataLoader worker died .*after step 2, which is saved in"):
        train(tiny(max_steps=4, val_every=100, checkpoint_every=100))
    assert torch.load(tmp_path / "run" / "last.pt", weights_only=True)["progress"]["step"] == 2


# ---- disks and folders


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("error", [FULL, RuntimeError("failed write")])
def test_a_full_disk_leaves_the_last_checkpoint(tiny, tmp_path, monkeypatch, error):
    train(tiny(max_steps=2))
    last = tmp_path / "run" / "last.pt"
    good = last.read_bytes()
    save = torch.save

    def full(content, path):
        save(content, path)
        with open(path, "r+b") as file:
            file.truncate(100)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(WriteError, match=r"cannot write .*takes [\d.]+ MiB where .* MiB are") as caught:
            train(tiny(max_steps=4))
    assert (caught.value.code, last.read_bytes()) == (1, good)
    assert not list(last.parent.glob(".tmp*"))
    assert train(tiny(max_steps=4)) == 0


def test_a_log_that_cannot_be_written_ends_training(tiny, tmp_path, monkeypatch):
    def full(path, line):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with (
        monkeypatch.context() as patch,
        pytest.raises(WriteError, match=r"log\.jsonl: No space left on device"),
    ):
        patch.setattr(logger, "_append", full)
        train(tiny(max_steps=1))
    _at_step(monkeypatch, 1, lambda: shutil.rmtree(tmp_path / "run"))
    with pytest.raises(WriteError, match=r"log\.jsonl: No such file"):
        train(tiny(max_steps=3, val_every=100))


@pytest.mark.parametrize("option", ["runs_name", "dataroot", "resume", "init_from"])
def test_names_that_are_too_long_are_refused(tiny, option):
    with pytest.raises(UserError):
        train(tiny(**{option: "n" * 300}))


def test_dry_run_prints_names_that_are_no_text(tiny, pairs, tmp_path, capsys):
    root = tmp_path / os.fsdecode(b"data-\xff")
    shutil.copytree(pairs, root)
    assert train(tiny(dataroot=str(root), val_dataroot=[str(root / "test")], dry_run=True)) == 0
    assert "data-\\udcff" in capsys.readouterr().out.lower()


def test_a_folder_that_cannot_be_made_is_named_and_refused_options_make_none(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"cannot write to .*file"):
        train(tiny(runs_name=str(tmp_path / "file")))
    with pytest.raises(UserError):
        train(tiny(dataroot=str(tmp_path / "nowhere")))
    assert not (tmp_path / "run").exists()


def test_temporary_files_are_removed_at_the_next_start(tiny, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".tmp-0123456789ab.pt").write_bytes(b"half")
    train(tiny(max_steps=1))
    assert not list((tmp_path / "run").glob(".tmp*"))


def test_two_trainings_do_not_share_a_folder(tiny, tmp_path):
    folder = tmp_path / "run"
    with holder_of(folder) as holder, pytest.raises(UserError, match=f"in use by process {holder.pid} on "):
        train(tiny(max_steps=1))
    # The system frees the lock of a killed process.
    assert train(tiny(max_steps=1)) == 0


def test_a_gpu_without_room_is_a_sentence(tiny, monkeypatch):
    def step(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr(TrainingLoop, "step", step)
    with pytest.raises(UserError, match=r"CUDA out of memory\): pass a smaller `batch_size`"):
        train(tiny(max_steps=1))


# ---- signals


def test_a_process_whose_torchrun_was_killed_stops(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    with StopSignals() as signals:
        assert signals.received == 0
        monkeypatch.setattr(os, "getppid", lambda: -1)
        assert signals.received == signal.SIGTERM
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    with StopSignals() as signals:
        # Anything else may outlive the shell that it was started from.
        assert signals.received == 0


def test_a_second_signal_acts_at_once():
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
