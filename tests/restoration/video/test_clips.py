"""Clips through a remover: what is kept of them, flicker, stops, and what goes wrong."""

import multiprocessing
import os
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

av = pytest.importorskip("av")

from restoration import HighlightRemover  # noqa: E402
from restoration.jobs import Job  # noqa: E402
from restoration.video import clip_reader, clips  # noqa: E402
from restoration.video.clip_reader import decode_frames, decode_info  # noqa: E402
from restoration.video.clip_writer import SegmentWriter, encoder_for  # noqa: E402
from restoration.video.clips import Segments  # noqa: E402
from restoration.video.temporal_smoothing import FRAMES  # noqa: E402
from tests.restoration.fakes import Dimmer  # noqa: E402
from tests.restoration.video.clip_files import (  # noqa: E402
    FRAME,
    frames_of,
    noisy_pictures,
    planes_of,
    sound_of,
    times_of,
    write_clip,
)
from tests.tolerances import ONE_LEVEL  # noqa: E402
from utils import helper_processes  # noqa: E402
from utils.errors import UserError  # noqa: E402
from utils.folder_lock import locked  # noqa: E402

LOSSLESS = {"codec": "ffv1", "pixel_format": "yuv444p"}


def _halve(image):
    return image / 2


def _unchanged(image):
    return image.copy()


def _job(tmp_path, name="clip.mp4"):
    source = tmp_path / name
    return Job(source, {"result": tmp_path / "out" / f"{source.stem}-removed{source.suffix}"})


def _restore(job, method=_unchanged, **options):
    counts = clips.restore_clips([job], HighlightRemover(method, workers=1), quiet=True, **options)
    assert (counts.done, counts.failed) == (1, 0)
    return job.outputs["result"]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_times_sound_rotation_and_colours_are_kept(tmp_path, suffix):
    times = [0, 512, 1100, 1536, 2048, 2900, 4000, 4001, 4096, 5000, 6000, 7000]  # of a variable rate
    if suffix == ".mkv":  # which counts milliseconds
        times = [round(number * FRAME * 1.3 / 12.8) * 12.8 for number in range(12)]
        times = [round(value) for value in times]
    job = _job(tmp_path, f"clip{suffix}")
    colours = (9, 16, 9, 1)
    write_clip(job.source, noisy_pictures(), times=times, rotation=90, colours=colours, sound=True)
    result = _restore(job)
    assert times_of(result) == times_of(job.source)
    assert sound_of(result) == sound_of(job.source)
    before, after = frames_of(job.source)[0], frames_of(result)[0]
    assert before.rotation == after.rotation == 90
    for frame in (before, after):
        assert (frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range) == colours
    assert (after.width, after.height, after.format.name) == (48, 32, "yuv420p")
    assert [path.name for path in result.parent.iterdir()] == [result.name]


@pytest.mark.parametrize("smoothing", [1, 8])
def test_without_highlights_a_lossless_clip_stays_bit_for_bit(tmp_path, smoothing):
    job = _job(tmp_path, "clip.mkv")
    write_clip(job.source, noisy_pictures(), **LOSSLESS)
    counts = clips.restore_clips([job], HighlightRemover(_unchanged), quiet=True, smoothing=smoothing)
    assert counts.unchanged == 1
    assert np.array_equal(planes_of(job.outputs["result"]), planes_of(job.source))


def _add_subtitles(source, target):
    """Copies a clip, with a line of subtitles, a chapter, a title, languages and a font."""
    with av.open(str(source)) as before, av.open(str(target), "w") as after:
        copies = [after.add_stream_from_template(stream, opaque=True) for stream in before.streams]
        copies[1].metadata["language"] = "deu"
        subtitles = after.add_mux_stream("subrip", time_base=Fraction(1, 1000))
        subtitles.metadata["language"] = "fra"
        after.metadata["title"] = "A title"
        after.set_chapters(
            [{"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}}]
        )
        after.add_attachment("font.ttf", "font/ttf", b"letters")
        line = av.Packet(b"Bonjour")
        line.pts = line.dts = 0
        line.duration, line.time_base, line.stream = 300, Fraction(1, 1000), subtitles
        after.mux(line)
        for packet in before.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                after.mux(packet)


def test_subtitles_chapters_and_names_are_kept(tmp_path):
    write_clip(tmp_path / "plain.mkv", noisy_pictures(), sound=True)
    job = _job(tmp_path, "clip.mkv")
    _add_subtitles(tmp_path / "plain.mkv", job.source)
    facts = []
    for path in (job.source, _restore(job)):
        with av.open(str(path)) as file:
            languages = {stream.type: stream.metadata.get("language") for stream in file.streams}
            lines = [(packet.pts, packet.duration, bytes(packet)) for packet in file.demux(subtitles=0)]
            (font,) = file.streams.attachments
            facts.append((file.metadata["title"], file.chapters(), languages, lines, font.data))
    assert (facts[0], facts[0][3][0]) == (facts[1], (0, 300, b"Bonjour"))
    assert facts[0][4] == b"letters"


CODECS = [  # file, encoder, its pixel format, codec and pixel format of the result
    ("clip.mp4", "libx265", "yuv420p10le", "hevc", "yuv420p10le"),
    ("clip.webm", "libvpx-vp9", "yuv420p", "vp9", "yuv420p"),
    ("clip.mkv", "libsvtav1", "yuv420p10le", "av1", "yuv420p10le"),
    ("clip.mov", "mjpeg", "yuvj420p", "h264", "yuv420p"),
    ("clip.mkv", "ffv1", "gray", "ffv1", "gray"),
    ("clip.mov", "qtrle", "rgb24", "h264", "yuv444p"),
]


@pytest.mark.parametrize(("name", "encoder", "pixel_format", "codec", "stored"), CODECS)
def test_codec_depth_and_colours_of_other_kinds(tmp_path, name, encoder, pixel_format, codec, stored):
    job = _job(tmp_path, name)
    in_rgb, full = pixel_format == "rgb24", pixel_format == "yuvj420p"
    colours = (1, 1, 0 if in_rgb else 6, 2 if full else 1)
    pictures = noisy_pictures(3, size=(64, 96))
    write_clip(job.source, pictures, codec=encoder, pixel_format=pixel_format, colours=colours)
    result = decode_info(_restore(job, _halve, smoothing=1), 10**6)
    assert (result.codec, result.pixel_format, result.frames or 3) == (codec, stored, 3)
    # SVT-AV1 gives real-time priority to whoever starts it as root.
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    before = decode_info(job.source, 10**6)
    assert result.colours == ((*before.colours[:2], 1, 1) if in_rgb else before.colours)
    assert before.colours[2:] == ((1, 1) if in_rgb else ((5, 2) if full else (6, 1)))
    shown = [
        np.mean([frame.rgb().mean() for frame in decode_frames(path, info)])
        for path, info in ((job.source, before), (job.outputs["result"], result))
    ]
    assert abs(shown[1] - shown[0] / 2) < 0.01  # two levels of 8 bits


@pytest.mark.parametrize(
    ("size", "stored"), [((32, 47), "yuv444p"), ((31, 48), "yuv422p"), ((31, 47), "yuv444p")]
)
def test_a_clip_of_odd_sides_keeps_them_in_h264(tmp_path, size, stored):
    job = _job(tmp_path, "clip.mkv")
    write_clip(job.source, noisy_pictures(3, size=size), codec="mpeg4")
    result = decode_info(_restore(job, _halve, smoothing=1), 10**6)
    assert (result.codec, result.pixel_format) == ("h264", stored)
    assert (result.height, result.width) == size


def test_x265_is_not_given_pictures_smaller_than_its_blocks(tmp_path):
    job = _job(tmp_path)
    write_clip(job.source, noisy_pictures(2))
    info = replace(decode_info(job.source, 10**6), codec="hevc")
    assert encoder_for(info, "mp4")[0] == "libx264"
    assert encoder_for(replace(info, width=64, height=64), "mp4")[0] == "libx265"


def test_an_encoder_that_crashes_costs_its_clip_only(tmp_path, monkeypatch):
    jobs = [_job(tmp_path, name) for name in ("a.mp4", "b.mp4")]
    for job in jobs:
        write_clip(job.source, noisy_pictures(4))
    write = SegmentWriter.write

    def crash(writer, *frame):
        if "a-removed" in str(writer._arguments[0]):
            writer._helper.process.kill()
        write(writer, *frame)

    monkeypatch.setattr(SegmentWriter, "write", crash)
    counts = clips.restore_clips(jobs, HighlightRemover(_unchanged, workers=1), quiet=True)
    assert (counts.done, counts.failed) == (1, 1)
    assert not jobs[0].outputs["result"].exists()


def test_what_is_removed_is_the_layer_of_the_network(tmp_path):
    job = _job(tmp_path, "clip.mkv")
    write_clip(job.source, noisy_pictures(4), **LOSSLESS)
    _restore(job, _halve, smoothing=1)
    luma = planes_of(job.source)[:, 0].astype(float) - 16
    result = planes_of(job.outputs["result"])[:, 0] - 16.0
    assert np.abs(result - luma / 2).max() <= ONE_LEVEL


def test_the_network_sees_the_picture_upright(tmp_path):
    job = _job(tmp_path, "clip.mp4")
    write_clip(job.source, noisy_pictures(2), rotation=90)
    seen = []

    def note(image):
        seen.append(image.shape)
        below = image.copy()
        below[24:] = 0  # the lower half, as it is shown
        return below

    _restore(job, note, smoothing=1)
    assert set(seen) == {(48, 32, 3)}
    luma = planes_of(job.outputs["result"])[0, :32]
    # Turned by 90 degrees counter-clockwise for display: its lower half is stored on the left.
    assert luma[:, :20].max() < 30
    assert luma[:, 28:].min() > 50


def test_flicker_of_a_still_noisy_scene(tmp_path):
    # 12 bits, so that rounding to whole levels hides nothing.
    job = _job(tmp_path, "clip.mkv")
    write_clip(job.source, noisy_pictures(40), codec="ffv1", pixel_format="yuv444p12le")
    before = _luma(job.source)
    differences = []
    for smoothing in (1, FRAMES):
        removed = before - _luma(_restore(job, Dimmer(), smoothing=smoothing))
        differences.append(np.diff(removed[2 * FRAMES :, 12:20, 18:30], axis=0).std())
    print(f"\nremoved layer, difference from frame to frame, 8-bit levels: {differences}")
    assert differences[0] > 1
    # 1 / 11 where the picture has no noise of its own.
    assert differences[1] < differences[0] / 8


def _luma(path):
    """(N, H, W) in 8-bit levels."""
    planes = [frame.planes[0] for frame in decode_frames(path, decode_info(path, 10**6))]
    return np.stack(planes).astype(float) / (16 if planes[0].dtype == np.uint16 else 1)


def _stop_after(count, name="method"):
    calls = []

    def method(image):
        calls.append(1)
        if len(calls) > count:
            raise KeyboardInterrupt
        return image * np.float32(0.8)

    method.__name__ = name
    return method


def _dim(image):
    return image * np.float32(0.8)


def test_a_stopped_run_goes_on_and_gives_the_same_bytes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(clips, "SEGMENT_FRAMES", 4)
    job = _job(tmp_path)
    write_clip(job.source, noisy_pictures(14), sound=True)
    whole = _restore(job, _dim).read_bytes()
    job.outputs["result"].unlink()
    stopped = HighlightRemover(_stop_after(11, "_dim"), workers=1)
    with pytest.raises(KeyboardInterrupt):
        clips.restore_clips([job], stopped, quiet=True)
    part = tmp_path / "out" / "clip-removed.mp4.part"
    kept = sorted(path.name for path in part.glob("*.nut"))
    assert kept == ["000000.nut", "000001.nut"]
    assert not job.outputs["result"].exists()
    assert f"8 frames are kept in {part}" in capsys.readouterr().err
    # What a kill leaves: a segment without its state, half a file.
    (part / "000002.nut").write_bytes(b"whole, but not counted")
    (part / ".tmp-00000000-1-000000000000.nut").write_bytes(b"half")
    seen = []

    def rest(image):
        seen.append(1)
        return _dim(image)

    rest.__name__ = "_dim"
    assert _restore(job, rest).read_bytes() == whole
    assert len(seen) == 14 - 8
    assert not part.exists()
    assert "goes on at frame 8" in capsys.readouterr().err


def test_what_another_method_kept_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(clips, "SEGMENT_FRAMES", 4)
    job = _job(tmp_path)
    write_clip(job.source, noisy_pictures(10))
    whole = _restore(job, _halve).read_bytes()
    with pytest.raises(KeyboardInterrupt):
        clips.restore_clips([job], HighlightRemover(_stop_after(9), workers=1), quiet=True)
    assert _restore(job, _halve).read_bytes() == whole


def test_a_damaged_state_means_a_new_start(tmp_path):
    segments = Segments(tmp_path / "clip.mp4.part", "same")
    with locked(segments.folder):
        segments.path(0).write_bytes(b"segment")
        segments.finish(4, True, {"count": np.ones(3)})
        again = Segments(tmp_path / "clip.mp4.part", "same")
        again.load()
        assert (again.count, again.frames, again.changed) == (1, 4, True)
        assert np.array_equal(again.smoother["count"], np.ones(3))
        state = segments.folder / "state.npz"
        state.write_bytes(state.read_bytes()[:100])
        again = Segments(tmp_path / "clip.mp4.part", "same")
        again.load()
        assert (again.count, again.frames, again.smoother) == (0, 0, {})
        assert os.listdir(segments.folder) == ["run.lock"]


def test_a_bad_clip_is_named_and_the_others_are_done(tmp_path, capsys):
    good, text, sound = _job(tmp_path), _job(tmp_path, "text.mp4"), _job(tmp_path, "sound.mp4")
    write_clip(good.source, noisy_pictures(3))
    text.source.write_text("no clip")
    with av.open(str(sound.source), "w") as file:
        file.add_stream("aac", rate=48000)
        file.start_encoding()
    counts = clips.restore_clips([text, sound, good], HighlightRemover(_unchanged), quiet=True)
    assert (counts.done, counts.failed) == (1, 2)
    said = capsys.readouterr().err
    assert f"failed: {text.source}: cannot read it: Invalid data" in said
    assert f"failed: {sound.source}: cannot read it:" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["clip-removed.mp4"]


@pytest.mark.parametrize(
    "text",
    ["#EXTM3U\n#EXTINF:1,\nclip.mp4\n", "ffconcat version 1.0\nfile clip.mp4\n"],
    ids=["hls", "concat"],
)
def test_a_playlist_that_calls_itself_a_clip_is_refused(tmp_path, text):
    write_clip(tmp_path / "clip.mp4", noisy_pictures(2))
    (tmp_path / "list.mp4").write_text(text)
    with pytest.raises(UserError, match="cannot read it: Invalid"):
        decode_info(tmp_path / "list.mp4", 10**6)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(UserError, match="not an ordinary file"):
        decode_info(tmp_path / "pipe.mp4", 10**6)


def test_too_large_frames_are_refused_before_anything_is_decoded(tmp_path, monkeypatch, capsys):
    job = _job(tmp_path)
    write_clip(job.source, noisy_pictures(1))
    counts = clips.restore_clips([job], HighlightRemover(_unchanged), quiet=True, max_pixels=1000)
    assert counts.failed == 1
    assert "48 x 32 pixels are more than the 1000" in capsys.readouterr().err
    monkeypatch.setattr(clip_reader, "_decoded", None)
    with pytest.raises(UserError, match="48 x 32 pixels are more than the 1000"):
        decode_info(job.source, 1000)


def test_a_decoder_that_crashes_or_hangs_costs_that_clip(tmp_path, monkeypatch):
    path = tmp_path / "clip.mkv"
    write_clip(path, noisy_pictures(20, size=(128, 160), noise=40), **LOSSLESS)
    info = clip_reader.read_info(path, 10**6)
    assert info == decode_info(path, 10**6)
    frames = clip_reader.read_frames(path, info, 2)
    first, wanted = next(frames), next(decode_frames(path, info, 2))
    assert first.time == wanted.time
    assert all(np.array_equal(*planes) for planes in zip(first.planes, wanted.planes, strict=True))
    for child in multiprocessing.active_children():
        if child.name == "clip-decoder":
            child.kill()
            child.join()
    with pytest.raises(UserError, match=r"after frame \d+: the file is damaged \(its decoder crashed\)"):
        list(frames)
    monkeypatch.setattr(clip_reader, "SECONDS", -1.0)
    monkeypatch.setattr(helper_processes, "STEP", 0.0)
    with pytest.raises(UserError, match="takes more than"):
        clip_reader.read_info(path, 10**6)


def test_a_damaged_clip_is_a_failure_that_says_where(tmp_path, capsys):
    job = _job(tmp_path)
    write_clip(job.source, noisy_pictures(12, noise=40), options={"bf": "0", "g": "3"})
    # Of the frames, which lie before the index, the second half becomes zeros.
    content = job.source.read_bytes()
    start, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
    middle = (start + end) // 2
    job.source.write_bytes(content[:middle] + bytes(end - middle) + content[end:])
    counts = clips.restore_clips([job], HighlightRemover(_unchanged), quiet=True)
    assert counts.failed == 1
    assert "cannot read it after frame " in capsys.readouterr().err
    assert not job.outputs["result"].exists()


def test_fewer_frames_than_the_file_says_are_a_note(tmp_path, monkeypatch, capsys):
    job = _job(tmp_path)
    write_clip(job.source, noisy_pictures(3))
    monkeypatch.setattr(clips, "read_info", lambda *given: replace(decode_info(*given), frames=5))
    _restore(job)
    assert "it says 5 frames, but only 3 could be read" in capsys.readouterr().err


def test_few_frames_are_in_memory_at_once(tmp_path, monkeypatch):
    job = _job(tmp_path)
    write_clip(job.source, noisy_pictures(30))
    ahead, lead = [], []
    read = clips.read_frames

    def counting(*arguments, **options):
        for frame in read(*arguments, **options):
            ahead.append(1)
            yield frame

    real = clips.subtract

    def written(*arguments):
        lead.append(len(ahead))
        return real(*arguments)

    monkeypatch.setattr(clips, "read_frames", counting)
    monkeypatch.setattr(clips, "subtract", written)
    _restore(job)
    assert max(seen - done for done, seen in enumerate(lead)) <= 4


def test_frames_without_rising_times_get_some(tmp_path, monkeypatch):
    job = _job(tmp_path)
    write_clip(job.source, noisy_pictures(4))
    info = decode_info(job.source, 10**6)
    real = clip_reader._decoded

    def odd(container, stream):
        for number, frame in enumerate(real(container, stream)):
            frame.pts = [0, None, FRAME // 2, 5 * FRAME][number]
            yield frame

    monkeypatch.setattr(clip_reader, "_decoded", odd)
    times = [frame.time for frame in decode_frames(job.source, info)]
    assert times == [0, FRAME, FRAME + 1, 5 * FRAME]
