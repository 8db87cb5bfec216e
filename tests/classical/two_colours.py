"""A picture that obeys the dichromatic model exactly, with its diffuse layer known."""

import numpy as np

RED, BLUE = (0.75, 0.25, 0.1), (0.1, 0.3, 0.7)


def two_colours(side: int = 64, strength: float = 0.25) -> tuple[np.ndarray, np.ndarray]:
    """(image, diffuse), (side, side, 3) float32 in [0, 1]: red and blue halves, shaded, a highlight on each.

    A dark frame surrounds them, as the backgrounds of the laboratory pictures do.
    """
    rows, columns = np.mgrid[:side, :side] / (side - 1)
    albedo = np.where((columns < 0.5)[..., None], RED, BLUE)
    shading = 0.55 + 0.25 * rows
    framed = (np.abs(rows - 0.5) < 0.38) & (np.abs(columns - 0.5) < 0.38)
    diffuse = albedo * np.where(framed, shading, 0.02)[..., None]
    highlight = np.zeros_like(rows)
    for centre in (0.3, 0.7):
        squares = (columns - centre) ** 2 + (rows - 0.45) ** 2
        highlight += strength * np.maximum(1 - squares / 0.1**2, 0) ** 2
    image = diffuse + highlight[..., None]
    return image.astype(np.float32), diffuse.astype(np.float32)


def psnr(result: np.ndarray, ground_truth: np.ndarray) -> float:
    """Over the whole picture, data range 1, without rounding to 8 bits."""
    return float(-10 * np.log10(np.mean((result.astype(np.float64) - ground_truth) ** 2)))
