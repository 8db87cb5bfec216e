"""Muon around torch's own; the table of optimisers."""

import copy

import pytest
import torch
from torch import nn

from recipes.optimisers import Muon, build_optimiser
from recipes.presets import resolve
from training.options import TrainOptions


def _network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1))


def _learn(network, optimiser, steps, first=0):
    for step in range(first, first + steps):
        generator = torch.Generator().manual_seed(step)
        network(torch.rand(2, 3, 12, 12, generator=generator)).square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()


def test_a_first_step_is_the_orthogonal_factor_of_the_gradient():
    generator = torch.Generator().manual_seed(3)
    weight = nn.Parameter(torch.zeros(6, 2, 3, 3))
    weight.grad = torch.randn(6, 2, 3, 3, generator=generator)
    u, _, v = torch.linalg.svd(weight.grad.flatten(1), full_matrices=False)
    Muon([weight], 0.1).step()
    step = weight.detach().flatten(1) / (-0.1 * 0.2 * 18**0.5)
    # Muon's five iterations bring singular values to 0.68 to 1.13 by design; bf16 rounds them by 0.02.
    torch.testing.assert_close(torch.linalg.svdvals(step), torch.ones(6), rtol=0, atol=0.35)
    # In the gradient's own singular directions: nothing off the diagonal but five roundings to bf16 (4e-3).
    turned = u.T @ step @ v.T
    assert (turned - turned.diag().diag()).abs().max() < 0.05


def test_matrices_go_as_in_torchs_muon_and_the_rest_as_in_its_adamw():
    ours, theirs = _network(), _network()
    convolutions = [p for p in theirs.parameters() if p.ndim > 1]
    matrices = [nn.Parameter(p.detach().flatten(1).clone()) for p in convolutions]
    muon = torch.optim.Muon(matrices, 0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW([p for p in theirs.parameters() if p.ndim < 2], 0.01, weight_decay=0.1)
    _learn(ours, Muon(ours.parameters(), 0.01, weight_decay=0.1), 4)
    for step in range(4):
        generator = torch.Generator().manual_seed(step)
        theirs(torch.rand(2, 3, 12, 12, generator=generator)).square().mean().backward()
        for matrix, weight in zip(matrices, convolutions, strict=True):
            matrix.grad = weight.grad.flatten(1)
        muon.step()
        adamw.step()
        theirs.zero_grad()
        with torch.no_grad():
            for matrix, weight in zip(matrices, convolutions, strict=True):
                weight.copy_(matrix.view(weight.shape))
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


def test_goes_on_bit_for_bit_from_its_state():
    whole = _network()
    optimiser = Muon(whole.parameters(), 0.01)
    _learn(whole, optimiser, 3)
    part = copy.deepcopy(whole)
    resumed = Muon(part.parameters(), 0.01)
    resumed.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    _learn(whole, optimiser, 2, first=3)
    _learn(part, resumed, 2, first=3)
    for a, b in zip(whole.parameters(), part.parameters(), strict=True):
        assert torch.equal(a, b)


def test_weights_may_be_laid_out_anew_after_the_optimiser_was_made():
    plain, moved = _network(), _network()
    optimiser = Muon(moved.parameters(), 0.01)
    moved.to(memory_format=torch.channels_last)
    _learn(plain, Muon(plain.parameters(), 0.01), 3)
    _learn(moved, optimiser, 3)
    # Not the biases before a batch norm: their gradient is rounding, and AdamW scales it up. Muon computes in
    # bf16: each of the three steps, of 0.2 * 0.01 a weight, may differ by a share of itself.
    for layer in (0, 3):
        torch.testing.assert_close(moved[layer].weight, plain[layer].weight, rtol=0, atol=2e-3)
    assert not torch.allclose(moved[0].weight, _network()[0].weight, atol=1e-2)  # they did move


def test_rates_are_those_of_the_groups():
    network = _network()
    before = copy.deepcopy(network.state_dict())
    optimiser = Muon(network.parameters(), 0.01)
    for group in optimiser.param_groups:
        group["lr"] = 0.0
    _learn(network, optimiser, 1)
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, before[name])


def test_without_a_matrix_it_refuses():
    with pytest.raises(ValueError, match="two dimensions"):
        Muon([nn.Parameter(torch.zeros(3))], 0.1)


@pytest.mark.parametrize(
    ("model", "chosen", "kind"),
    [
        ("aha-lite", None, torch.optim.AdamW),
        ("tshrnet", None, torch.optim.Adam),
        ("aha-lite", "muon", Muon),
        ("tshrnet", "muon", Muon),
    ],
)
def test_the_recipes_choose(model, chosen, kind):
    options = resolve(TrainOptions(model=model, optimizer=chosen))
    assert type(build_optimiser(_network().parameters(), 1e-3, options)) is kind


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_trunk_learns_at_its_own_rate_and_goes_on_from_a_checkpoint(name):
    options = resolve(TrainOptions(optimizer=name, lr_g=1e-2, lr_trunk=1e-3))

    def parts(network):
        return build_optimiser(network[3].parameters(), options.lr_g, options, network[:3].parameters())

    network = _network()
    optimiser = parts(network)
    rates = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    assert {rates[id(p)] for p in network[:3].parameters()} == {1e-3}
    assert {rates[id(p)] for p in network[3].parameters()} == {1e-2}
    _learn(network, optimiser, 3)
    other = copy.deepcopy(network)
    resumed = parts(other)
    resumed.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    _learn(network, optimiser, 2, first=3)
    _learn(other, resumed, 2, first=3)
    for a, b in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
