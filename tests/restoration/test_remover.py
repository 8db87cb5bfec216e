"""HighlightRemover keeps what is not highlight, whatever the picture's size, depth or kind."""

import threading
import weakref
from concurrent.futures import CancelledError, ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models import build_model
from restoration import HighlightRemover
from restoration.composition import removed_layer, subtract_specular
from restoration.jobs import Job
from restoration.methods import default_weights, find_method
from tests.flat import assert_flat
from tests.restoration.fakes import Dimmer, needs_bf16
from tests.tolerances import HALF_LEVEL, ONE_LEVEL, ROUNDED
from utils.errors import UserError
from weights import load_model

TYPES = (np.uint8, np.uint16, np.float32)


def _picture(dtype, channels, size=(40, 50), seed=0):
    shape = size if channels == 1 else (*size, channels)
    values = np.random.default_rng(seed).random(shape)
    # Smooth enough that some regions lie above one half and some below.
    ramp = np.linspace(0, 0.7, size[1]).reshape(1, -1, *[1] * (len(shape) - 2))
    values = np.clip(values * 0.3 + ramp, 0, 1)
    if np.dtype(dtype).kind == "f":
        return values.astype(np.float32)
    return np.rint(values * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (40, 50), (131, 70)])
def test_type_shape_and_untouched_pixels(dtype, channels, size):
    image = _picture(dtype, channels, size)
    restored = HighlightRemover(Dimmer())(image)
    assert restored.diffuse.dtype == image.dtype
    assert restored.diffuse.shape == image.shape
    assert restored.highlight.shape == size
    untouched = restored.highlight == 0
    assert np.array_equal(restored.diffuse[untouched], image[untouched])
    if size == (40, 50):
        assert 0 < untouched.sum() < untouched.size
        assert not np.array_equal(restored.diffuse[~untouched], image[~untouched])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_zero_highlight_returns_the_input(dtype, channels):
    image = _picture(dtype, channels, (90, 150))
    restored = HighlightRemover(Dimmer(strength=0))(image)
    assert np.array_equal(restored.diffuse, image)


def test_the_result_is_the_composition_rounded():
    image = _picture(np.uint8, 3)
    model = Dimmer()
    expected = model(torch.from_numpy(image).permute(2, 0, 1)[None] / 255).diffuse[0].permute(1, 2, 0)
    restored = HighlightRemover(model)(image)
    assert np.abs(restored.diffuse - expected.numpy() * 255).max() <= HALF_LEVEL


@pytest.mark.parametrize("tile", [64, 96])
@pytest.mark.parametrize("size", [(64, 65), (131, 200), (63, 400)])
def test_tiles_equal_the_whole_where_the_overlap_covers_the_field(tile, size):
    image = _picture(np.uint16, 3, size)
    whole = HighlightRemover(Dimmer(), tile=0)(image)
    tiled = HighlightRemover(Dimmer(), tile=tile, tile_overlap=16)(image)
    assert np.abs(whole.diffuse.astype(int) - tiled.diffuse).max() <= ONE_LEVEL
    assert np.abs(whole.highlight - tiled.highlight).max() < ROUNDED


def test_aha_lite_tiles_equal_the_whole():
    """A shallow aha-lite (one dilation), so that the overlap can cover its receptive field."""
    torch.manual_seed(0)
    model = build_model("aha-lite", widths=(6, 6, 6), dilations=(2,), trunk_channels=(4, 4, 4)).eval()
    with torch.no_grad():
        model.HFE.scores1.bias.fill_(0.4)  # a map in the middle of its range, so that no clamp hides a seam
    radius = _receptive_radius(model)
    overlap = -(-8 * radius // 3 // 32) * 32
    image = _picture(np.uint8, 3, (96, 2 * overlap + 400))
    tile = 2 * overlap if overlap > 96 else 192
    whole = HighlightRemover(model, test_time_augmentation=1, tile=0)(image)
    tiled = HighlightRemover(model, test_time_augmentation=1, tile=tile, tile_overlap=overlap)(image)
    assert tile < image.shape[1]
    assert np.abs(whole.diffuse.astype(int) - tiled.diffuse).max() <= ONE_LEVEL


def _receptive_radius(model, side=1024):
    """Largest distance at which a pixel changes the result in the middle, by the gradient."""
    strip = torch.full((1, 3, 32, side), 0.5, requires_grad=True)
    separation = model(strip + 0.1 * torch.rand(strip.shape, generator=torch.Generator().manual_seed(0)))
    separation.specular[..., side // 2].sum().backward()
    reached = torch.nonzero(strip.grad.abs().sum(dim=(0, 1, 2)) > 0)[:, 0]
    return int((reached - side // 2).abs().max())


@pytest.mark.parametrize("name", ["aha", "aha-lite"])
def test_pixels_do_not_depend_on_workers_or_order(name):
    torch.manual_seed(0)
    widths = (6, 12, 24) if name == "aha" else (8, 24, 64)
    model = build_model(name, widths=widths).eval()
    images = [_picture(np.uint8, 3, (60, 90), seed) for seed in range(3)]
    one = HighlightRemover(model, workers=1)
    alone = [one(image) for image in images]
    with ThreadPoolExecutor(3) as pool:
        many = list(pool.map(HighlightRemover(model, workers=3), reversed(images)))[::-1]
    batched = HighlightRemover(model, batch_size=3).restore_all(images)
    for a, b, c in zip(alone, many, batched, strict=True):
        for other in (b, c):
            assert np.array_equal(a.diffuse, other.diffuse)
            assert np.array_equal(a.highlight, other.highlight)


def test_accelerator_batches_only_equal_sizes():
    remover = HighlightRemover(Dimmer(tile=64), batch_size=4)
    remover.separator.batch_size = 4  # as on an accelerator; this network gives the same in any batch
    sizes = [(40, 50), (30, 30), (40, 50), (90, 64), (40, 50)]
    images = [_picture(np.uint8, 3, size, seed) for seed, size in enumerate(sizes)]
    together = remover.restore_all(images)
    assert (3, 3, 40, 50) in remover.network.sizes
    for image, restored in zip(images, together, strict=True):
        assert np.array_equal(restored.diffuse, HighlightRemover(Dimmer())(image).diffuse)


def test_a_function_sees_the_whole_picture():
    shapes = []

    def halve(image):
        shapes.append(image.shape)
        return image / 2

    image = _picture(np.uint16, 1, (80, 3000))
    restored = HighlightRemover(halve, tile=64)(image)
    assert shapes == [(80, 3000, 3)]
    assert np.abs(restored.diffuse.astype(int) - image / 2).max() <= ONE_LEVEL
    assert np.allclose(restored.highlight, image / 65535 / 2, atol=ROUNDED)


def test_infinite_values_are_an_error():
    broken = Dimmer(strength=float("nan"))
    with pytest.raises(UserError, match="finite"):
        HighlightRemover(broken)(_picture(np.uint8, 3))


@needs_bf16
def test_bf16_is_close_to_fp32_and_keeps_untouched_pixels():
    image = _picture(np.uint8, 3)
    fp32, bf16 = (HighlightRemover(Dimmer(), precision=name)(image) for name in ("fp32", "bf16"))
    assert np.abs(fp32.diffuse.astype(int) - bf16.diffuse).max() <= 2  # levels: 2**-9 of 255, rounded
    assert np.array_equal(bf16.diffuse[bf16.highlight == 0], image[bf16.highlight == 0])


def test_cancelled_between_tiles():
    remover = HighlightRemover(Dimmer())
    remover.cancel()
    with pytest.raises(CancelledError):
        remover(_picture(np.uint8, 3))


@pytest.mark.parametrize(
    "options",
    [
        {"tile": 1}, {"tile_overlap": 64}, {"protocol": "other"}, {"precision": "fp8"},
        {"precision": "fp16"}, {"device": "nonsense"}, {"batch_size": 0}, {"workers": 0},
    ],
)  # fmt: skip
def test_bad_options(options):
    with pytest.raises(UserError):
        HighlightRemover(Dimmer(), **options)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), int), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_picture_is_refused(image):
    with pytest.raises(UserError, match="picture"):
        HighlightRemover(Dimmer()).restore(image)


def test_composition_clips_and_rounds():
    pixels = np.array([[10, 250, 100]], np.uint8)
    specular = np.full((1, 3, 3), 1, np.float32) * np.array([0.5, -0.5, 0.0999])[:, None]
    diffuse = subtract_specular(pixels, specular.astype(np.float32), np.array([[1, 1, 0]], np.float32))
    assert diffuse.tolist() == [[0, 255, 100]]
    assert removed_layer(pixels, diffuse).tolist() == [[10, 0, 0]]


def test_many_pictures_are_restored_at_the_same_time():
    meeting = threading.Barrier(2, timeout=60)  # broken, an error, where the second picture waits

    def meet(image):
        meeting.wait()
        return image / 2

    image = _picture(np.uint8, 3)
    restored = HighlightRemover(meet, workers=2).restore_all([image, image])
    assert all(np.abs(one.diffuse - image / 2).max() <= ONE_LEVEL for one in restored)


def test_the_first_error_of_many_pictures_comes_back():
    def refuse(image):
        raise UserError("not this one")

    with pytest.raises(UserError, match="not this one"):
        HighlightRemover(refuse, workers=2).restore_all([_picture(np.uint8, 3)] * 5)


@pytest.mark.parametrize("name", ["tshrnet", "aha-lite"])
def test_the_result_of_tshrnet_can_be_chosen_later(name):
    remover = HighlightRemover(build_model(name, **({"width": 2} if name == "tshrnet" else {})))
    if name == "aha-lite":
        with pytest.raises(UserError, match="several results"):
            remover.choose_output("diffuse")
        return
    image = _picture(np.uint8, 3)
    corrected = remover(image).diffuse
    remover.choose_output("diffuse")
    assert not np.array_equal(remover(image).diffuse, corrected)


# ---- the released arithmetic, against its plain statement


def _reference(model, image):
    """Resize to a square, separate, composite there, bicubic back, times 255, clip, truncate."""
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    side = 224 if image.shape[0] < 250 else 448
    square = F.interpolate(tensor, (side, side), mode="bicubic", align_corners=True)
    with torch.no_grad():
        result = model(square)
    back = [
        F.interpolate(layer, image.shape[:2], mode="bicubic", align_corners=True)[0].permute(1, 2, 0).numpy()
        for layer in (result.diffuse, result.highlight)
    ]
    return tuple(np.clip(layer * 255, 0, 255).astype(np.uint8) for layer in back)


@pytest.mark.parametrize("size", [(249, 180), (250, 300), (7, 5)])
@pytest.mark.parametrize("name", ["dimmer", "aha-lite"])
def test_released_arithmetic(size, name):
    torch.manual_seed(0)
    # Trained weights: of random ones the layers are many, and magnify rounding.
    model = Dimmer() if name == "dimmer" else load_model(default_weights()).eval()
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    restored = HighlightRemover(model, protocol="released")(image)
    diffuse, highlight = _reference(model, image)
    assert restored.diffuse.dtype == np.uint8
    assert np.abs(restored.diffuse.astype(int) - diffuse).max() <= ONE_LEVEL
    truncated = np.clip(restored.highlight * 255, 0, 255).astype(np.uint8)
    assert np.abs(truncated.astype(int) - highlight[..., 0]).max() <= ONE_LEVEL


def test_grey_and_deep_pictures_become_8_bit_rgb():
    grey = np.random.default_rng(0).integers(0, 65536, (30, 40), dtype=np.uint16)
    remover = HighlightRemover(Dimmer(), protocol="released")
    expected = remover(np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, axis=2)).diffuse
    assert np.array_equal(remover(grey).diffuse, expected)


def test_repeatable():
    model = build_model("aha", widths=(6, 12, 24)).eval()
    image = np.random.default_rng(1).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    remover = HighlightRemover(model, protocol="released")
    assert np.array_equal(remover(image).diffuse, remover(image).diffuse)


def test_a_strength_is_refused():
    with pytest.raises(UserError, match="strength"):
        HighlightRemover(Dimmer(), protocol="released", strength=0.5)


# ---- removers and clips, one after the other for as long as a server runs, leave nothing behind


PICTURE = np.random.default_rng(0).integers(0, 256, (72, 96, 3), dtype=np.uint8)


def _own_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith(("separator", "helper"))]


def test_a_remover_is_collected_with_its_threads():
    others = _own_threads()
    remover = HighlightRemover(Dimmer(), workers=2)
    remover(PICTURE)
    threads = [thread for thread in _own_threads() if thread not in others]
    assert threads
    network = weakref.ref(remover.separator.network)
    del remover  # without the garbage collector: there is no circle of references
    assert network() is None
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_a_closed_remover_has_no_threads_and_says_so():
    others = _own_threads()
    with HighlightRemover(Dimmer(), workers=2) as remover:
        before = remover(PICTURE)
    assert set(_own_threads()) <= set(others)
    with pytest.raises(UserError, match="closed"):
        remover(PICTURE)
    remover.close()
    HighlightRemover(Dimmer()).close()  # before its first picture
    assert before.diffuse.shape == PICTURE.shape


@pytest.mark.slow
def test_fifty_removers_leave_no_thread_and_no_memory():
    network = find_method("aha-lite")
    assert_flat(lambda _: HighlightRemover(network, workers=2)(PICTURE))


@pytest.mark.slow
def test_fifty_clips_leave_no_thread_and_no_memory(tmp_path, monkeypatch):
    pytest.importorskip("av")
    from restoration.video import clip_reader, clip_writer
    from restoration.video.clips import restore_clips
    from tests.restoration.video.clip_files import noisy_pictures, write_clip

    write_clip(tmp_path / "clip.mp4", noisy_pictures(3))

    def restore(number):
        # Helper processes take most of a second to start: every tenth clip has them.
        for module in (clip_reader, clip_writer):
            monkeypatch.setattr(module, "may_have_helpers", lambda: number % 10 == 0)
        job = Job(tmp_path / "clip.mp4", {"result": tmp_path / f"{number}.mp4"})
        with HighlightRemover(Dimmer(), workers=1) as remover:
            assert restore_clips([job], remover, quiet=True).done == 1

    assert_flat(restore, first=4)
