"""Clips among pictures, clips alone, and options that only pictures have."""

from pathlib import Path

import pytest

from restoration import jobs
from restoration.jobs import find_pictures, plan_jobs, without_unusable_clips
from restoration.options import InferOptions
from utils.errors import UserError
from utils.image_files import Listing

CLIP, PICTURE = Path("in/a.mov"), Path("in/a.png")


@pytest.fixture(autouse=True)
def _with_pyav(monkeypatch):
    monkeypatch.setattr(jobs, "find_spec", lambda name: object())


def _options(**given):
    return InferOptions(input_dir="in", output_dir="out", **given)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"ext": "png"}, "--ext png: for pictures"),
        ({"save_highlight": True, "comparison": True}, "--save_highlight, --comparison: for pictures"),
        ({"save_specular": True}, "--save_specular"),
    ],
)
def test_options_of_pictures(given, word):
    with pytest.raises(UserError, match=word):
        without_unusable_clips(Listing(clips=[CLIP]), _options(**given))
    listing, remarks = without_unusable_clips(Listing([PICTURE], clips=[CLIP]), _options(**given))
    assert listing.clips == [CLIP]
    assert word in remarks[0]


def test_what_clips_need(monkeypatch):
    assert without_unusable_clips(Listing(clips=[CLIP]), _options())[1] == []
    with pytest.raises(UserError, match=r"in/a.mov: --protocol released is defined for pictures only"):
        without_unusable_clips(Listing(clips=[CLIP]), _options(protocol="released"))
    monkeypatch.setattr(jobs, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install av"):
        without_unusable_clips(Listing(clips=[CLIP]), _options())
    listing, remarks = without_unusable_clips(Listing([PICTURE], clips=[CLIP]), _options())
    assert (listing.pictures, listing.clips) == ([PICTURE], [])
    assert remarks == ["1 clip: reading clips needs PyAV: pip install av"]
    assert without_unusable_clips(Listing([PICTURE]), _options())[1] == []


def test_clips_are_found_and_keep_their_kind(tmp_path):
    for name in ("a.png", "a.MOV", "b.avi", "b.mkv", "c.txt"):
        (tmp_path / name).touch()
    listing, root = find_pictures(str(tmp_path))
    assert [path.name for path in listing.pictures] == ["a.png"]
    assert [path.name for path in listing.clips] == ["a.MOV", "b.avi", "b.mkv"]
    jobs = plan_jobs(listing.clips, root, tmp_path / "out", suffix="-removed")
    names = [job.outputs["result"].name for job in jobs]
    assert names == ["a-removed.MOV", "b_avi-removed.mkv", "b_mkv-removed.mkv"]
    assert all(job.is_clip for job in jobs)
    listing, _ = find_pictures(str(tmp_path / "a.MOV"))
    assert (listing.pictures, [path.name for path in listing.clips]) == ([], ["a.MOV"])
