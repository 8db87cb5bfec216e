"""Joint bilateral filter on a bilateral grid: the cost hardly depends on the filter's width.

J. Chen, S. Paris, F. Durand, "Real-time edge-aware image processing with the bilateral grid", 2007: pixels
are summed into cells of (y, x, guide) that are one standard deviation wide in each direction, the cells are
blurred with a 3-tap Gaussian of unit deviation, and the result is read back by trilinear interpolation.
"""

import numpy as np
from scipy.ndimage import convolve1d

_TAPS = np.exp(-0.5 * np.arange(-1, 2) ** 2)


class JointBilateral:
    """Filters many arrays (H, W) with one guide: weights by distance in space and in `guide`.

    guide: (H, W) in [0, 1].   sigma_space in pixels, sigma_range in units of the guide.
    valid: boolean (H, W); only these pixels are averaged (all are filtered).
    """

    def __init__(self, guide: np.ndarray, sigma_space: float, sigma_range: float, valid: np.ndarray):
        height, width = guide.shape
        axes = (
            (np.arange(height, dtype=np.float32) / np.float32(sigma_space))[:, None],
            np.arange(width, dtype=np.float32) / np.float32(sigma_space),
            guide.astype(np.float32) / np.float32(sigma_range),
        )
        self._shape = tuple(int(axis.max()) + 2 for axis in axes)
        self._valid = valid
        self._nearest = self._cell(*(np.rint(axis).astype(np.int32) for axis in axes))[valid]
        floors = [axis.astype(np.int32) for axis in axes]
        self._base = self._cell(*floors)
        self._fractions = [axis - floor for axis, floor in zip(axes, floors, strict=True)]
        self._weight = self._blurred(None)

    def __call__(self, data: np.ndarray) -> np.ndarray:
        """Filtered `data` (H, W); 0 where no valid pixel is near in space and guide."""
        grid = np.zeros_like(self._weight)
        np.divide(self._blurred(data[self._valid]), self._weight, out=grid, where=self._weight > 0)
        cells = grid.astype(np.float32).ravel()
        rows, columns, depths = self._fractions
        _, across, deep = self._shape
        result = np.zeros(data.shape, np.float32)
        for down, row_weight in ((0, 1 - rows), (1, rows)):
            for right, column_weight in ((0, 1 - columns), (1, columns)):
                corner = self._base + (down * across + right) * deep
                near = cells[corner]
                result += row_weight * column_weight * (near + depths * (cells[corner + 1] - near))
        return result

    def _cell(self, row: np.ndarray, column: np.ndarray, depth: np.ndarray) -> np.ndarray:
        _, across, deep = self._shape
        return (row * across + column) * deep + depth

    def _blurred(self, values: np.ndarray | None) -> np.ndarray:
        """Sums of `values` (of ones where None) a cell, blurred."""
        grid = np.bincount(self._nearest, values, minlength=int(np.prod(self._shape))).astype(np.float64)
        grid = grid.reshape(self._shape)
        for axis in range(3):
            grid = convolve1d(grid, _TAPS, axis=axis, mode="constant")
        return grid
