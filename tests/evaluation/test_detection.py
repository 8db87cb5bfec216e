"""Accuracy, BER, IoU and F1 of hand-made masks; thresholds of highlight maps."""

import numpy as np
import pytest

from evaluation.metrics import detect
from evaluation.scoring import predicted_mask, threshold


def mask(text: str) -> np.ndarray:
    return np.array([[letter == "#" for letter in line] for line in text.split()])


def test_hand_made_case() -> None:
    ground_truth, predicted = mask("##.. .... ...."), mask("#.#. .... ....")
    scores = detect(predicted, ground_truth)  # TP 1, FN 1, FP 1, TN 9
    assert scores["accuracy"] == pytest.approx(100 * 10 / 12)
    assert scores["ber"] == pytest.approx(100 * (1 - (1 / 2 + 9 / 10) / 2))
    assert scores["iou"] == pytest.approx(100 / 3)
    assert scores["f1"] == pytest.approx(50)


def test_perfect_and_inverted() -> None:
    ground_truth = mask("##. ...")
    assert detect(ground_truth, ground_truth) == {"accuracy": 100, "ber": 0, "iou": 100, "f1": 100}
    assert detect(~ground_truth, ground_truth) == {"accuracy": 0, "ber": 100, "iou": 0, "f1": 0}


def test_only_the_available_half_counts() -> None:
    nothing, everything = mask("... ..."), mask("### ###")
    assert detect(mask("#.. ..."), nothing)["ber"] == pytest.approx(100 / 6)
    assert detect(mask("##. ..."), everything)["ber"] == pytest.approx(100 * 4 / 6)
    empty = detect(nothing, nothing)
    assert empty["accuracy"] == 100
    assert empty["ber"] == 0
    assert empty["iou"] is empty["f1"] is None


def test_predicting_nothing_has_half_the_error() -> None:
    assert detect(mask("... ..."), mask("#.. ..."))["ber"] == pytest.approx(50)


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
