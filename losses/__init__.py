"""The losses: tensors in, scalars out. Each states its equation; each is a mean over samples and pixels."""

from losses.adversarial import discriminator_hinge, generator_corrected, generator_released
from losses.content import content, log_error, squared_error, untouched_pixels
from losses.dichromatic import achromaticity, map_supervision, specular_supervision
from losses.ssim import ssim, ssim_per_image

__all__ = [
    "achromaticity",
    "content",
    "discriminator_hinge",
    "generator_corrected",
    "generator_released",
    "log_error",
    "map_supervision",
    "specular_supervision",
    "squared_error",
    "ssim",
    "ssim_per_image",
    "untouched_pixels",
]
