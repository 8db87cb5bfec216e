"""Networks: tensors in, tensors out. No files, no options, no globals."""

from models.build import MODELS, ModelSpec, build_discriminator, build_model
from models.separation import Separation, compose

__all__ = ["MODELS", "ModelSpec", "Separation", "build_discriminator", "build_model", "compose"]
