"""SyntheticScenes, a map-style data set of rendered scenes, and render_batch, its engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from synthetic import compose, finishes, geometry, lights, photographs
from synthetic import materials as surfaces
from synthetic.banks import Banks, load_banks
from synthetic.draws import Draws
from synthetic.options import Composition, Folders, SceneOptions
from synthetic.subsets import column
from synthetic.variants import scene_variants

KEYS = ("input", "diffuse", "specular", "mask", "albedo", "shading", "tone_corrected", "object_mask")


def render_batch(
    indices: Sequence[int],
    *,
    size: int = 224,
    seed: int = 0,
    textures: Folders = None,
    photos: Folders = None,
    materials: Folders = None,
    envmaps: Folders = None,
    composition: Composition | None = None,
    options: SceneOptions | None = None,
    device: str | torch.device = "cpu",
    banks: Banks | None = None,
) -> dict[str, Tensor | list[str]]:
    """Renders scenes `indices` of data set `seed` as a batch on `device`.

    Returns float32 tensors in [0, 1], on 8-bit steps: input, diffuse, specular, albedo, shading,
    tone_corrected (B, 3, size, size), mask and object_mask (B, 1, size, size), and name, a list of B
    strings. A scene depends on (seed, index, size, options, folders) alone, not on its batch. `composition`
    overrides the options' own. `banks` (see `load_banks`) spares the look-up of the folders.
    """
    parts = _render_parts(indices, size, seed, with_composition(options, composition), torch.device(device),
                          banks or load_banks(textures, photos, materials, envmaps, device))  # fmt: skip
    sample: dict[str, Tensor | list[str]] = {key: torch.cat([part[key] for part in parts]) for key in KEYS}
    sample["name"] = [scene_name(seed, index) for index in indices]
    return sample


def scene_name(seed: int, index: int) -> str:
    """The name of a scene in file names and reports."""
    return f"synthetic_{seed}_{int(index):07d}"


def plan_scenes(
    indices: Sequence[int], seed: int, options: SceneOptions, banks: Banks
) -> dict[str, np.ndarray]:
    """Everything random about the scenes, drawn on the host; the first axis of each array is the scene."""
    draws = Draws(seed, indices)
    kinds = geometry.scene_kinds(draws, options, banks.photos is not None)
    variants = scene_variants(draws, options)
    return {
        "kind": kinds,
        "studio.level": draws.log_uniform("studio.level", low=0.0001, high=0.12),
        **geometry.plan(draws, kinds),
        **finishes.plan(draws, kinds, variants, banks, options),
        **photographs.plan(draws, kinds, variants, banks),
        **lights.plan(draws, kinds, variants, banks, options),
        **compose.plan(draws, kinds, variants, options),
    }


# A scene is some 1,300 small operations: what each costs besides its arithmetic counts.
@torch.inference_mode()
def _render_parts(
    indices: Sequence[int], size: int, seed: int, options: SceneOptions, device: torch.device, banks: Banks
) -> list[dict[str, Tensor]]:
    """The scenes in as many batches as suits the device; copy before use, a network cannot learn on these."""
    plan = plan_scenes(indices, seed, options, banks)
    if device.type != "cpu":
        return [render_plan(plan, size, options, device, banks)]
    # Single scenes on the CPU: their planes stay in the cache, and the same loops run over the same shapes
    # whatever the batch: torch's vectorised and scalar loops differ in the last bit.
    rows = range(len(indices))
    return [
        render_plan({k: v[i : i + 1] for k, v in plan.items()}, size, options, device, banks) for i in rows
    ]


def render_plan(
    plan: dict[str, np.ndarray], size: int, options: SceneOptions, device: torch.device, banks: Banks
) -> dict[str, Tensor]:
    """The scenes of a plan as one batch: all KEYS."""
    geo = geometry.build(plan, size, device)
    surface = surfaces.build(plan, geo, banks)
    ground = geo.slot < 2
    photo = photographs.crops(plan, banks, size, device)
    from_photo = column(plan["photo"], device).view(-1, 1, 1) * ground
    if photo is not None:
        surface.normal = photographs.emboss(plan, photo, from_photo, surface.normal)
    light = lights.Lights(plan, device)
    shading = light.shading(geo, surface)
    shading = torch.lerp(shading, torch.full_like(shading, 3.0), surface.glow.unsqueeze(1))
    specular = light.specular(geo, surface, banks)
    if photo is not None:
        specular = specular * photographs.highlight_gain(plan, photo, from_photo)
    # A studio's backdrop swallows light.
    level = column(plan["studio.level"], device).view(-1, 1, 1)
    backdrop = column(plan["kind"] == geometry.STUDIO, device).view(-1, 1, 1) * ground
    albedo = surface.albedo * torch.lerp(torch.ones_like(level), level, backdrop).unsqueeze(1)
    specular = specular * (1 - 0.97 * backdrop)
    sample = compose.compose(plan, compose.Layers(albedo, shading, specular, photo, from_photo), options)
    objects = (~ground).float().unsqueeze(1)
    # A picture that one surface fills is all object.
    sample["object_mask"] = torch.maximum(objects, 1 - objects.amax((2, 3), keepdim=True))
    return sample


def with_composition(options: SceneOptions | None, composition: Composition | None) -> SceneOptions:
    """The options (default ones where None), with another composition where one is given."""
    options = options or SceneOptions()
    if composition is None:
        return options
    values = {name: getattr(options, name) for name in options.__dataclass_fields__}
    return SceneOptions(**(values | {"composition": composition}))


class SyntheticScenes(Dataset):
    """`length` scenes of side `size`; sample i depends on (seed, i, size, options, folders) and nothing else.

    Samples are dicts of float32 CHW tensors in [0, 1] (see `render_batch`) and "name". `textures`,
    `photos`, `materials`, `envmaps` take a folder or several. A DataLoader fetches whole batches through
    `__getitems__`, which renders them together; on a GPU call `render_batch` instead of using workers.
    """

    def __init__(
        self,
        length: int,
        size: int = 224,
        seed: int = 0,
        textures: Folders = None,
        photos: Folders = None,
        device: str | torch.device = "cpu",
        composition: Composition | None = None,
        *,
        materials: Folders = None,
        envmaps: Folders = None,
        options: SceneOptions | None = None,
    ) -> None:
        if length < 0 or size < 8:
            raise ValueError(f"length must be at least 0 and size at least 8, got {length} and {size}")
        self.length, self.size, self.seed = length, size, seed
        self.device = torch.device(device)
        self.options = with_composition(options, composition)
        self.banks = load_banks(textures, photos, materials, envmaps, self.device)

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
        samples = [{key: values[row].clone() for key, values in part.items()} for part in parts
                   for row in range(len(part["input"]))]  # fmt: skip
        for sample, index in zip(samples, wanted, strict=True):
            sample["name"] = scene_name(self.seed, index)
        return samples
