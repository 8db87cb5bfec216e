"""TSHRNet (Fu, Zhang, Zhu, Xiao, Li, ICCV 2023): physics-based removal, refinement, tone correction.

Images are taken to [-1, 1] inside; products and differences are formed there, as in the authors' code.

    stage 1  a = U1(I), s = U2(I);  coarse diffuse a * s;  residue r = I - a * s
             (mix wiring, for data without albedo and shading: coarse diffuse U1(I), residue r = U2(I))
    stage 2  d = U3(coarse diffuse, I)
    stage 3  d_tc = U4(d, r, I): the diffuse image in the tone of the input
"""

import torch
from torch import Tensor, nn

from models.bounds import pad_to_multiple
from models.parallel import in_parts
from models.separation import Separation
from models.unet import MULTIPLE, UNet

RESULTS = {"tone_corrected": "tone_corrected", "diffuse": "refined_diffuse"}
"""What can be asked for as the result -> the stage that it is."""


class TSHRNet(nn.Module):
    """The network with the wiring for objects whose albedo and shading are known (SSHR).

    `width`: channels after a U-Net's first convolution, 64 in the paper. `output`: the stage returned as
    `Separation.diffuse`, "tone_corrected" (what the paper reports) or "diffuse"; an attribute of the same
    name, which may be changed at any time.
    """

    def __init__(self, width: int = 64, output: str = "tone_corrected") -> None:
        super().__init__()
        if output not in RESULTS:
            raise ValueError(f"no output {output!r}: there are {', '.join(RESULTS)}")
        self.unet1 = UNet(3, width=width)
        self.unet2 = UNet(3, width=width)
        self.unet3 = UNet(6, width=width)
        self.unet4 = UNet(9, width=width)
        self.output = output

    def forward(self, image: Tensor) -> Separation:
        """image (B, 3, H, W) in [0, 1], any H, W >= 1.

        | result           | shape        | what                                                         |
        |------------------|--------------|--------------------------------------------------------------|
        | diffuse          | (B, 3, H, W) | in [0, 1]: "tone_corrected", or "refined_diffuse" on request |
        | specular         | (B, 3, H, W) | image - diffuse; below 0 where the tone was lifted           |
        | highlight        | (B, 1, H, W) | largest |specular| of the three channels                     |
        | "albedo"         | (B, 3, H, W) | a in [-1, 1]; not in the mix wiring                          |
        | "shading"        | (B, 3, H, W) | s in [-1, 1]; not in the mix wiring                          |
        | "coarse_diffuse" | (B, 3, H, W) | in [-1, 1]                                                   |
        | "residue"        | (B, 3, H, W) | r in [-2, 2]; in [-1, 1] in the mix wiring                   |
        | "refined_diffuse"| (B, 3, H, W) | d in [-1, 1]                                                 |
        | "tone_corrected" | (B, 3, H, W) | d_tc in [-1, 1]                                              |
        """
        height, width = image.shape[-2:]
        padded = 2 * pad_to_multiple(image, MULTIPLE) - 1

        stages = self.remove_highlights(padded)
        coarse, residue = stages["coarse_diffuse"], stages["residue"]
        refined = self.unet3(torch.cat([coarse, padded], 1))
        corrected = self.unet4(torch.cat([refined, residue, padded], 1))

        stages |= {"refined_diffuse": refined, "tone_corrected": corrected}
        stages = {name: stage[..., :height, :width] for name, stage in stages.items()}
        diffuse = (stages[RESULTS[self.output]] + 1) / 2
        specular = image - diffuse
        return Separation(diffuse, specular, specular.abs().amax(1, keepdim=True), stages)

    def remove_highlights(self, image: Tensor) -> dict[str, Tensor]:
        """Stage 1: image in [-1, 1] -> "albedo", "shading", "coarse_diffuse", "residue"."""
        albedo, shading = in_parts(lambda unet: unet(image), [self.unet1, self.unet2])
        coarse = albedo * shading
        return {"albedo": albedo, "shading": shading, "coarse_diffuse": coarse, "residue": image - coarse}


class TSHRNetMix(TSHRNet):
    """The wiring for data without albedo and shading (SHIQ, PSD, mixed lists): same layers, other roles."""

    def remove_highlights(self, image: Tensor) -> dict[str, Tensor]:
        """Stage 1: image in [-1, 1] -> "coarse_diffuse", "residue", each from a network of its own."""
        coarse, residue = in_parts(lambda unet: unet(image), [self.unet1, self.unet2])
        return {"coarse_diffuse": coarse, "residue": residue}
