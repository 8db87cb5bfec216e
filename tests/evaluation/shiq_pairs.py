"""Small pairs in SHIQ's layout for the tests of the evaluation."""

from pathlib import Path

import numpy as np

from utils.image_files import write_rgb


def draw(seed: int, size: int = 24) -> dict[str, np.ndarray]:
    """uint8 layers by SHIQ's letters; A = D + grey S without clipping, T where S is strong."""
    rng = np.random.default_rng(seed)
    diffuse = rng.integers(20, 120, (size, size, 3)).astype(np.uint8)
    y, x = np.mgrid[:size, :size]
    cy, cx = rng.uniform(size * 0.3, size * 0.7, 2)
    specular = np.rint(130 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 12)).astype(np.uint8)
    mask = ((specular > 60) * 255).astype(np.uint8)
    return {"A": diffuse + specular[..., None], "D": diffuse, "S": specular, "T": mask}


def write(folder: Path, names: list[str], letters: str = "ADST") -> None:
    """Writes NAME_A.png, ... for each name."""
    for i, name in enumerate(names):
        layers = draw(i)
        for letter in letters:
            write_rgb(folder / f"{name}_{letter}.png", layers[letter])
