"""Each loss against a closed form or a reference library."""

import math

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from skimage.metrics import structural_similarity

from losses.adversarial import discriminator_hinge, generator_corrected, generator_released
from losses.content import beneath, content, log_error, squared_error, untouched_pixels
from losses.dichromatic import (
    achromaticity,
    highlight_chroma,
    map_cross_entropy,
    map_overlap,
    map_supervision,
    specular_supervision,
)
from losses.perceptual import PerceptualLoss
from losses.ssim import ssim, ssim_per_image
from tests.tolerances import DOUBLE
from utils.errors import UserError


@pytest.fixture(autouse=True)
def _double_precision():
    """Means of hundreds of values differ by 1e-15 then, whatever the order of their sums."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def _images(seed, *shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_content_is_the_sum_of_two_mean_absolute_differences():
    truth = torch.full((2, 3, 4, 5), 0.5)
    assert content(truth + 0.1, truth - 0.3, truth).item() == pytest.approx(0.4)
    assert squared_error(truth + 0.1, truth - 0.3, truth).item() == pytest.approx(0.1)


def test_what_lies_beneath_counts_in_the_highlight_alone():
    target, mask = torch.rand(2, 3, 8, 8), torch.zeros(2, 1, 8, 8)
    mask[0, :, :4] = 1.0  # 32 pixels; the second picture has no highlight
    coarse, refined = target + 0.2 * mask, target - 0.1 * mask
    elsewhere = 5 * (1 - mask)
    found = beneath(coarse + elsewhere, refined + elsewhere, target, mask)
    assert float(found) == pytest.approx((0.2 + 0.1) / 2)
    few = torch.zeros(1, 1, 8, 8)
    few[..., 0, :4] = 1.0  # 4 pixels: a quarter of their error
    assert float(beneath(target[:1] + 1, target[:1], target[:1], few)) == pytest.approx(0.25)


def test_log_error_is_a_mean_over_pictures_of_their_logarithms():
    truth = torch.full((2, 3, 4, 4), 0.5)
    error = torch.tensor([0.1, 0.01]).view(2, 1, 1, 1)
    wanted = (math.log10(1e-2 + 1e-3) + math.log10(1e-4 + 1e-3)) / 2 + math.log10(1e-3)
    assert log_error(truth + error, truth, truth, floor=1e-3).item() == pytest.approx(wanted)


def test_log_error_of_the_untouched_pixels_sees_no_others():
    truth, specular = torch.full((2, 3, 4, 4), 0.5), torch.zeros(2, 3, 4, 4)
    specular[0, 2, 0] = 0.2  # one channel is enough
    specular[1] = 0.1
    estimate = truth + 0.1 * (specular > 0).amax(1, keepdim=True)
    estimate[0, :, 1:] += 0.01
    where = untouched_pixels(specular)
    assert (where.shape, where.sum(dim=(1, 2, 3)).tolist()) == ((2, 1, 4, 4), [12, 0])
    # The second picture has no such pixel: no error.
    wanted = (math.log10(1e-4 + 1e-5) + math.log10(1e-5)) / 2 + math.log10(1e-5)
    assert log_error(estimate, truth, truth, 1e-5, where).item() == pytest.approx(wanted)


def test_ssim_of_constant_images_is_the_luminance_term_away_from_the_border():
    x, y = torch.full((1, 3, 31, 31), 0.6), torch.full((1, 3, 31, 31), 0.2)
    luminance = (2 * 0.6 * 0.2 + 1e-4) / (0.6**2 + 0.2**2 + 1e-4)
    inside = _map(x, y)[..., 5:-5, 5:-5]
    assert torch.allclose(inside, torch.full_like(inside, luminance))


def _map(x, y):
    """SSIM before its mean, written out with the full window."""
    offsets = torch.arange(11) - 5.0
    line = torch.exp(-(offsets**2) / (2 * 1.5**2))
    window = torch.outer(line, line)
    window = (window / window.sum()).expand(3, 1, 11, 11)

    def blur(z):
        return torch.nn.functional.conv2d(z, window, padding=5, groups=3)

    mx, my = blur(x), blur(y)
    sxx, syy, sxy = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    c1, c2 = 1e-4, 9e-4
    return (2 * mx * my + c1) * (2 * sxy + c2) / ((mx**2 + my**2 + c1) * (sxx + syy + c2))


def test_ssim_equals_the_formula_with_the_full_window():
    x, y = _images(0, 2, 3, 24, 33), _images(1, 2, 3, 24, 33)
    assert torch.allclose(ssim_per_image(x, y), _map(x, y).mean(dim=(1, 2, 3)))
    assert ssim(x, y).item() == pytest.approx(_map(x, y).mean().item())
    assert ssim(x, x).item() == pytest.approx(1)


def test_ssim_away_from_the_border_equals_scikit_image():
    x, y = _images(2, 1, 3, 40, 40), _images(3, 1, 3, 40, 40)
    y = 0.7 * x + 0.3 * y
    inside = _map(x, y)[..., 5:-5, 5:-5]
    a, b = (z[0].permute(1, 2, 0).numpy() for z in (x, y))
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    _, reference = structural_similarity(a, b, data_range=1, channel_axis=2, full=True, **gaussian)
    assert np.allclose(inside[0].permute(1, 2, 0).numpy(), reference[5:-5, 5:-5])


def test_ssim_has_a_gradient_that_points_uphill():
    x, y = _images(4, 1, 3, 20, 20).requires_grad_(), _images(5, 1, 3, 20, 20)
    before = ssim(x, y)
    before.backward()
    with torch.no_grad():
        assert ssim(x + 0.5 * x.grad / x.grad.norm(), y) > before


def test_adversarial_terms():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.25])
    assert discriminator_hinge(real, fake).item() == pytest.approx((0 + 0.5) / 2 + (0 + 1.25) / 2)
    assert generator_corrected(fake).item() == pytest.approx(2.75 / 2)
    assert generator_released(fake).item() == pytest.approx(2.75 / 2)
    assert generator_released(-fake).item() == pytest.approx(2.75 / 2)
    assert generator_corrected(-fake).item() == pytest.approx(-2.75 / 2)


def test_dichromatic_terms():
    specular = torch.zeros(1, 3, 1, 4)
    specular[0, :, 0, 0] = 0.3  # grey
    specular[0, 0, 0, 1] = 0.3  # red: mean 0.1, deviations 0.2, 0.1, 0.1
    specular[0, 0, 0, 2] = 0.9  # red, but the image is saturated there
    image = torch.full((1, 3, 1, 4), 0.5)
    image[0, 1, 0, 2] = 1.0
    assert achromaticity(specular, image).item() == pytest.approx((0.4 / 3) / 4)
    assert specular_supervision(specular, torch.zeros_like(specular)).item() == pytest.approx(2.1 / 12)
    mask = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
    wanted = (25 * 0.75 + 0.25) / 2
    assert map_supervision(torch.full((1, 1, 1, 2), 0.25), mask).item() == pytest.approx(wanted)


def test_perceptual_is_the_distance_of_vgg_activations(tmp_path):
    torch.manual_seed(0)
    vgg = torchvision.models.vgg16(weights=None, init_weights=False)
    kept = {f"features.{name}": value for name, value in vgg.features[:15].state_dict().items()}
    save_file(kept, tmp_path / "vgg.safetensors")
    loss = PerceptualLoss(str(tmp_path / "vgg.safetensors"))
    x, y = _images(6, 1, 3, 32, 40).requires_grad_(), _images(7, 1, 3, 32, 40)

    def activations(image):
        normalise = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        image = torchvision.transforms.functional.resize(normalise(image), [224, 224], antialias=False)
        for layer in list(vgg.features)[:14]:
            image = layer(image)
        return vgg.features[14](image)  # conv3_3, not yet rectified

    value = loss(x, y)
    expected = (activations(x) - activations(y)).abs().mean()
    assert (value.item(), loss(y, y).item()) == (pytest.approx(expected.item()), 0)
    value.backward()
    assert x.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in loss.parameters())
    assert isinstance(vgg.features[14], torch.nn.Conv2d)


def test_perceptual_weights_are_never_random_unasked(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(UserError, match=r"models/vgg16-.*`imagenet=false`"):
        PerceptualLoss("imagenet")
    with pytest.raises(UserError, match=r"missing.pth.*set `perceptual_weights` to a file"):
        PerceptualLoss("missing.pth")
    (tmp_path / "vgg.pth").write_bytes(b"not weights")
    with pytest.raises(UserError, match=r"vgg.pth .*not a whole.*perceptual_weights|vgg.pth refused"):
        PerceptualLoss(str(tmp_path / "vgg.pth"))


def test_terms_average_over_shards_to_that_of_the_joint_batch():
    """Several processes average their losses: the mean of two halves must be that of the whole."""
    a, b, image = _images(8, 4, 3, 24, 24), _images(9, 4, 3, 24, 24), _images(10, 4, 3, 24, 24)
    image[0] = 1.0  # all saturated: a mask that differs between the halves
    for term in (ssim, specular_supervision):
        halves = (term(a[:2], b[:2]) + term(a[2:], b[2:])) / 2
        assert term(a, b).item() == pytest.approx(halves.item())
    halves = (achromaticity(a[:2] - b[:2], image[:2]) + achromaticity(a[2:] - b[2:], image[2:])) / 2
    assert achromaticity(a - b, image).item() == pytest.approx(halves.item())


def test_map_overlap_is_the_jaccard_index_of_each_sample():
    mask = torch.zeros(3, 1, 4, 4)
    mask[0, :, :2], mask[1, :, 0, :2] = 1, 1
    highlight = torch.zeros(3, 1, 4, 4)
    highlight[0, :, 1:3], highlight[1, :, 0, 0], highlight[2] = 1, 0.5, 0.7
    # 4 of 12 pixels in common; 0.5 of 2; the third has no highlight.
    expected = ((1 - 4 / 12) + (1 - 0.5 / 2) + 0) / 3
    assert map_overlap(highlight, mask).item() == pytest.approx(expected)
    assert map_overlap(mask, mask).item() == pytest.approx(0, abs=DOUBLE)


def test_map_cross_entropy_is_its_formula():
    logits = torch.tensor([0.0, 1.0, -2.0]).view(1, 1, 1, 3)
    mask = torch.tensor([1.0, 0.0, 0.0]).view(1, 1, 1, 3)
    terms = [2 * math.log(2), math.log1p(math.e), math.log1p(math.exp(-2))]
    assert map_cross_entropy(logits, mask).item() == pytest.approx(sum(terms) / 3)


def test_chroma_of_highlights_ignores_lightness_and_all_that_lies_outside():
    diffuse = torch.rand(2, 3, 8, 8)
    mask = torch.zeros(2, 1, 8, 8)
    mask[:, :, :4] = 1
    assert highlight_chroma(diffuse + 0.1, diffuse, mask).item() == pytest.approx(0, abs=DOUBLE)
    shifted = diffuse + torch.tensor([0.3, 0.0, -0.3]).view(1, 3, 1, 1)
    assert highlight_chroma(shifted, diffuse, mask).item() == pytest.approx(0.2)
    shifted[:, :, :4] = diffuse[:, :, :4]
    assert highlight_chroma(shifted, diffuse, mask).item() == 0
    assert highlight_chroma(diffuse, diffuse, torch.zeros_like(mask)).item() == 0
