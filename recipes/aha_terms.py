"""The losses of the AHA networks: their options, and the table of what L_G adds up.

Each function takes an `Estimate` (recipes/aha.py): coarse, refined, target (B, 3, H, W), highlight
(B, 1, H, W), layers of the data set, and the networks that some terms need.
"""

from dataclasses import dataclass
from typing import Literal

import losses as loss
from recipes.options import OptimiserOptions, Term


@dataclass
class AHAOptions(OptimiserOptions):
    """Losses of the AHA networks; at weight 0 a term, and the network it needs, is not computed at all."""

    lambda_content: float = 10.0
    """weight of |D_coarse - D| + |D_refined - D|"""
    lambda_perceptual: float = 1.0
    """weight of the distance between VGG-16 features (conv3_3) of D_refined and D"""
    lambda_gan: float = 1.0
    """weight of the adversarial term"""
    lambda_ssim: float = 0.1
    """weight of 1 - SSIM"""
    lambda_squared: float = 0.0
    """weight of |D_coarse - D|^2 + |D_refined - D|^2, beside or in place of content: rare highlights are
    learned sooner"""
    lambda_log: float = 0.0
    """weight of the mean over pictures of log10(MSE + --log_floor), coarse and refined: every picture counts
    alike, as in a mean PSNR"""
    lambda_untouched: float = 0.0
    """weight of the same over the pixels without specular light alone, so that a strong highlight does not
    outweigh errors beside it; needs the specular layer (SHIQ's _S)"""
    lambda_highlight: float = 0.0
    """weight of the same over the highlight alone, so that the rest of the picture does not outweigh a
    remaining highlight; needs the highlight mask (SHIQ's _T)"""
    lambda_direct: float = 0.0
    """weight of |N_coarse - D| + |N_refined - D|: the networks' own outputs, before they are composed. Where
    the map is bounded and zero they get no other gradient"""
    lambda_specular: float = 0.0
    """weight of |S_hat - S|; needs the specular layer (SHIQ's _S)"""
    lambda_map: float = 0.0
    """weight of |A - T|; needs the highlight mask (SHIQ's _T)"""
    lambda_cross_entropy: float = 0.0
    """weight of the cross-entropy of a bounded map's logits with the highlight mask; needs the mask (SHIQ's
    _T)"""
    lambda_overlap: float = 0.0
    """weight of 1 - the soft Jaccard index of a bounded map and the highlight mask; needs the mask (SHIQ's
    _T)"""
    lambda_chroma: float = 0.0
    """weight of the distance in chroma of D_hat from D inside the highlight; needs the mask (SHIQ's _T)"""
    lambda_achromatic: float = 0.0
    """weight of the colour of S_hat on unsaturated pixels"""
    log_floor: float = 3e-4
    """squared error below which a picture's share of the logarithmic terms no longer grows (3e-4: 35 dB); low
    floors favour leaving faint highlights alone"""
    ssim_on: Literal["coarse", "refined"] | None = None
    """estimate that the SSIM term sees"""
    perceptual_weights: str = "imagenet"
    """weights of VGG-16: imagenet, none (then --lambda_perceptual must be 0), random, or PATH of a state dict
    of torchvision's vgg16"""
    gan_term: Literal["corrected", "released"] | None = None
    """corrected: -mean Disc(D_hat); released: |mean Disc(D_hat.detach())|, which reaches the map only"""
    discriminator_output: Literal["plain", "normalised"] | None = None
    """last layer of the discriminator; normalised: instance norm and LeakyReLU, as released, which fix the
    mean score, so that the adversarial term hardly acts"""
    redraw_attention: bool | None = None
    """draw the attention's projection anew at every forward, as the released code does (model aha only)"""
    plateau_metric: Literal["loss", "loss_plus_ssim"] | None = None
    """validation value that lowers the learning rate; loss_plus_ssim is the released code's: MSE + L1 + SSIM
    of the coarse estimate, SSIM with the wrong sign"""
    select_by: Literal["gain", "psnr", "coarse_loss"] | None = None
    """validation value that chooses the best checkpoint; gain: PSNR of the result above that of the input,
    over pictures with highlights; coarse_loss is the released code's: MSE + L1 of the coarse estimate"""


AHA_TERMS = (
    Term("content", "lambda_content", lambda e: loss.content.content(e.coarse, e.refined, e.target)),
    Term("ssim", "lambda_ssim", lambda e: 1 - loss.ssim.ssim(e.for_ssim, e.target)),
    Term("perceptual", "lambda_perceptual", lambda e: e.perceptual(e.refined, e.target)),
    Term("gan", "lambda_gan", lambda e: e.adversarial()),
    Term("squared", "lambda_squared", lambda e: loss.content.squared_error(e.coarse, e.refined, e.target)),
    Term("log", "lambda_log", lambda e: e.log_error(None)),
    Term(
        "untouched",
        "lambda_untouched",
        lambda e: e.log_error(loss.content.untouched_pixels(e.layers["specular"])),
        needs=("specular",),
    ),
    Term("highlight", "lambda_highlight", lambda e: e.log_error(e.layers["mask"]), needs=("mask",)),
    Term(
        "specular",
        "lambda_specular",
        lambda e: loss.dichromatic.specular_supervision(e.specular, e.layers["specular"]),
        needs=("specular",),
    ),
    Term(
        "direct",
        "lambda_direct",
        lambda e: loss.content.content(e.coarse_network, e.refine_network, e.target),
    ),
    Term(
        "map",
        "lambda_map",
        lambda e: loss.dichromatic.map_supervision(e.highlight, e.layers["mask"]),
        needs=("mask",),
    ),
    Term(
        "cross_entropy",
        "lambda_cross_entropy",
        lambda e: loss.dichromatic.map_cross_entropy(e.stage("highlight_logits"), e.layers["mask"]),
        needs=("mask",),
    ),
    Term(
        "overlap",
        "lambda_overlap",
        lambda e: loss.dichromatic.map_overlap(e.highlight, e.layers["mask"]),
        needs=("mask",),
    ),
    Term(
        "chroma",
        "lambda_chroma",
        lambda e: loss.dichromatic.highlight_chroma(e.refined, e.target, e.layers["mask"]),
        needs=("mask",),
    ),
    Term(
        "achromatic",
        "lambda_achromatic",
        lambda e: loss.dichromatic.achromaticity(e.specular, e.layers["input"]),
    ),
)
"""L_G is the sum of these terms, each times its weight."""
