"""Three steps of `--recipe released` in double precision: as a loop written out here, and as kept values.

The loop follows the authors' code: forward of G; D on the estimate, then on the ground truth; D's step; L_gan
by the new D; G's step. `python -m tests.training.test_released_steps` writes the kept values anew, from it.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models import build_discriminator, build_model
from recipes.presets import resolve
from tests.golden_weights import golden_image, golden_state
from training.build import build_run
from training.distributed import Distributed
from training.loop import DRAWS_OF_STEPS, TrainingLoop
from utils import seeds
from utils.signals import StopSignals
from weights.backbones import vgg16_features

KEPT = Path(__file__).parents[1] / "golden" / "released_steps_64.npz"
SIDE, STEPS, SEED = 64, 3, 5
SMALL = {"widths": (6, 6, 12), "dilations": (2, 2, 2, 2)}
# Relative, in double precision. AdamW's steps are lr * g / (|g| + 1e-8): where a gradient is nearly zero, its
# rounding of 1e-16 is 1e-8 of a step of 1e-4, and later steps answer to that.
TOLERANCE = 1e-6


def _batch(step):
    image = np.stack([golden_image(SIDE, seed=10 * step + i) for i in range(2)])
    diffuse = np.minimum(image, np.quantile(image, 0.8, axis=(2, 3), keepdims=True))
    layers = {"input": image, "diffuse": diffuse}
    return {name: torch.from_numpy(layer).double() for name, layer in layers.items()}


def _fill(network):
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    # The small network's signal, at the gain of the large one, would leave the range of its Tanh.
    network.load_state_dict(golden_state(shapes, conv_gain=4.0))
    return network.double().train()


def plain_steps():
    """The authors' steps, without a line of ours but the networks'."""
    model, critic = _fill(build_model("aha", **SMALL)), _fill(build_discriminator())
    features = _fill(vgg16_features("random")).requires_grad_(False).eval()
    g = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.002)
    d = torch.optim.AdamW(critic.parameters(), lr=1e-4, weight_decay=0.002)
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(1, 3, 1, 1)
    # Never trained, and drawn anew at every forward.
    redrawn = model.refine.attention_projection
    trained = [p for p in model.parameters() if all(p is not q for q in redrawn.parameters())]
    g.param_groups[0]["params"] = trained
    history = []
    for step in range(STEPS):
        batch = _batch(step)
        image, truth = batch["input"], batch["diffuse"]
        seeds.seed_torch(SEED, DRAWS_OF_STEPS, step)
        with torch.no_grad():
            redrawn.reset_parameters()
        result = model(image)
        coarse, refined, a = result.stages["coarse_diffuse"], result.diffuse, result.highlight

        fake = critic(refined.detach(), a.detach())
        real = critic(truth, a.detach())
        loss_d = F.relu(1 - real).mean() + F.relu(1 + fake).mean()
        d.zero_grad()
        loss_d.backward()
        d.step()

        perceptual = F.l1_loss(features((refined - mean) / std), features((truth - mean) / std))
        gan = critic(refined.detach(), a).mean().abs()
        content = (coarse - truth).abs().mean() + (refined - truth).abs().mean()
        similarity = _ssim(coarse, truth)
        loss_g = 10 * content + perceptual + 0.1 * (1 - similarity) + gan
        g.zero_grad()
        loss_g.backward()
        g.step()
        history.append([loss_d.item(), loss_g.item(), content.item(), perceptual.item(), gan.item()])
    return np.array(history), {"model": model, "discriminator": critic}


def _ssim(x, y):
    offsets = torch.arange(11, dtype=torch.float64) - 5
    line = torch.exp(-(offsets**2) / (2 * 1.5**2))
    window = torch.outer(line, line)
    window = (window / window.sum()).expand(3, 1, 11, 11)

    def blur(z):
        return F.conv2d(z, window, padding=5, groups=3)

    mx, my = blur(x), blur(y)
    sxx, syy, sxy = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * mx * my + c1) * (2 * sxy + c2) / ((mx**2 + my**2 + c1) * (sxx + syy + c2))).mean()


def _summary(networks):
    """A few numbers that depend on every weight: of each entry its sum against fixed random numbers."""
    return {
        name: np.array([
            float((value.double().flatten() * _directions(entry, value.numel())).sum())
            for entry, value in sorted(network.state_dict().items())
            if value.is_floating_point() and "attention_projection" not in entry
        ])
        for name, network in networks.items()
    }  # fmt: skip


def _directions(entry, count):
    generator = torch.Generator().manual_seed(len(entry))
    return torch.randn(count, generator=generator, dtype=torch.float64) / count**0.5


def our_steps(tiny, monkeypatch):
    """The same steps by the training loop."""
    monkeypatch.setattr("losses.perceptual.SIDE", SIDE)  # the pictures' own: nothing is resized
    options = tiny(
        model="aha",
        recipe="released",
        hyperparameters=["widths=[6,6,12]", "dilations=[2,2,2,2]"],
        backbone_weights="none",
        perceptual_weights="random",
        lambda_gan=1.0,
        lambda_perceptual=1.0,
        lr_g=1e-4,
        size=SIDE,
        seed=SEED,
        max_steps=STEPS,
    )
    run = build_run(resolve(options), Distributed("cpu"))
    networks = {name: network.bare for name, network in run.recipe.networks.items()}
    perceptual = run.recipe.frozen["perceptual"].bare
    for network in (*networks.values(), perceptual.features):
        _fill(network)
    perceptual.double().eval()
    loop = TrainingLoop(run, StopSignals())
    history = []
    for step in range(STEPS):
        loop.step([_batch(step) | {"name": ["a", "b"]}])
        loop.losses.read()
        terms = {name: float(total) for name, (total, _) in run.progress.window.items()}
        run.progress.window = {}
        history.append([terms[name] for name in ("discriminator", "loss", "content", "perceptual", "gan")])
    return np.array(history), networks


@pytest.mark.slow
def test_released_steps_are_the_authors(tiny, monkeypatch):
    history, networks = our_steps(tiny, monkeypatch)
    expected, theirs = plain_steps()
    np.testing.assert_allclose(history, expected, rtol=TOLERANCE)
    for name, network in networks.items():
        for entry, value in network.state_dict().items():
            other = theirs[name].state_dict()[entry]
            scale = max(float(other.double().abs().max()), 1e-12)
            assert float((value.double() - other.double()).abs().max()) <= TOLERANCE * scale, (name, entry)
    kept = np.load(KEPT)
    np.testing.assert_allclose(history, kept["history"], rtol=TOLERANCE)
    for name, values in _summary(networks).items():
        np.testing.assert_allclose(values, kept[name], rtol=TOLERANCE, atol=TOLERANCE)


if __name__ == "__main__":
    torch.set_num_threads(1)
    values, trained = plain_steps()
    np.savez_compressed(KEPT, history=values, **_summary(trained))
    print(values, file=sys.stderr)
