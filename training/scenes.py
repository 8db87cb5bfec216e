"""Synthetic scenes as training data."""

from typing import Any

import yaml
from torch.utils.data import Dataset

from training.options import TrainOptions
from utils.errors import UserError

ENDLESS = 2**40  # scenes: more than any run draws
HELD_OUT = 1_000_003  # added to the seed; scenes of two seeds have nothing in common


def scenes(options: TrainOptions) -> Dataset:
    """The training scenes: item i is scene i of the seed, without end."""
    return _scenes(options, ENDLESS, options.seed)


def held_out_scenes(options: TrainOptions) -> Dataset | None:
    """`val_scenes` scenes that training never sees."""
    if not options.val_scenes:
        return None
    return _scenes(options, options.val_scenes, options.seed + HELD_OUT)


def _scenes(options: TrainOptions, length: int, seed: int) -> Dataset:
    from data.synthetic import SyntheticScenes

    return SyntheticScenes(
        length,
        size=options.scene_size or options.crop or options.size or 224,
        seed=seed,
        textures=options.textures or None,
        photos=options.photos or None,
        materials=options.materials or None,
        envmaps=options.envmaps or None,
        options=_scene_options(options),
    )


def _scene_options(options: TrainOptions) -> Any:
    from data.synthetic import SceneOptions

    chosen = {"composition": options.composition}
    for word in options.scene_options:
        name, equals, value = word.partition("=")
        if not equals or name not in SceneOptions.__dataclass_fields__:
            known = ", ".join(SceneOptions.__dataclass_fields__)
            raise UserError(f"--scene_options {word}: give NAME=VALUE with one of {known}")
        parsed = yaml.safe_load(value)
        chosen[name] = tuple(parsed) if isinstance(parsed, list) else parsed
    try:
        return SceneOptions(**chosen)
    except (ValueError, TypeError) as error:
        raise UserError(f"--scene_options: {error}") from error
