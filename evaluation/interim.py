"""Stands in for restoration.load_method until that exists."""

from types import SimpleNamespace

import numpy as np
import torch

from utils.errors import UserError
from utils.image_files import FULL_SCALE


def load_method(spec, device="auto", precision="auto", protocol="native"):
    import classical

    if spec in getattr(classical, "METHODS", {}):
        method = classical.METHODS[spec]

        def run(image):
            scale = FULL_SCALE[image.dtype]
            diffuse = method((image / scale).astype(np.float32))
            diffuse = np.rint(np.clip(diffuse, 0, 1) * scale).astype(image.dtype)
            return SimpleNamespace(
                diffuse=diffuse,
                highlight=np.abs(image.astype(np.float32) - diffuse).max(2).astype(np.float32) / scale,
            )

        return run
    from pathlib import Path

    from utils.checkpoint import load_model

    name, _, path = spec.rpartition(":")
    if not Path(path).exists():
        raise UserError(f"no method {spec}")
    model = load_model(path, name or None, device="cpu")

    def run(image):
        scale = FULL_SCALE[image.dtype]
        x = torch.from_numpy((image / scale).astype(np.float32)).permute(2, 0, 1)[None]
        with torch.inference_mode():
            out = model(x)
        specular = out.specular[0].permute(1, 2, 0).numpy()
        diffuse = np.clip(image - np.rint(specular * scale), 0, scale).astype(image.dtype)
        return SimpleNamespace(diffuse=diffuse, highlight=out.highlight[0, 0].clamp(0, 1).numpy())

    return run
