"""Highlight detection: a predicted mask against the region of ground truth, per picture.

With P, N the highlight and other pixels of the ground truth and TP, TN, FP, FN as usual, in percent:

    accuracy = 100 (TP + TN) / (P + N)
    BER      = 100 (1 - (TP / P + TN / N) / 2); of the available half alone where P or N is 0
    IoU      = 100 TP / (TP + FP + FN);  F1 = 100 2 TP / (2 TP + FP + FN)

Accuracy and BER are those of the SHIQ paper. IoU and F1 are not applicable where the region is empty and
nothing was predicted.
"""

import numpy as np

from data.regions import otsu_mask
from evaluation.metrics import Metric
from utils.colour import to_unit

DETECTION: dict[str, Metric] = {
    "accuracy": Metric("Acc", True, 2),
    "ber": Metric("BER", False, 2),
    "iou": Metric("IoU", True, 2),
    "f1": Metric("F1", True, 2),
}


def predicted_mask(image: np.ndarray, diffuse: np.ndarray, highlight: np.ndarray, rule: str) -> np.ndarray:
    """Where a method found highlights, bool (H, W).

    `rule` is that of `threshold` for the map `highlight` (H, W), or "specular": one Otsu pass on what was
    taken away, `image` - `diffuse` (H, W, 3), which is how SHIQ's masks were made of its specular layers.
    """
    if rule != "specular":
        return threshold(highlight, rule)
    return otsu_mask(np.clip(to_unit(image) - to_unit(diffuse), 0, 1))


def threshold(highlight: np.ndarray, rule: str) -> np.ndarray:
    """Predicted mask, bool (H, W), of a highlight map (H, W) in [0, 1] as it is stored in 8 bits.

    `rule` is a number (map >= number; 0.5 is mask >= 128) or "otsu" (one pass).
    """
    stored = np.rint(np.clip(highlight, 0, 1) * np.float32(255))
    if rule == "otsu":
        return otsu_mask((stored / 255).astype(np.float32))
    return stored >= np.ceil(float(rule) * 255 - 1e-9)


def detect(predicted: np.ndarray, ground_truth: np.ndarray) -> dict[str, float | None]:
    """Scores in percent of two bool masks (H, W); None means not applicable."""
    hit = np.count_nonzero(predicted & ground_truth)
    positive, total = np.count_nonzero(ground_truth), ground_truth.size
    false_alarm = np.count_nonzero(predicted) - hit
    missed, negative = positive - hit, total - positive
    correct = total - false_alarm - missed
    rates = [hit / positive] if positive else []
    rates += [(negative - false_alarm) / negative] if negative else []
    union = hit + false_alarm + missed
    return {
        "accuracy": 100 * correct / total,
        "ber": 100 * (1 - sum(rates) / len(rates)),
        "iou": 100 * hit / union if union else None,
        "f1": 100 * 2 * hit / (2 * hit + false_alarm + missed) if union else None,
    }
