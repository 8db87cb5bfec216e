"""Grey share of the chroma error and what is left of a highlight, worked out by hand."""

import numpy as np
import pytest
from skimage.color import rgb2lab

from evaluation.metrics import highlight_measures, score
from utils.colour import srgb_encode

RED = np.array([0.6, 0.2, 0.2])


def scene() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """A red surface with a square highlight of 0.3, in its middle clipped by 0.2 more: image, ground truth,
    regions."""
    ground_truth = np.broadcast_to(RED, (24, 24, 3)).copy()
    highlight, clipped = (np.zeros((24, 24), bool) for _ in range(2))
    highlight[8:16, 8:16], clipped[10:14, 10:14] = True, True
    image = ground_truth + 0.3 * highlight[..., None] + 0.2 * clipped[..., None]
    return image, ground_truth, {"highlight": highlight, "clipped": clipped}


def test_the_input_has_all_of_the_highlight_left_and_is_grey() -> None:
    image, ground_truth, regions = scene()
    values = highlight_measures(image, image, ground_truth, regions)
    everything = dict.fromkeys(
        ("greyer.highlight", "greyer.clipped", "residual.highlight", "residual.clipped"), 100
    )
    assert values == pytest.approx(everything | {"contour.clipped": 0})


def test_the_ground_truth_has_nothing_left_and_no_error_to_share() -> None:
    image, ground_truth, regions = scene()
    values = highlight_measures(image, ground_truth, ground_truth, regions)
    assert values["residual.highlight"] == values["residual.clipped"] == 0
    assert values["greyer.highlight"] is values["greyer.clipped"] is None


@pytest.mark.parametrize("left", [0.25, -0.5])
def test_what_is_left_is_signed(left: float) -> None:
    image, ground_truth, regions = scene()
    result = ground_truth + left * (image - ground_truth)
    values = highlight_measures(image, result, ground_truth, regions)
    assert values["residual.highlight"] == pytest.approx(100 * left)
    assert values["residual.clipped"] == pytest.approx(100 * left)


def test_what_is_left_weighs_pixels_by_their_highlight() -> None:
    image, ground_truth, regions = scene()
    result = np.where(regions["clipped"][..., None], image, ground_truth)  # 16 pixels of 0.5, 48 gone
    values = highlight_measures(image, result, ground_truth, regions)
    assert values["residual.clipped"] == pytest.approx(100)
    assert values["residual.highlight"] == pytest.approx(100 * 16 * 0.5**2 / (16 * 0.5**2 + 48 * 0.3**2))


def test_only_the_grey_part_of_the_chroma_error_is_the_grey_share() -> None:
    image, ground_truth, regions = scene()
    result = ground_truth.copy()
    grey, vivid = np.array([0.4, 0.3, 0.3]), np.array([0.9, 0.1, 0.1])
    result[8:16, 8:12], result[8:16, 12:16] = grey, vivid
    target = rgb2lab(RED)[1:]
    errors = [np.linalg.norm(rgb2lab(colour)[1:] - target) for colour in (grey, vivid)]
    values = highlight_measures(image, result, ground_truth, regions)
    assert values["greyer.highlight"] == pytest.approx(100 * errors[0] / sum(errors))
    chroma = score(result, ground_truth, regions, ("chroma_error",))
    assert chroma["chroma_error.highlight"] == pytest.approx(sum(errors) / 2)


def test_the_surroundings_are_those_nearby() -> None:
    image, ground_truth, regions = scene()
    ground_truth[:, :4] = 0.5  # grey, but farther away than the red ring
    image[:, :4] = 0.5
    result = np.where(regions["highlight"][..., None], [0.4, 0.3, 0.3], ground_truth)
    assert highlight_measures(image, result, ground_truth, regions)["greyer.highlight"] == pytest.approx(100)


def test_nothing_to_measure() -> None:
    image, ground_truth, regions = scene()
    empty = {name: np.zeros_like(mask) for name, mask in regions.items()}
    assert set(highlight_measures(image, image, ground_truth, empty).values()) == {None}
    everywhere = {"highlight": np.ones((24, 24), bool), "clipped": regions["clipped"]}
    values = highlight_measures(image, image, ground_truth, everywhere)
    assert values["greyer.highlight"] is None
    assert values["residual.highlight"] == pytest.approx(100)


def test_integers_and_linear_values() -> None:
    image, ground_truth, regions = scene()
    stored = [np.rint(x * 65535).astype(np.uint16) for x in (image, 0.8 * image, ground_truth)]
    values = [x / 65535 for x in stored]
    assert highlight_measures(*stored, regions) == pytest.approx(highlight_measures(*values, regions))
    encoded = highlight_measures(*values, regions, ("greyer",), display=srgb_encode)
    assert encoded == pytest.approx(
        highlight_measures(*map(srgb_encode, values), regions, ("greyer",)),
        abs=0.5,  # the surroundings' mean before or after the encoding
    )


def test_a_contour_is_what_the_removed_layer_steps_beyond_the_picture() -> None:
    image, ground_truth, regions = scene()
    # The ground truth removes exactly the steps of the picture: 0.2 at the border of what is clipped.
    assert highlight_measures(image, ground_truth, ground_truth, regions, ("contour",)) == {
        "contour.clipped": pytest.approx(100)
    }
    result = ground_truth - 0.1 * regions["clipped"][..., None]  # 0.1 too much: a line
    assert highlight_measures(image, result, ground_truth, regions, ("contour",)) == {
        "contour.clipped": pytest.approx(150)
    }
    nothing = {"highlight": regions["highlight"], "clipped": np.zeros((24, 24), bool)}
    assert highlight_measures(image, result, ground_truth, nothing, ("contour",)) == {"contour.clipped": None}
