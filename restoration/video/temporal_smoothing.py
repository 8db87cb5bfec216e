"""Against flicker: the specular layer is averaged over the frames in which the picture stands still.

A network that sees every frame alone reacts to its noise, and the layer that it removes flickers. With I_t
the frame, S_t the specular layer that was found in it, and everything per pixel,

    e_t  = box_7( |I_t - I_{t-1}|^2 )                      change against the previous frame
    f_t  = min( quantile_{1/4}(e_t), F )                   noise: the change of the stillest quarter
    w_t  = exp( -max(e_t - f_t, 0) / (T^2 + f_t) )         stillness, from 0 (moved) to 1 (stood still)
    n_t  = 1 + w_t min(n_{t-1}, N - 1)                     frames in the average
    S*_t = S_t + (1 - 1 / n_t) (S*_{t-1} - S_t)            smoothed layer
    D_t  = I_t - min(S*_t, I_t)                            result

Where nothing moves this is the mean of the first N layers, and from then on a recursive filter of weight
1 / N; where the picture changed n is 1 and the layer is the frame's own. At a cut, where the mean of w_t over
the picture is below C, the average begins anew everywhere. For noise that is independent from frame to frame,
S*_t - S*_{t-1} has the standard deviation of S_t - S_{t-1} times 1 / (N sqrt(2 - 1/N)): one eleventh.
"""

import cv2
import numpy as np

FRAMES = 8  # N: a quarter to a third of a second
WINDOW = 7  # pixels along each side of the box
CHANGE = 4 / 255  # T: a change of so much of white, beyond the noise, leaves 1 / e of the weight
NOISE_LIMIT = 2 * 0.03**2  # F: of a noise of 3 % of white; more is taken for motion
CUT = 0.25  # C


class TemporalSmoother:
    """The recursive filter of the specular layer; one for each clip, fed with its frames in order.

    frames  N, at least 1; with 1 every layer comes back as it was
    """

    def __init__(self, frames: int = FRAMES):
        if frames < 1:
            raise ValueError(f"the layer is averaged over at least one frame, not {frames}")
        self.frames = frames
        self._before: np.ndarray | None = None  # I_{t-1}
        self._layer: np.ndarray | None = None  # S*_{t-1}
        self._count: np.ndarray | None = None  # n_{t-1}

    def __call__(self, image: np.ndarray, specular: np.ndarray) -> np.ndarray:
        """S*_t of the next frame.

        image     (H, W) or (H, W, 3) float32 in [0, 1]: the frame I_t
        specular  same shape, float32 in units of white: the layer S_t found in it
        """
        if self.frames == 1:
            return specular
        if self._before is None or self._layer is None or self._count is None:
            count, layer = np.ones(image.shape[:2], np.float32), specular
        else:
            weight = stillness(image, self._before)
            count = 1 + weight * np.minimum(self._count, self.frames - 1)
            kept = 1 - 1 / (count if specular.ndim == 2 else count[..., None])
            layer = specular + kept * (self._layer - specular)
        self._before, self._layer, self._count = image, layer, count
        return np.minimum(layer, image)

    def state(self) -> dict[str, np.ndarray]:
        """What the next call depends on; empty before the first frame."""
        if self._before is None or self._layer is None or self._count is None:
            return {}
        return {"before": self._before, "layer": self._layer, "count": self._count}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Goes on from a `state`."""
        self._before, self._layer, self._count = (state.get(name) for name in ("before", "layer", "count"))


def stillness(image: np.ndarray, before: np.ndarray) -> np.ndarray:
    """w_t, (H, W) float32 in [0, 1], of two frames (H, W) or (H, W, 3) float32 in [0, 1]; 0 at a cut."""
    squared = np.square(image - before)
    change = cv2.blur(squared if squared.ndim == 2 else squared.mean(axis=2), (WINDOW, WINDOW))
    noise = min(float(np.quantile(change, 0.25)), NOISE_LIMIT)
    weight = np.exp(-np.maximum(change - noise, 0) / np.float32(CHANGE**2 + noise))
    return weight if weight.mean() >= CUT else np.zeros_like(weight)
