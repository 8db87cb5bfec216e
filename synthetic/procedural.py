"""Procedural tiles: albedo (print, wood, marble ...) and relief (scratches, orange peel, grain ...).

Made once per process with numpy and OpenCV from a fixed seed. All tiles wrap around.
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
import scipy.fft

SIDE = 256
_SEED = 20240414


def noise(
    rng: np.random.Generator, exponent: float, stretch: float = 1.0, low_cut: float = 1.0
) -> np.ndarray:
    """Tileable noise (SIDE, SIDE), mean 0, variance 1, amplitude falling as frequency**-exponent.

    `stretch` > 1 draws it out along x; frequencies below `low_cut` cycles a tile are left out.
    """
    fy = np.fft.fftfreq(SIDE, 1 / SIDE).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(SIDE, 1 / SIDE).astype(np.float32)[None]
    radius = np.sqrt((fx * stretch) ** 2 + fy**2)
    gain = np.where(radius >= low_cut, np.maximum(radius, 1e-6) ** -exponent, 0.0).astype(np.float32)
    phase = rng.random(gain.shape, dtype=np.float32) * np.float32(2 * np.pi)
    field = scipy.fft.irfft2(gain * (np.cos(phase) + 1j * np.sin(phase)), s=(SIDE, SIDE))
    return ((field - field.mean()) / (field.std() + 1e-12)).astype(np.float32)


def _ramp(values: np.ndarray, *colours: np.ndarray) -> np.ndarray:
    """Colours along values in [0, 1]: (H, W) -> (H, W, 3)."""
    stops = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(values, stops, [c[k] for c in colours]) for k in range(3)], -1)


def _unit(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    return (values - low) / (high - low + 1e-9)


def _colour(rng: np.random.Generator, saturation: tuple[float, float] = (0.1, 0.9)) -> np.ndarray:
    hsv = np.array([[[rng.uniform(0, 360), rng.uniform(*saturation), rng.uniform(0.15, 0.95)]]], np.float32)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]


def _blotches(rng: np.random.Generator) -> np.ndarray:
    values = _unit(noise(rng, rng.uniform(1.2, 2.2)))
    return _ramp(values, _colour(rng), _colour(rng), _colour(rng))


def _wood(rng: np.random.Generator) -> np.ndarray:
    y = np.mgrid[:SIDE, :SIDE][0] / SIDE
    rings = np.sin(2 * np.pi * (rng.integers(3, 12) * y + 0.5 * noise(rng, 2.2, 5.0)))
    grain = noise(rng, 0.6, 24.0)
    values = np.clip(0.5 + 0.25 * rings + 0.16 * grain, 0, 1)
    base = np.array([rng.uniform(0.35, 0.85), 0, 0])
    base[1] = base[0] * rng.uniform(0.55, 0.8)
    base[2] = base[1] * rng.uniform(0.45, 0.75)
    return _ramp(values, base * rng.uniform(0.35, 0.7), base)


def _marble(rng: np.random.Generator) -> np.ndarray:
    vein = 1 - np.abs(noise(rng, 1.7))[..., None].clip(0, 0.4) / 0.4
    base, dark = np.full(3, rng.uniform(0.1, 0.95)), _colour(rng, (0.0, 0.5))
    cloud = 0.06 * noise(rng, 1.8)[..., None]
    return base + cloud + (dark - base) * vein**2 * rng.uniform(0.3, 0.9)


def _granite(rng: np.random.Generator) -> np.ndarray:
    image = np.full((SIDE, SIDE, 3), rng.uniform(0.2, 0.8))
    for _ in range(4):
        spots = noise(rng, 0.4, low_cut=rng.uniform(8, 40)) > rng.uniform(0.6, 1.6)
        image[spots] = _colour(rng, (0.0, 0.5))
    return cv2.GaussianBlur(image, (0, 0), 0.7)


def _fabric(rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    period = SIDE / rng.choice([16, 32, 64])
    weave = np.sin(2 * np.pi * x / period) * np.sin(2 * np.pi * y / period)
    values = 0.5 + 0.25 * weave + 0.1 * noise(rng, 0.5)
    image = _ramp(values.clip(0, 1), _colour(rng), _colour(rng))
    if rng.random() < 0.6:
        period = SIDE / rng.integers(1, 6)
        stripes = (np.sin(2 * np.pi * x / period) > rng.uniform(-0.5, 0.8)) ^ (
            (np.sin(2 * np.pi * y / period) > 0.3) & (rng.random() < 0.5)
        )
        image = np.where(stripes[..., None], image, image * 0.4 + 0.6 * _colour(rng))
    return image


def _print(rng: np.random.Generator) -> np.ndarray:
    """A label: blocks, discs, lettering, bar codes in few inks on one ground."""
    ground = _colour(rng, (0.0, 0.9)) if rng.random() < 0.6 else np.full(3, rng.uniform(0.75, 0.97))
    image = np.tile((255 * ground).astype(np.uint8), (SIDE, SIDE, 1))
    inks = [
        _colour(rng),
        _colour(rng),
        np.full(3, rng.uniform(0.0, 0.15)),
        np.full(3, rng.uniform(0.85, 0.98)),
    ]

    def ink() -> tuple[float, ...]:
        return tuple(float(255 * c) for c in inks[rng.integers(len(inks))])

    for _ in range(rng.integers(1, 6)):
        x, y, w, h = rng.integers(0, SIDE, 4)
        if rng.random() < 0.5:
            cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h // 3)), ink(), -1)
        else:
            cv2.ellipse(
                image, (int(x), int(y)), (int(w // 3 + 3), int(h // 4 + 3)), float(w), 0, 360, ink(), -1, 16
            )
    letters = "ABCDEFGHIKLMNOPRSTUVabcdefghiklmnoprstu0123456789 &-."
    for _ in range(rng.integers(2, 14)):
        text = "".join(rng.choice(list(letters), rng.integers(3, 16)))
        place = (int(rng.integers(-20, SIDE - 40)), int(rng.integers(12, SIDE)))
        size = float(rng.choice([0.3, 0.4, 0.5, 0.9, 1.6, 2.6]))
        cv2.putText(
            image, text, place, int(rng.integers(0, 8)), size, ink(), max(1, int(size * 2)), cv2.LINE_AA
        )
    if rng.random() < 0.3:
        x, y = rng.integers(0, SIDE - 80, 2)
        image[y : y + 40, x : x + 80] = np.where(rng.random(80) < 0.5, 12, 242)[None, :, None]
    return image.astype(np.float32) / 255


def _pattern(rng: np.random.Generator) -> np.ndarray:
    """Dots, stripes or checks in two colours."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE * rng.integers(2, 9)
    kind = rng.integers(3)
    if kind == 0:
        inside = np.hypot(x % 1 - 0.5, y % 1 - 0.5) < rng.uniform(0.15, 0.45)
    elif kind == 1:
        inside = (x % 1) < rng.uniform(0.2, 0.8)
    else:
        inside = ((x % 1) < 0.5) ^ ((y % 1) < 0.5)
    image = np.where(inside[..., None], _colour(rng), _colour(rng, (0.0, 0.9)))
    return cv2.GaussianBlur(image, (0, 0), 0.8)


def _paint(rng: np.random.Generator) -> np.ndarray:
    """Painted matte things: flat areas and soft or hard spots of other paints, white ones among them."""

    def paint() -> np.ndarray:
        return np.full(3, rng.uniform(0.75, 0.97)) if rng.random() < 0.35 else _colour(rng)

    image = np.tile(paint(), (SIDE, SIDE, 1))
    for _ in range(rng.integers(1, 4)):
        # Areas from low-frequency noise, spots at its maxima; the border is a brush's edge or a spray's.
        field = noise(rng, rng.uniform(1.6, 2.6), low_cut=rng.uniform(1, 8))
        width = 0.03 if rng.random() < 0.6 else rng.uniform(0.1, 0.8)
        cover = ((field - rng.uniform(-0.2, 1.6)) / width + 0.5).clip(0, 1)[..., None]
        image = image + (paint() - image) * cover
    return cv2.GaussianBlur(image, (0, 0), 0.7)


def _scribble(rng: np.random.Generator) -> np.ndarray:
    """Curved lines of a few inks, on a ground that mostly is pale."""
    ground = np.full(3, rng.uniform(0.6, 0.97)) if rng.random() < 0.7 else _colour(rng)
    image = np.tile(ground, (SIDE, SIDE, 1))
    for _ in range(rng.integers(1, 5)):
        # The zero crossings of slow noise are curves that wrap around with the tile.
        field = np.abs(noise(rng, rng.uniform(2.0, 2.8), low_cut=rng.uniform(1, 6)))
        line = ((rng.uniform(0.02, 0.12) - field) / 0.02).clip(0, 1)[..., None]
        image = image + (_colour(rng) - image) * line
    return cv2.GaussianBlur(image, (0, 0), 0.7)


def _skin(rng: np.random.Generator) -> np.ndarray:
    """Fruit: a gradient of ripeness with streaks and lenticels."""
    ripe = 0.5 + 0.35 * noise(rng, 2.4) + 0.12 * noise(rng, 0.8, 1 / 16)
    hue = rng.uniform(0, 140)
    hsv = np.array([[[hue, 0.85, 0.75], [(hue + rng.uniform(15, 50)) % 360, 0.75, 0.85]]], np.float32)
    colours = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0]
    image = _ramp(ripe.clip(0, 1), *colours)
    dots = noise(rng, 0.0, low_cut=20) > rng.uniform(2.4, 3.4)
    return image + 0.25 * cv2.GaussianBlur(dots.astype(np.float32), (0, 0), 0.8)[..., None]


def _glaze(rng: np.random.Generator) -> np.ndarray:
    """Reactive ceramic glaze: fine speckle over slow changes of colour."""
    slow, fine = noise(rng, 2.2), noise(rng, 0.5, low_cut=10)
    return _ramp((0.5 + 0.2 * slow + 0.16 * fine).clip(0, 1), _colour(rng), _colour(rng), _colour(rng))


def _plain(rng: np.random.Generator) -> np.ndarray:
    return np.tile(_colour(rng, (0.0, 0.95)), (SIDE, SIDE, 1)) + 0.012 * noise(rng, 0.8)[..., None]


ALBEDOS: dict[str, tuple[Callable[[np.random.Generator], np.ndarray], int]] = {
    "blotches": (_blotches, 12),
    "wood": (_wood, 16),
    "marble": (_marble, 10),
    "granite": (_granite, 10),
    "fabric": (_fabric, 16),
    "print": (_print, 56),
    "pattern": (_pattern, 14),
    "skin": (_skin, 20),
    "glaze": (_glaze, 14),
    "plain": (_plain, 24),
    "paint": (_paint, 40),
    "scribble": (_scribble, 14),
}


def albedo_tiles() -> np.ndarray:
    """uint8 (N, 3, SIDE, SIDE), display values."""
    rng = np.random.default_rng(_SEED)
    tiles = [make(rng) for make, count in ALBEDOS.values() for _ in range(count)]
    stack = np.stack(tiles).clip(0, 1).transpose(0, 3, 1, 2)
    return np.ascontiguousarray((stack * 255 + 0.5).astype(np.uint8))


def _scratches(rng: np.random.Generator) -> np.ndarray:
    canvas = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(rng.integers(10, 120)):
        start = rng.integers(0, SIDE, 2)
        angle, length = rng.uniform(0, np.pi), rng.uniform(8, 140)
        end = start + length * np.array([np.cos(angle), np.sin(angle)])
        depth = float(rng.uniform(0.3, 1))
        cv2.line(canvas, tuple(map(int, start)), tuple(map(int, end)), depth, 1, cv2.LINE_AA)
    return -canvas


def _weave(rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    period = SIDE / rng.choice([8, 16, 32])
    return np.sin(2 * np.pi * x / period) * np.sin(2 * np.pi * y / period) + 0.3 * noise(rng, 0.8)


def _drops(rng: np.random.Generator) -> np.ndarray:
    return (noise(rng, 0.9, low_cut=rng.uniform(6, 16)) - 0.9).clip(0, None) ** 0.7


def _groove(rng: np.random.Generator) -> np.ndarray:
    """Joints of tiles or ribs of corrugated plastic."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE * rng.integers(2, 7)
    joint = (
        np.abs(x % 1 - 0.5) if rng.random() < 0.5 else np.minimum(np.abs(x % 1 - 0.5), np.abs(y % 1 - 0.5))
    )
    return np.minimum(joint, rng.uniform(0.04, 0.4)) * 4


RELIEFS: dict[str, tuple[Callable[[np.random.Generator], np.ndarray], int]] = {
    "flat": (lambda rng: np.zeros((SIDE, SIDE), np.float32), 1),
    "dents": (lambda rng: noise(rng, 2.2, low_cut=2), 4),
    "orange peel": (lambda rng: noise(rng, 1.2, low_cut=12), 5),
    "grain": (lambda rng: noise(rng, 0.5, low_cut=24), 4),
    "leather": (lambda rng: np.abs(noise(rng, 1.5, low_cut=5)), 5),
    "wrinkles": (lambda rng: -np.abs(noise(rng, 1.9, low_cut=2)), 5),
    "brushed metal": (lambda rng: noise(rng, 0.5, 40.0), 4),
    "wood grain": (lambda rng: noise(rng, 1.2, 6.0), 3),
    "scratches": (_scratches, 4),
    "weave": (_weave, 4),
    "drops": (_drops, 3),
    "grooves": (_groove, 4),
}


def numbers_of(made: Mapping[str, tuple[Callable, int]], *names: str) -> np.ndarray:
    """Numbers of the tiles of the names among those that `ALBEDOS` or `RELIEFS` makes."""
    counts = {name: count for name, (_, count) in made.items()}
    first = dict(zip(counts, np.cumsum([0, *counts.values()]).tolist(), strict=False))
    return np.concatenate([np.arange(first[name], first[name] + counts[name]) for name in names])


def relief_tiles() -> np.ndarray:
    """float16 (M, 3, SIDE, SIDE): slope along x, slope along y (upwards), roughness offset in [-1, 1].

    Tile 0 is flat. Slopes have a standard deviation of 1 each before a material's strength.
    """
    rng = np.random.default_rng(_SEED + 1)
    tiles = [np.zeros((3, SIDE, SIDE), np.float32)]
    for name, (make, count) in RELIEFS.items():
        for _ in range(count if name != "flat" else 0):
            tiles.append(slopes_of(make(rng), 0.4 * noise(rng, 1.4)))
    return np.stack(tiles).astype(np.float16)


def slopes_of(height: np.ndarray, roughness: np.ndarray) -> np.ndarray:
    """A relief tile (3, SIDE, SIDE) of a height (SIDE, SIDE), slopes scaled to unit deviation."""
    height = cv2.GaussianBlur(height.astype(np.float32), (0, 0), 0.8)
    along_x = np.roll(height, -1, 1) - np.roll(height, 1, 1)
    along_y = np.roll(height, 1, 0) - np.roll(height, -1, 0)
    scale = 1 / (np.sqrt((along_x**2 + along_y**2).mean() / 2) + 1e-6)
    return np.stack([along_x * scale, along_y * scale, roughness]).clip(-4, 4)
