"""The AHA coarse-refine network (Hu, Huang, Wang, ICASSP 2024), assembled as the paper's figure.

I -> AHA module -> A;   (I, A) -> coarse -> N_coarse;   D_coarse = (1 - A) I + A N_coarse
(D_coarse, A) -> refine -> N_refined;                   D = (1 - A) I + A N_refined
"""

import torch
from torch import Tensor, nn

from models.bounds import SATURATED, pad_to_multiple
from models.separation import Separation, compose
from models.surroundings import with_surrounding_colours


class AHANet(nn.Module):
    """Highlight map, coarse guess, refinement; the parts are injected (models/build.py)."""

    def __init__(
        self,
        aha_module: nn.Module,
        coarse: nn.Module,
        refine: nn.Module,
        *,
        multiple: int,
        achromatic: bool = False,
        shoulder: float = 0.0,
        surroundings: bool = False,
    ):
        """`achromatic` holds the network to a white light, `shoulder` says how near to saturation that fades:
        see `under_white_light`. With `surroundings` saturated pixels get their colour from what is around
        them: see `models.surroundings`."""
        super().__init__()
        self.HFE = aha_module  # "highlight feature extraction", its name in the authors' checkpoint
        self.coarse = coarse
        self.refine = refine
        self.multiple = multiple
        self.achromatic = achromatic
        self.shoulder = shoulder
        self.surroundings = surroundings

    def forward(self, image: Tensor) -> Separation:
        """image I (B, 3, H, W) in [0, 1], any H, W >= 1.

        | result           | shape        | what                                                     |
        |------------------|--------------|----------------------------------------------------------|
        | diffuse          | (B, 3, H, W) | D = (1 - A) I + A N_refined                              |
        | specular         | (B, 3, H, W) | S = I - D = A (I - N_refined)                            |
        | highlight        | (B, 1, H, W) | A; in [0, 1] where the map is bounded                    |
        | "coarse"         | (B, 3, H, W) | N_coarse in [-1, 1]                                      |
        | "coarse_diffuse" | (B, 3, H, W) | (1 - A) I + A N_coarse, what the refine network sees     |
        | "refined"        | (B, 3, H, W) | N_refined in [0, 1]                                      |
        | "highlight_logits" | (B, 1, H, W) | A before it is bounded; A itself where it is not       |
        """
        return self.separate(image, self.locate(image))

    def locate(self, image: Tensor) -> Tensor:
        """Logits of A, a twentieth of the arithmetic: over the image (B, 3, H, W) padded to the network's
        grid."""
        return self.HFE.logits(pad_to_multiple(image, self.multiple))

    def highlight(self, image: Tensor, located: Tensor) -> Tensor:
        """A (B, 1, H, W) of what `locate` gave for the image."""
        return self.HFE.bound(located)[..., : image.shape[-2], : image.shape[-1]]

    def separate(self, image: Tensor, located: Tensor) -> Separation:
        """The result of `forward`, given that of `locate` for the image."""
        height, width = image.shape[-2:]
        padded = pad_to_multiple(image, self.multiple)
        logits, highlight = located, self.HFE.bound(located)
        coarse = self.coarse(padded, highlight)
        coarse_diffuse = compose(padded, highlight, coarse)
        refined = self.refine(coarse_diffuse, highlight)

        stages = {
            "coarse": coarse,
            "coarse_diffuse": coarse_diffuse,
            "refined": refined,
            "highlight_logits": logits,
        }
        return finish(
            padded,
            highlight,
            stages,
            (height, width),
            training=self.training,
            achromatic=self.achromatic,
            shoulder=self.shoulder,
            surroundings=self.surroundings,
        )


def finish(
    padded: Tensor,
    highlight: Tensor,
    stages: dict[str, Tensor],
    size: tuple[int, int],
    *,
    training: bool,
    achromatic: bool = True,
    shoulder: float = 0.0,
    surroundings: bool = False,
) -> Separation:
    """What is known of light and of clipped pixels, applied to stages["refined"]; then the composition.

    padded, highlight  I and A on the network's grid, cut to `size` (height, width) like all stages
    achromatic, shoulder, surroundings  as for `AHANet`
    """
    refined = stages["refined"]
    if achromatic:
        # In training the clamp would hide from the network where it adds light.
        refined = under_white_light(padded, refined, less=not training, shoulder=shoulder)
    if surroundings:
        diffuse = compose(padded, highlight, refined)
        refined = with_surrounding_colours(padded, diffuse, highlight, refined)
        if not training:
            refined = torch.minimum(refined, padded)
    height, width = size
    image, highlight = padded[..., :height, :width], highlight[..., :height, :width]
    stages = {name: x[..., :height, :width] for name, x in (stages | {"refined": refined}).items()}
    refined = stages["refined"]
    return Separation(compose(image, highlight, refined), highlight * (image - refined), highlight, stages)


def under_white_light(image: Tensor, content: Tensor, *, less: bool = True, shoulder: float = 0.0) -> Tensor:
    """`content` (B, 3, H, W) changed so that image - content is what a white light's highlight adds.

    The dichromatic model with the light's colour (1, 1, 1): the same amount is taken from R, G and B; with
    `less`, nothing is ever added, since light only adds. Saturated channels keep their own amount: what was
    clipped there is not known from the others. Cameras compress what is nearly saturated: over the last
    `shoulder` below saturation the amounts pass gradually from common to the channel's own.
    """
    difference = image - content
    if shoulder:
        unsaturated = ((SATURATED - image) / shoulder).clamp(0, 1)
    else:
        unsaturated = (image < SATURATED).to(image.dtype)
    weight = unsaturated.sum(dim=1, keepdim=True).clamp_min(1e-3 if shoulder else 1)
    grey = (difference * unsaturated).sum(dim=1, keepdim=True) / weight
    taken = torch.lerp(difference, grey.expand_as(difference), unsaturated)
    return image - (taken.clamp(0, 1) if less else taken)


def use_released_names(model: AHANet) -> None:
    """Makes the state dict of `model` carry the authors' names: the refine layers stand at the top level."""
    model.register_state_dict_post_hook(_strip_refine)
    model.register_load_state_dict_pre_hook(_prepend_refine)


def _strip_refine(module: nn.Module, state: dict, prefix: str, metadata: dict) -> None:
    inner = f"{prefix}refine."
    for name in [name for name in state if name.startswith(inner)]:
        state[prefix + name.removeprefix(inner)] = state.pop(name)


def _prepend_refine(module: nn.Module, state: dict, prefix: str, *_) -> None:
    layers = {name for name, _ in module.refine.named_children()}
    for name in list(state):
        if name.startswith(prefix) and name.removeprefix(prefix).split(".", 1)[0] in layers:
            state[f"{prefix}refine.{name.removeprefix(prefix)}"] = state.pop(name)
