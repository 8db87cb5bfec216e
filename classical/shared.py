"""What every method shares: the dichromatic model's channel extrema, and the guards around it.

The model of all nine methods, for linear RGB under a white light (a white-balanced picture):

    I(x) = m_d(x) Λ(x) + m_s(x) Γ,    Γ ~ (1, 1, 1)

so the specular layer adds the same amount to R, G and B: I_max - I_min and every difference of
channels are free of it. Where R = G = B the chromaticity is undefined: a grey surface and a grey
highlight cannot be told apart, and dividing by I_max - I_min there paints black or coloured blobs.
"""

import cv2
import numpy as np

# Saturation (I_max - I_min) / I_max up to which a pixel counts as grey. Below it, rounding to 8 bits
# moves the chromaticity of a mid-grey by more than its distance from white. Measured on the
# laboratory picture `cups` with Shen & Zheng 2013: 0 (off) 39.25 dB, 0.03 39.02, 0.05 38.67, 0.1 37.54.
GREY_SATURATION = 0.03


def check_image(image: np.ndarray) -> np.ndarray:
    """`image` as a contiguous float32 array (H, W, 3), clipped to [0, 1].

    Raises TypeError where it is not floating point (divide an 8-bit picture by 255 first) and
    ValueError where it is not (H, W, 3) with H, W >= 1 or holds NaN or infinity.
    """
    image = np.asarray(image)
    if not np.issubdtype(image.dtype, np.floating):
        raise TypeError(f"expected floating point RGB in [0, 1], got {image.dtype}")
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"expected an RGB image of shape (H, W, 3), got {image.shape}")
    if not np.isfinite(image).all():
        raise ValueError("the image holds NaN or infinite values")
    return np.ascontiguousarray(np.clip(image, 0, 1), dtype=np.float32)


def extrema(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """I_max and I_min of an (H, W, 3) image, each (H, W). Ten times as fast as reductions over axis 2."""
    red, green, blue = cv2.split(image)
    return cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)


def total(image: np.ndarray) -> np.ndarray:
    """ΣI = R + G + B of a float32 (H, W, 3) image, (H, W)."""
    return cv2.transform(image, np.ones((1, 3), np.float32))


def is_grey(i_max: np.ndarray, i_min: np.ndarray) -> np.ndarray:
    """Boolean map of the grey and black pixels, which no method changes."""
    return (i_max - i_min) <= GREY_SATURATION * i_max


def subtract(image: np.ndarray, specular: np.ndarray) -> np.ndarray:
    """I_d = max(I - max(I_s, 0), 0) for a specular layer I_s (H, W) that is equal in R, G and B."""
    specular = np.maximum(specular, 0).astype(np.float32, copy=False)
    return np.maximum(image - specular[..., None], 0)


def distinct_colours(image: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The colours of an (H, W, 3) image: colours (3, n), pixels of each (n,), index of each pixel's (H, W).

    Methods that treat every pixel alike need to see each colour only once. Colours are told apart at
    8 bits, or at as many fewer as keep n <= `limit`; a colour is the mean of its pixels (for an 8-bit
    picture of few colours: exactly theirs).
    """
    pixels = image.reshape(-1, 3)
    levels = 255
    while True:
        codes = np.rint(pixels * levels).astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
        unique, index, counts = np.unique(codes, return_inverse=True, return_counts=True)
        if unique.size <= limit:
            break
        levels //= 2
    sums = [np.bincount(index.ravel(), pixels[:, channel]) for channel in range(3)]
    return np.stack(sums) / counts, counts, index.reshape(image.shape[:2])
