"""Synthetic scenes as training data."""

from torch.utils.data import Dataset

from synthetic import AssetFolders, SceneOptions, SyntheticScenes
from training.network import named_values
from training.options import TrainOptions
from utils.errors import UserError

ENDLESS = 2**40  # scenes: more than any run draws
HELD_OUT = 1_000_003  # added to the seed; scenes of two seeds have nothing in common


def scenes(options: TrainOptions) -> Dataset:
    """The training scenes: item i is scene i of the seed, without end."""
    return _scenes(options, ENDLESS, options.seed)


def held_out_scenes(options: TrainOptions) -> Dataset:
    """`val_scenes` scenes that training never sees."""
    return _scenes(options, options.val_scenes, options.seed + HELD_OUT)


def _scenes(options: TrainOptions, length: int, seed: int) -> Dataset:
    return SyntheticScenes(
        length,
        size=options.scene_size or options.crop or options.size or 224,
        seed=seed,
        folders=AssetFolders.of(options),
        options=_scene_options(options),
    )


def _scene_options(options: TrainOptions) -> SceneOptions:
    chosen = {"composition": options.composition} | named_values(options.scene_options, "scene_options")
    unknown = chosen.keys() - SceneOptions.__dataclass_fields__.keys()
    if unknown:
        known = ", ".join(SceneOptions.__dataclass_fields__)
        raise UserError(f"--scene_options: there is no {sorted(unknown)[0]}; choose among {known}")
    try:
        return SceneOptions(**chosen)
    except (ValueError, TypeError) as error:
        raise UserError(f"--scene_options: {error}") from error
