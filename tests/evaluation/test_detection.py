"""Accuracy, BER, IoU and F1 of hand-made masks; thresholds of highlight maps."""

import numpy as np
import pytest

from evaluation.metrics import detect
from evaluation.scoring import predicted_mask, threshold


def mask(text: str) -> np.ndarray:
    return np.array([[letter == "#" for letter in line] for line in text.split()])


@pytest.mark.parametrize(
    ("predicted", "ground_truth", "expected"),
    [
        ("#.#. .... ....", "##.. .... ....", (100 * 10 / 12, 100 * (1 - (1 / 2 + 9 / 10) / 2), 100 / 3, 50)),
        ("##. ...", "##. ...", (100, 0, 100, 100)),
        ("..# ###", "##. ...", (0, 100, 0, 0)),
        ("... ...", "#.. ...", (100 * 5 / 6, 50, 0, 0)),
        # Only the available half counts where there is nothing else.
        ("#.. ...", "... ...", (100 * 5 / 6, 100 / 6, 0, 0)),
        ("##. ...", "### ###", (100 * 2 / 6, 100 * 4 / 6, 100 * 2 / 6, 50)),
        ("... ...", "... ...", (100, 0, None, None)),
    ],
)
def test_hand_made_masks(predicted: str, ground_truth: str, expected: tuple) -> None:
    scores = detect(mask(predicted), mask(ground_truth))
    assert scores == pytest.approx(dict(zip(("accuracy", "ber", "iou", "f1"), expected, strict=True)))


def test_half_is_mask_at_least_128() -> None:
    levels = np.array([[0, 127, 128, 255]]) / 255
    assert threshold(levels, "0.5").tolist() == [[False, False, True, True]]
    assert threshold(levels + 10, "0.5").all()
    assert not threshold(-levels, "0.5").any()
    assert threshold(levels, "1").tolist() == [[False, False, False, True]]


def test_otsu_adapts_to_faint_maps() -> None:
    faint = np.zeros((20, 20))
    faint[5:9, 5:9] = 0.2
    assert not threshold(faint, "0.5").any()
    assert np.array_equal(threshold(faint, "otsu"), faint > 0)


def test_the_rule_specular_masks_what_was_taken_away() -> None:
    image = np.full((12, 12, 3), 100, np.uint8)
    diffuse = image.copy()
    image[3:6, 4:9] = 220
    nothing = np.zeros((12, 12), np.float32)
    expected = np.zeros((12, 12), bool)
    expected[3:6, 4:9] = True
    assert np.array_equal(predicted_mask(image, diffuse, nothing, "specular"), expected)
    assert not predicted_mask(diffuse, diffuse, nothing, "specular").any()
    assert not predicted_mask(image, diffuse, nothing, "0.5").any()
