"""Small clips for tests, and what is in a clip."""

from fractions import Fraction

import av
import numpy as np

from restoration.video.clip_writer import leave_real_time

TICK = Fraction(1, 12800)
FRAME = 512  # ticks: 25 frames a second


def noisy_pictures(count=12, size=(32, 48), noise=4.0, seed=0):
    """(count, H, W, 3) uint8: a still scene with a bright patch, and noise of so many levels."""
    scene = np.full((*size, 3), 70.0)
    scene[8:24, 12:36] = 210
    rng = np.random.default_rng(seed)
    return np.clip(np.rint(scene + rng.normal(0, noise, (count, *scene.shape))), 0, 255).astype(np.uint8)


def write_clip(
    path,
    pictures,
    *,
    times=None,
    codec="libx264",
    pixel_format="yuv420p",
    colours=(1, 1, 1, 1),
    rotation=None,
    sound=False,
    options=None,
):
    """Writes (N, H, W, 3) uint8 RGB; colours are primaries, transfer, matrix and range."""
    times = [number * FRAME for number in range(len(pictures))] if times is None else times
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25, options=options or {})
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = pictures.shape[2], pictures.shape[1], pixel_format
        context.time_base = TICK
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = colours
        if rotation:
            stream.set_display_rotation(rotation)
        audio = file.add_stream("aac", rate=48000) if sound else None
        for picture, time in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(
                format=pixel_format,
                dst_colorspace={1: "ITU709", 6: "SMPTE170M", 9: "BT2020"}.get(colours[2]),
                dst_color_range=colours[3] if colours[2] else None,
            )
            frame.pts, frame.time_base = time, TICK
            file.mux(stream.encode(frame))
            leave_real_time()
        if audio:
            for start in range(0, round(times[-1] * TICK * 48000), 1024):
                wave = np.sin(np.arange(start, start + 1024) / 20).astype(np.float32)
                block = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
                block.sample_rate, block.pts, block.time_base = 48000, start, Fraction(1, 48000)
                file.mux(audio.encode(block))
            file.mux(audio.encode(None))
        file.mux(stream.encode(None))


def frames_of(path):
    """Decoded frames of a clip."""
    with av.open(str(path)) as file:
        return list(file.decode(video=0))


def planes_of(path):
    """(N, ...) uint8: the decoded numbers of a clip in 8 bits."""
    return np.stack([frame.to_ndarray() for frame in frames_of(path)])


def times_of(path):
    """Time stamps in TICK."""
    return [frame.pts * frame.time_base / TICK for frame in frames_of(path)]


def sound_of(path):
    """(time, content) of each packet of sound."""
    with av.open(str(path)) as file:
        return [(p.pts * p.time_base, bytes(p)) for p in file.demux(audio=0) if p.dts is not None]
