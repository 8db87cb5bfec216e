"""The released arithmetic, against its plain statement."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models import build_model
from restoration import HighlightRemover
from restoration.methods import default_weights
from tests.restoration.fakes import Dimmer
from tests.tolerances import ONE_LEVEL
from utils.errors import UserError
from weights import load_model


def _reference(model, image):
    """Resize to a square, separate, composite there, bicubic back, times 255, clip, truncate."""
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    side = 224 if image.shape[0] < 250 else 448
    square = F.interpolate(tensor, (side, side), mode="bicubic", align_corners=True)
    with torch.no_grad():
        result = model(square)
    back = [
        F.interpolate(layer, image.shape[:2], mode="bicubic", align_corners=True)[0].permute(1, 2, 0).numpy()
        for layer in (result.diffuse, result.highlight)
    ]
    return tuple(np.clip(layer * 255, 0, 255).astype(np.uint8) for layer in back)


@pytest.mark.parametrize("size", [(249, 180), (250, 300), (7, 5)])
@pytest.mark.parametrize("name", ["dimmer", "aha-lite"])
def test_released_arithmetic(size, name):
    torch.manual_seed(0)
    # Trained weights: of random ones the layers are many, and magnify rounding.
    model = Dimmer() if name == "dimmer" else load_model(default_weights()).eval()
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    restored = HighlightRemover(model, protocol="released")(image)
    diffuse, highlight = _reference(model, image)
    assert restored.diffuse.dtype == np.uint8
    assert np.abs(restored.diffuse.astype(int) - diffuse).max() <= ONE_LEVEL
    truncated = np.clip(restored.highlight * 255, 0, 255).astype(np.uint8)
    assert np.abs(truncated.astype(int) - highlight[..., 0]).max() <= ONE_LEVEL


def test_grey_and_deep_pictures_become_8_bit_rgb():
    grey = np.random.default_rng(0).integers(0, 65536, (30, 40), dtype=np.uint16)
    remover = HighlightRemover(Dimmer(), protocol="released")
    expected = remover(np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, axis=2)).diffuse
    assert np.array_equal(remover(grey).diffuse, expected)


def test_repeatable():
    model = build_model("aha", widths=(6, 12, 24)).eval()
    image = np.random.default_rng(1).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    remover = HighlightRemover(model, protocol="released")
    assert np.array_equal(remover(image).diffuse, remover(image).diffuse)


def test_a_strength_is_refused():
    with pytest.raises(UserError, match="strength"):
        HighlightRemover(Dimmer(), protocol="released", strength=0.5)
