"""SyntheticScenes, a map-style data set of rendered scenes, and render_batch, its engine."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from synthetic import compose, films, finishes, geometry, kinds, lights, photographs, recolouring, surfaces
from synthetic.banks import Banks, load_banks
from synthetic.draws import Draws, Plan
from synthetic.scene_options import AssetFolders, SceneOptions
from synthetic.subsets import column

KEYS = ("input", "diffuse", "specular", "mask", "albedo", "shading", "tone_corrected", "object_mask")


@dataclass(frozen=True)
class ScenePlan(Plan):
    """All random parameters of a batch of scenes."""

    kinds: kinds.SceneKinds
    backdrop: np.ndarray
    """(B,): reflectance of a studio's background."""
    background: geometry.BackgroundPlan
    objects: geometry.ObjectPlan
    finishes: finishes.FinishPlan
    colours: recolouring.ColourPlan
    photos: photographs.PhotoPlan
    film: films.FilmPlan
    light: lights.LightPlan
    composition: compose.CompositionPlan


def plan_scenes(indices: Sequence[int], seed: int, options: SceneOptions, banks: Banks) -> ScenePlan:
    """Draws the scenes on the host; scene i gets the same numbers in any batch."""
    draws = Draws(seed, indices)
    kind = kinds.draw_kinds(draws, options, banks.photos is not None)
    return ScenePlan(
        kinds=kind,
        backdrop=draws.log_uniform("studio.level", low=0.0001, high=0.12),
        background=geometry.draw_background(draws, kind),
        objects=geometry.draw_objects(draws, kind, options),
        finishes=finishes.draw_finishes(draws, kind, options),
        colours=recolouring.draw_colours(draws, kind, banks, options),
        photos=photographs.draw_photos(draws, kind, banks),
        film=films.draw_films(draws, kind),
        light=lights.draw_light(draws, kind, banks, options),
        composition=compose.draw_composition(draws, kind, options),
    )


def render_plan(
    plan: ScenePlan, size: int, mask_passes: int, device: torch.device, banks: Banks
) -> dict[str, Tensor]:
    """The scenes of a plan as one batch: all KEYS. `mask_passes` as in `SceneOptions`."""
    geo = geometry.build(plan.background, plan.objects, size, device)
    surface = surfaces.build(plan.finishes, plan.colours, geo, banks)
    ground = geo.slot < 2
    photo = photographs.crops(plan.photos, banks, size, device)
    from_photo = column(plan.photos.used, device).view(-1, 1, 1) * ground
    if photo is not None:
        surface.normal = photographs.emboss(plan.photos, photo, from_photo, surface.normal)
    light = lights.Lights(plan.light, device)
    shading = light.shading(geo, surface)
    shading = torch.lerp(shading, torch.full_like(shading, 3.0), surface.glow.unsqueeze(1))
    surface, film = films.cover(plan.film, surface)
    specular = light.specular(geo, surface, banks)
    if photo is not None:
        gain = photographs.highlight_gain(plan.photos, photo, from_photo)
        specular = specular * (gain if film is None else torch.lerp(gain, torch.ones_like(gain), film))
    # A studio's backdrop absorbs light.
    level = column(plan.backdrop, device).view(-1, 1, 1)
    backdrop = column(plan.kinds.studio, device).view(-1, 1, 1) * ground
    albedo = surface.albedo * torch.lerp(torch.ones_like(level), level, backdrop).unsqueeze(1)
    swallowed = 0.97 * backdrop
    specular = specular * (1 - (swallowed if film is None else swallowed * (1 - film)))
    layers = compose.Layers(albedo, shading, specular, photo, from_photo)
    sample = compose.compose(plan.composition, layers, mask_passes)
    objects = (~ground).float().unsqueeze(1)
    # A picture that one surface fills is all object.
    sample["object_mask"] = torch.maximum(objects, 1 - objects.amax((2, 3), keepdim=True))
    return sample


# A scene is some 1,300 small operations: what each costs besides its arithmetic counts.
@torch.inference_mode()
def _render_parts(
    indices: Sequence[int], size: int, seed: int, options: SceneOptions, device: torch.device, banks: Banks
) -> list[dict[str, Tensor]]:
    """The scenes in as many batches as suits the device; inference tensors: clone before training."""
    plan = plan_scenes(indices, seed, options, banks)
    if device.type != "cpu":
        return [render_plan(plan, size, options.mask_passes, device, banks)]
    # Single scenes on the CPU: their planes stay in the cache, and the same loops run over the same shapes
    # whatever the batch: torch's vectorised and scalar loops differ in the last bit.
    single = (plan[row : row + 1] for row in range(len(indices)))
    return [render_plan(part, size, options.mask_passes, device, banks) for part in single]


def render_batch(
    indices: Sequence[int],
    *,
    size: int = 224,
    seed: int = 0,
    folders: AssetFolders | None = None,
    options: SceneOptions | None = None,
    device: str | torch.device = "cpu",
    banks: Banks | None = None,
) -> dict[str, Tensor | list[str]]:
    """Renders scenes `indices` of data set `seed` as a batch on `device`.

    Returns float32 tensors in [0, 1], on 8-bit steps: input, diffuse, specular, albedo, shading,
    tone_corrected (B, 3, size, size), mask and object_mask (B, 1, size, size), and name, a list of B
    strings. A scene depends on (seed, index, size, options, folders) alone, not on its batch. `banks` (see
    `load_banks`) spares the look-up of the folders. Raises UserError where these cannot be read.
    """
    banks = banks or load_banks(folders, device)
    parts = _render_parts(indices, size, seed, options or SceneOptions(), torch.device(device), banks)
    sample: dict[str, Tensor | list[str]] = {key: torch.cat([part[key] for part in parts]) for key in KEYS}
    sample["name"] = [scene_name(seed, index) for index in indices]
    return sample


def scene_name(seed: int, index: int) -> str:
    """The name of a scene in file names and reports."""
    return f"synthetic_{seed}_{int(index):07d}"


class SyntheticScenes(Dataset):
    """`length` scenes of side `size`; sample i depends on (seed, i, size, options, folders) and nothing else.

    Samples are dicts of float32 CHW tensors in [0, 1] (see `render_batch`) and "name". A DataLoader fetches
    whole batches through `__getitems__`, which renders them together; on a GPU call `render` instead of using
    workers. Raises ValueError on a negative length or a size below 8, UserError on unreadable folders.
    """

    def __init__(
        self,
        length: int,
        size: int = 224,
        seed: int = 0,
        *,
        folders: AssetFolders | None = None,
        options: SceneOptions | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        if length < 0 or size < 8:
            raise ValueError(f"length must be at least 0 and size at least 8, got {length} and {size}")
        self.length, self.size, self.seed = length, size, seed
        self.device = torch.device(device)
        self.options = options or SceneOptions()
        self.banks = load_banks(folders, self.device)

    def __len__(self) -> int:
        return self.length

    def render(self, indices: Sequence[int]) -> dict[str, Tensor | list[str]]:
        """The scenes as one batch, on the data set's device."""
        return render_batch(
            indices,
            size=self.size,
            seed=self.seed,
            options=self.options,
            device=self.device,
            banks=self.banks,
        )

    def __getitem__(self, index: int) -> dict[str, Tensor | str]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Tensor | str]]:
        wanted = []
        for index in indices:
            if not -self.length <= index < self.length:
                raise IndexError(f"scene {index} of {self.length}")
            wanted.append(index % self.length)
        parts = _render_parts(wanted, self.size, self.seed, self.options, self.device, self.banks)
        samples = [
            {key: values[row].clone() for key, values in part.items()}
            for part in parts
            for row in range(len(part["input"]))
        ]
        for sample, index in zip(samples, wanted, strict=True):
            sample["name"] = scene_name(self.seed, index)
        return samples
