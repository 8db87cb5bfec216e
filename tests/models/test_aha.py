"""The AHA networks against the authors' outputs, closed forms and odd sizes."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from models import build_discriminator, build_model, compose, prepared, refine
from models.aha import under_white_light
from models.aha_module import BilinearUpsample
from models.attention import attended, attention_scores, transfer
from models.gated_conv import GatedConv2d
from models.inference import prepare_for_inference
from models.parallel import Cores
from models.spectral_norm import SpectralNormConv2d
from tests.golden_weights import golden_entry, golden_image, golden_state
from tests.tolerances import NETWORK, SUMMED

GOLDEN = Path(__file__).parents[1] / "golden"
PROJECTION = {"attention_projection.weight": (3, 192, 3, 3), "attention_projection.bias": (192,)}
AHA_NAMES = ["aha", "aha-figure", "aha-lite", "aha-lite0"]


def released_keys(part: str) -> dict[str, list[int]]:
    return json.loads((GOLDEN / f"aha_released_{part}_keys.json").read_text())


@pytest.fixture(scope="module")
def released():
    """`aha` with golden weights."""
    model = build_model("aha").eval()
    projection = {name: torch.from_numpy(golden_entry(name, shape)) for name, shape in PROJECTION.items()}
    model.load_state_dict(golden_state(released_keys("generator")) | projection)
    return model


def count(model) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("path", ["as it is", "prepared, in parts"])
def test_parity_with_the_authors_outputs(released, path, monkeypatch):
    expected = np.load(GOLDEN / "aha_released_seed0_96.npz")
    discriminator = build_discriminator().eval()
    discriminator.load_state_dict(golden_state(released_keys("discriminator")))
    image = torch.from_numpy(golden_image(96))[None]
    with torch.inference_mode():
        if path == "as it is":
            result = released(image)
        else:
            monkeypatch.setattr(prepared, "HEAVY", 2**20)
            monkeypatch.setattr(refine, "ATTENTION_STRIP", 64)
            with Cores(2).one():
                result = prepare_for_inference(released)(image)
        scores = discriminator(torch.from_numpy(expected["composite"])[None], result.highlight)
    # In float32 (AVX-512, AMX) and in float64 they differ from the kept ones by 2e-6 at most.
    found = {
        "highlight": (result.highlight, SUMMED),
        "coarse": (result.stages["coarse"], SUMMED),
        "refined": (result.stages["refined"], NETWORK),
        # The array named composite holds (1 - A) I + A N_refined, whatever its README says.
        "composite": (result.diffuse, SUMMED),
        "discriminator": (scores, NETWORK),
    }
    for name, (value, tolerance) in found.items():
        assert np.abs(value[0].numpy() - expected[name]).max() <= tolerance, name


def test_names_and_counts_are_the_authors():
    model, discriminator = build_model("aha"), build_discriminator()
    state = model.state_dict()
    keys = released_keys("generator")
    assert set(state) == set(keys) | set(PROJECTION)
    assert all(list(state[name].shape) == shape for name, shape in keys.items())
    assert count(model) - sum(int(np.prod(shape)) for shape in PROJECTION.values()) == 34_291_583
    assert list(discriminator.state_dict()) == list(released_keys("discriminator"))
    assert count(discriminator) == 1_566_193


def test_lite_is_small():
    lite, full = build_model("aha-lite").eval(), build_model("aha").eval()
    operations = []
    for model in (lite, full):
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            model(torch.rand(1, 3, 224, 224))
        operations.append(counter.get_total_flops())
    assert count(lite) <= 4_000_000
    assert operations[0] <= operations[1] / 10


@pytest.mark.parametrize("name", AHA_NAMES)
@pytest.mark.parametrize("size", [(1, 1), (3, 70), (45, 64)])
def test_any_size_separates(name, size):
    model = build_model(name).eval()
    image = torch.rand(2, 3, *size)
    with torch.inference_mode():
        result = model(image)
    assert (result.diffuse.shape, result.highlight.shape) == (image.shape, (2, 1, *size))
    torch.testing.assert_close(result.diffuse + result.specular, image, atol=SUMMED, rtol=0)
    torch.testing.assert_close(result.diffuse, compose(image, result.highlight, result.stages["refined"]))


@pytest.mark.parametrize("name", AHA_NAMES)
def test_every_parameter_gets_a_gradient_and_copies(name):
    torch.manual_seed(0)
    model = build_model(name)
    result = model(torch.rand(2, 3, 64, 64))
    (result.diffuse.abs().mean() + result.stages["coarse_diffuse"].abs().mean()).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().any()]
    assert without == []
    copied = copy.deepcopy(model).eval()
    assert copied.state_dict().keys() == model.state_dict().keys()


def test_repeatable_without_the_projection_in_the_checkpoint():
    torch.manual_seed(1)
    first = build_model("aha").refine.attention_projection
    torch.manual_seed(2)
    second = build_model("aha").refine.attention_projection
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(first.bias, second.bias)
    assert first.weight.requires_grad


@pytest.mark.parametrize("name", AHA_NAMES)
def test_zero_map_leaves_the_image_alone(name):
    model = build_model(name).eval()
    if name == "aha-lite0":
        torch.nn.init.zeros_(model.highlight.weight)
        torch.nn.init.constant_(model.highlight.bias, -50.0)
    for scores in () if name == "aha-lite0" else (model.HFE.scores1, model.HFE.scores2, model.HFE.scores3):
        torch.nn.init.zeros_(scores.weight)
        # Zero where the map is the sum itself; far below where the sum is a logit.
        torch.nn.init.constant_(scores.bias, -50.0 if model.HFE.bounded else 0.0)
    image = torch.rand(1, 3, 40, 33)
    with torch.inference_mode():
        assert torch.equal(model(image).diffuse, image)


def test_white_light_takes_the_same_from_every_unsaturated_channel():
    colours = [[0.8, 0.6, 0.7], [1.0, 0.5, 0.7], [1.0, 1.0, 1.0], [0.2, 0.2, 0.2]]
    guesses = [[0.5, 0.5, 0.5], [0.7, 0.3, 0.3], [0.9, 0.8, 0.7], [0.3, 0.3, 0.3]]
    image, content = (torch.tensor(rows).T[None, :, :, None] for rows in (colours, guesses))
    taken = (image - under_white_light(image, content))[0, :, :, 0].T
    expected = torch.tensor([[0.2, 0.2, 0.2], [0.3, 0.3, 0.3], [0.1, 0.2, 0.3], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(taken, expected)


def test_white_light_fades_near_saturation():
    image, content = torch.full((1, 3, 1, 1), 0.9), torch.tensor([0.3, 0.5, 0.7]).view(1, 3, 1, 1)
    image[0, 2] = 0.7  # this channel is far from saturation
    hard = image - under_white_light(image, content)
    soft = image - under_white_light(image, content, shoulder=0.2)
    torch.testing.assert_close(hard, torch.full_like(hard, (0.6 + 0.4 + 0.0) / 3))
    share = (254 / 255 - 0.9) / 0.2  # of red and green; blue counts in full
    grey = (0.6 * share + 0.4 * share + 0.0) / (2 * share + 1)
    wanted = [0.6 + share * (grey - 0.6), 0.4 + share * (grey - 0.4), grey]
    torch.testing.assert_close(soft.flatten(), torch.tensor(wanted))


def test_bounded_map_reaches_zero_and_one_and_its_logits_always_learn():
    model = build_model("aha-lite")
    assert model.HFE.bounded
    logits = torch.tensor([-9.0, -2.5, 0.0, 2.5, 9.0])
    expected = torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0])
    torch.testing.assert_close(model.HFE.bound(logits), expected)
    torch.nn.init.constant_(model.HFE.scores1.bias, -50.0)  # drives the map to zero everywhere
    layers = model(torch.rand(1, 3, 64, 64))
    assert (layers.highlight == 0).all()
    assert (layers.specular == 0).all()
    loss = F.binary_cross_entropy_with_logits(layers.stages["highlight_logits"], torch.ones(1, 1, 64, 64))
    loss.backward()
    assert model.HFE.scores1.bias.grad.abs().max() > 0


def test_bilinear_upsampling_at_the_start():
    x = torch.rand(1, 3, 9, 7)
    up = BilinearUpsample(3, 4, 2)(x)
    expected = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(up[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])  # borders see zeros


def test_gated_convolution_is_its_formula():
    layer = GatedConv2d(3, 5, 3, stride=2, dilation=2)
    x = torch.randn(2, 3, 17, 12)
    expected = F.leaky_relu(layer.conv(x), 0.2) * torch.sigmoid(layer.conv_mask(x))
    torch.testing.assert_close(layer(x), expected)


def test_spectral_norm_is_torchs():
    torch.manual_seed(0)
    ours = SpectralNormConv2d(3, 6, 3, padding=1)
    theirs = torch.nn.utils.spectral_norm(torch.nn.Conv2d(3, 6, 3, padding=1))
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(1, 3, 8, 8)
    for _ in range(3):
        torch.testing.assert_close(ours(x), theirs(x))
    ours.eval(), theirs.eval()
    before = ours.weight_u.clone()
    torch.testing.assert_close(ours(x), theirs(x))
    assert torch.equal(before, ours.weight_u)


def test_attention_against_loops():
    """The definition, written with loops over cells, groups and pixels."""
    torch.manual_seed(0)
    n_h, n_w, k = 2, 3, 4
    n = n_h * n_w
    p, t, f = torch.rand(1, 3, n_h, n_w), torch.randn(1, 3 * k, n_h, n_w), torch.randn(1, 3 * k, n_h, n_w)
    found = attention_scores(p, t, f)
    for g in range(3):
        cells = slice(g * k, (g + 1) * k)
        fh, fn = (t * f)[0, cells].reshape(k, n), ((1 - t) * f)[0, cells].reshape(k, n)
        m = p[0, g].reshape(n)
        for index, weight in ((g, m), (g + 3, 1 - m)):
            scores = torch.zeros(n, n)
            for i in range(n):
                for j in range(n):
                    scores[i, j] = F.cosine_similarity(fh[:, i], fn[:, j], dim=0) * weight[i] * weight[j]
            expected = torch.softmax(scores, dim=0) * torch.outer(weight, weight)
            torch.testing.assert_close(found[0, index], expected)

    r = 2
    x, attention = torch.randn(1, 3, r * n_h, r * n_w), torch.randn(1, 3, n, n)
    expected = torch.zeros_like(x)
    for g in range(3):
        for p1 in range(r):
            for p2 in range(r):
                cells = [(a, b) for a in range(n_h) for b in range(n_w)]
                mixed = attention[0, g] @ torch.stack([x[0, g, p1 * n_h + a, p2 * n_w + b] for a, b in cells])
                for (a, b), value in zip(cells, mixed, strict=True):
                    expected[0, g, a * r + p1, b * r + p2] = value
    torch.testing.assert_close(transfer(x, attention), expected)


def test_empty_cells_give_no_nan(released):
    """A black picture has empty cells; the released code would divide 0 by 0."""
    scores = attention_scores(torch.zeros(1, 3, 2, 2), torch.zeros(1, 6, 2, 2), torch.zeros(1, 6, 2, 2))
    assert torch.isfinite(scores).all()
    with torch.inference_mode():
        assert torch.isfinite(released(torch.zeros(1, 3, 32, 32)).diffuse).all()


def test_builder_refuses_unknown_names():
    with pytest.raises(ValueError, match="aha-lite"):
        build_model("unknown")
    with pytest.raises(ValueError, match="widths"):
        build_model("aha-lite", width=3)
    with pytest.raises(ValueError, match="multiples of 3"):
        build_model("aha", widths=(8, 16, 48))  # the attention's three groups of channels


def test_residual_pairs_start_near_their_input():
    torch.manual_seed(0)
    network = build_model("aha-lite", widths=(8, 16, 48))
    x = torch.randn(2, 48, 16, 16)
    with torch.no_grad():
        for middle in (network.coarse.coarse2, network.refine.middle):
            assert len(middle) == 4
            assert 0.9 * x.std() < middle(x).std() < 2 * x.std()
            for pair in middle:
                assert torch.allclose(pair(x) - x, pair[1](pair[0](x)), atol=SUMMED)
    plain = build_model("aha-lite", residual=False)
    assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in network.parameters())


def test_the_lite_network_starts_with_its_signal_alive():
    torch.manual_seed(0)
    network = build_model("aha-lite")
    deepest = network.refine.middle[-1]
    seen = []
    deepest.register_forward_hook(lambda _module, _input, output: seen.append(output.std().item()))
    network(torch.rand(2, 3, 64, 64))
    assert seen[0] > 0.02  # PyTorch's own draw: 0.0004


# ---- attention in strips is attention, with less memory


class LargestTensor(TorchDispatchMode):
    """Remembers the number of elements of the largest tensor that any operation gives."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.elements = max([self.elements, *(tensor.numel() for tensor in tensors)])
        return result


def inputs(n_h=6, n_w=10, k=4):
    torch.manual_seed(0)
    strength = torch.rand(2, 3, n_h, n_w)
    projected, features = torch.randn(2, 3 * k, n_h, n_w), torch.randn(2, 3 * k, n_h, n_w)
    values = (torch.randn(2, 6, 4 * n_h, 4 * n_w), torch.randn(2, 12, 2 * n_h, 2 * n_w))
    return strength, projected, features, GatedConv2d(6, 3).eval(), values


@pytest.mark.parametrize("strip", [1, 7, 16, 59, 60])
@torch.inference_mode()
def test_strips_of_any_width_give_the_same(strip):
    whole = attended(*inputs())
    for found, wanted in zip(attended(*inputs(), strip=strip), whole, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=SUMMED)


@torch.inference_mode()
def test_strips_hold_a_part_of_the_maps():
    strength, projected, features, merge, values = inputs(16, 16)
    with LargestTensor() as whole:
        attended(strength, projected, features, merge, values)
    with LargestTensor() as strips:
        attended(strength, projected, features, merge, values, strip=16)
    assert whole.elements == 2 * 6 * 256**2
    assert strips.elements <= whole.elements / 12


def test_the_network_takes_strips_without_gradients_only(monkeypatch):
    monkeypatch.setattr(refine, "ATTENTION_STRIP", 8)
    torch.manual_seed(0)
    model = build_model("aha", widths=(6, 6, 12)).eval()
    image = torch.rand(1, 3, 64, 96)
    with_gradients = model(image)
    with torch.inference_mode():
        result = model(image)
    scale = with_gradients.highlight.abs().max().clamp_min(1).item()
    torch.testing.assert_close(result.diffuse, with_gradients.diffuse.detach(), rtol=0, atol=SUMMED * scale)
    with_gradients.diffuse.mean().backward()
    assert model.refine.attention_projection.weight.grad.abs().any()


# ---- maps, colours and their composition stay in fp32 where the networks compute in bf16


SMALL = {"widths": (6, 6, 12), "dilations": (2, 2, 2, 2)}
NETWORKS = {
    "aha": {},
    "aha-figure": {"trunk": "small", "trunk_channels": (4, 8, 8), "bounded": True},
    "aha-lite": {"trunk_channels": (4, 8, 8), "achromatic": False},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_maps_colours_and_composition_stay_in_fp32(name: str) -> None:
    torch.manual_seed(0)
    network = build_model(name, **SMALL, **NETWORKS[name])
    image = torch.rand(2, 3, 64, 64)
    image[:, :, :16] = 1  # clipped white, of which bf16 composition took 0.0009
    with torch.autocast("cpu", torch.bfloat16):
        result = network(image)
        (result.diffuse.square().mean() + result.highlight.mean()).backward()
    highlight, content = result.highlight, result.stages["refined"]
    for map_or_colour in (highlight, result.stages["highlight_logits"], content, result.diffuse):
        assert map_or_colour.dtype == torch.float32
        rounded = map_or_colour.bfloat16().float()
        assert not torch.equal(rounded, map_or_colour)  # more digits than bf16 has
    assert torch.equal(result.diffuse, compose(image, highlight, content))
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
