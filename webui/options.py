"""The options of demo.py."""

import os
from dataclasses import dataclass, field

from utils.errors import UserError
from utils.image_files import MAX_PIXELS
from weights.missing import check_weights


@dataclass
class DemoOptions:
    """Options of demo.py."""

    host: str = "127.0.0.1"
    """address to listen on; the default is reached from this machine only, 0.0.0.0 from all that reach it"""
    port: int = 7860
    """port to listen on"""
    max_mb: int = 200
    """refuse files of more megabytes"""
    max_pixels: int = MAX_PIXELS
    """refuse pictures of more pixels"""
    infer_model: list[str] = field(default_factory=list)
    """weights to choose from besides the shipped ones, as infer.py takes them, or NETWORK:PATH"""
    device: str = "auto"
    """where to compute: auto, cpu, cuda, cuda:1, mps"""
    workers: int | None = None
    """tiles at once on the CPU; default: as infer.py"""


def validate_options(options: DemoOptions) -> DemoOptions:
    """`options`. Raises UserError for values that make no sense."""
    for name in ("max_mb", "max_pixels", "workers"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} must be at least 1, not {value}")
    if not 0 < options.port < 65536:
        raise UserError(f"--port must be between 1 and 65535, not {options.port}")
    for weights in options.infer_model:
        if not os.path.exists(weights.partition(":")[2]):
            check_weights(weights)
    return options
