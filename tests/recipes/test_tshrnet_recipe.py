"""The training of TSHRNet: losses, learning rates, and whole runs on folders and lists."""

import numpy as np
import pytest
import torch

from data.layouts.sshr import LAYERS
from models import build_model
from recipes.build import build_recipe
from recipes.presets import resolve
from tests.tolerances import NETWORK, SUMMED
from training.loop import train
from training.options import TrainOptions
from utils.errors import UserError
from utils.image_files import write_rgb


def recipe_of(name, **options):
    torch.manual_seed(0)
    return build_recipe(build_model(name, width=2), resolve(TrainOptions(model=name, **options)))


def batch_of(size=64, count=2):
    generator = torch.Generator().manual_seed(0)
    return {key: torch.rand(count, 3, size, size, generator=generator) for key in LAYERS.values()}


@pytest.mark.parametrize("name", ["tshrnet", "tshrnet-mix"])
def test_the_loss_is_the_sum_of_squared_errors_in_network_range(name):
    recipe, batch = recipe_of(name, lambda_residue=0.01), batch_of()
    model = recipe.networks["model"].bare.eval()
    with torch.no_grad():
        ((optimiser, loss, terms),) = recipe.phases(batch)
        stages = model(batch["input"]).stages
    assert optimiser == "generator"

    def error(stage, key):
        return float(((stages[stage] + 1) / 2 - batch[key]).square().mean()) * 4

    first = [error(key, key) for key in ("albedo", "shading") if name == "tshrnet"]
    first = first or [error("coarse_diffuse", "diffuse")]
    rest = [error("refined_diffuse", "diffuse"), error("tone_corrected", "tone_corrected")]
    assert float(loss) == pytest.approx(sum(first + rest) + 0.01 * error("residue", "specular"), rel=SUMMED)
    assert float(terms["residue"]) == pytest.approx(error("residue", "specular"), rel=SUMMED)
    more = {"albedo", "shading"} if name == "tshrnet" else set()
    assert set(recipe.training_layers) == {"specular", "tone_corrected"} | more


def test_the_optimiser_is_the_authors():
    recipe = recipe_of("tshrnet")
    (optimiser,) = recipe.optimisers.values()
    assert type(optimiser) is torch.optim.Adam
    group = optimiser.param_groups[0]
    assert (group["lr"], tuple(group["betas"]), group["weight_decay"]) == (1e-4, (0.5, 0.999), 0)
    parameters = list(recipe.networks["model"].bare.parameters())
    assert sum(len(g["params"]) for g in optimiser.param_groups) == len(parameters)
    options = recipe.options
    assert (options.batch_size, options.size, options.epochs, options.seed) == (16, 256, 100, 1)
    assert (options.flips, options.lambda_residue) == (False, 1)


@pytest.mark.parametrize(
    ("decay", "rates"), [("released", [1e-4] * 4), ("intended", [1e-4, 1e-4, 1e-5, 1e-7])]
)
def test_learning_rates(decay, rates):
    recipe = recipe_of("tshrnet-mix", lr_decay=decay)
    for epoch, rate in zip((0, 9.9, 10, 30), rates, strict=True):
        recipe.set_learning_rates(round(epoch * 50), total=5000)
        assert recipe.optimisers["generator"].param_groups[0]["lr"] == pytest.approx(rate)


def test_validation_scores_each_picture():
    recipe, batch = recipe_of("tshrnet"), batch_of(count=2)
    model = recipe.networks["model"].bare.eval()
    with torch.no_grad():
        values = recipe.validate(batch, model)
        result = model(batch["input"])
    error = (result.diffuse - batch["tone_corrected"]).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(values["psnr"][0], -10 * error.log10())
    for name in ("psnr_diffuse", "psnr_input"):
        assert all(value.shape == (2,) for value in values[name])
    assert values["loss"].shape == (2,)
    ((_, loss, _),) = recipe.phases(batch)
    assert float(values["loss"].mean()) == pytest.approx(float(loss.detach()), rel=NETWORK)
    assert recipe.selection[0] in values


@pytest.fixture
def sshr(tmp_path):
    """SSHR/train with two views of one object."""
    rng = np.random.default_rng(0)
    for view in ("0024", "0078"):
        for layer in LAYERS:
            write_rgb(tmp_path / "SSHR/train/001" / f"{view}_{layer}.jpg", rng.random((64, 64, 3)))
    return tmp_path


def options_for(root, run, **more):
    common = {"batch_size": 2, "num_workers": 0, "latent_channels": 2, "tracker": ["none"], "curves": False}
    return TrainOptions(dataroot=str(root / "SSHR"), runs_name=str(root / run), **(common | more))


def weights(root, run):
    state = torch.load(root / run / "last.pt", weights_only=True)
    return state["networks"]["model"] | {
        f"{number} {name}": value
        for number, values in state["optimisers"]["generator"]["state"].items()
        for name, value in values.items()
    }


def test_a_resumed_run_equals_an_uninterrupted_one(sshr):
    train(options_for(sshr, "whole", model="tshrnet", max_steps=3, overfit=2))
    train(options_for(sshr, "parts", model="tshrnet", max_steps=1, overfit=2))
    train(options_for(sshr, "parts", model="tshrnet", max_steps=3, overfit=2))
    whole, parts = weights(sshr, "whole"), weights(sshr, "parts")
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name


def test_training_on_a_mixed_list(sshr):
    lines = [
        " ".join(f"SSHR/train/001/0024_{layer}.jpg" for layer in LAYERS),
        "SSHR/train/001/0078_i.jpg - SSHR/train/001/0078_d.jpg SSHR/train/001/0078_d_tc.jpg",
    ]
    mixed = sshr / "train_mix.lst"
    mixed.write_text("\n".join(lines))
    options = {"train_list": str(mixed), "dataroot": str(sshr), "max_steps": 1, "overfit": 2}
    assert train(TrainOptions(**vars(options_for(sshr, "mix", model="tshrnet-mix")) | options)) == 0
    assert (sshr / "mix" / "last.safetensors").is_file()
    with pytest.raises(UserError, match="line 2 has 4 columns, without albedo and shading"):
        train(TrainOptions(**vars(options_for(sshr, "seven", model="tshrnet")) | options))


def test_missing_targets_name_the_command(sshr):
    for path in (sshr / "SSHR").rglob("*_d_tc.jpg"):
        path.unlink()
    with pytest.raises(UserError, match=r"tone_corrected.*python -m data\.tone_correction"):
        train(options_for(sshr, "run", model="tshrnet"))


def test_validation_pictures_are_checked_before_the_first_step(sshr):
    rng = np.random.default_rng(1)
    for name in ("a", "a_gt"):
        write_rgb(sshr / "pairs" / f"{name}.png", rng.random((64, 64, 3)))
    more = {"val_dataroot": [str(sshr / "pairs")], "max_steps": 1}
    with pytest.raises(UserError, match=r"validation needs the layers .*tone_corrected.*pairs"):
        train(options_for(sshr, "run", model="tshrnet-mix", **more))
    assert not (sshr / "run").exists()
