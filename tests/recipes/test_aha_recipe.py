"""The recipes of the AHA networks: gradients, switches, schedules, presets."""

import math

import pytest
import torch

from losses.ssim import ssim_per_image
from models import Separation, build_model
from recipes.aha_terms import AHA_TERMS
from recipes.build import build_recipe
from recipes.presets import resolve
from recipes.schedules import LearningRates
from recipes.scores import psnr_per_image
from recipes.tshrnet_terms import TSHRNET_TERMS
from tests.tolerances import SUMMED
from training.options import TrainOptions
from utils.errors import UserError

TINY = {"widths": (6, 6, 12), "dilations": (2, 2, 2, 2)}
PLAIN = {"lambda_content": 0.0, "lambda_ssim": 0.0, "lambda_perceptual": 0.0, "lambda_gan": 0.0}


def _options(**changes):
    return resolve(TrainOptions(**({"model": "aha", "perceptual_weights": "random"} | changes)))


def _recipe(**changes):
    torch.manual_seed(0)
    return build_recipe(build_model("aha", **TINY), _options(**changes))


def _batch(side=64):
    generator = torch.Generator().manual_seed(1)
    diffuse = 0.6 * torch.rand(2, 3, side, side, generator=generator)
    specular = 0.4 * torch.rand(2, 1, side, side, generator=generator).expand(-1, 3, -1, -1)
    layers = {"input": diffuse + specular, "diffuse": diffuse, "specular": specular}
    return layers | {"mask": (specular[:, :1] > 0.2).float(), "name": ["a", "b"]}


def _with_gradient(recipe, phase="generator"):
    recipe.model.zero_grad()
    for name, loss, _ in recipe.phases(_batch()):
        if name == phase:
            loss.backward()
            break
    named = recipe.model.named_parameters()
    return {name for name, p in named if p.grad is not None and p.grad.abs().sum() > 0}


def test_corrected_reaches_every_generator_parameter():
    recipe = _recipe(recipe="corrected", lambda_perceptual=0.0)
    assert _with_gradient(recipe) == {name for name, _ in recipe.model.named_parameters()}


def test_the_corrected_adversarial_term_reaches_coarse_and_refine_networks():
    reached = _with_gradient(_recipe(recipe="corrected", **PLAIN | {"lambda_gan": 1.0}))
    assert {"HFE", "coarse", "refine"} <= {name.split(".")[0] for name in reached}


def test_the_released_adversarial_term_reaches_the_aha_module_only():
    recipe = _recipe(recipe="released", **PLAIN | {"lambda_gan": 1.0})
    reached = _with_gradient(recipe)
    assert reached
    assert all(name.startswith("HFE.") for name in reached)


def test_the_discriminator_learns_from_its_own_phase_only():
    recipe = _recipe(recipe="corrected", **PLAIN | {"lambda_gan": 1.0})
    phases = recipe.phases(_batch())
    name, loss, _ = next(phases)
    loss.backward()
    assert name == "discriminator"
    assert all(p.grad is not None for p in recipe.discriminator.parameters())
    assert all(p.grad is None for p in recipe.model.parameters())
    recipe.discriminator.zero_grad()
    name, loss, terms = next(phases)
    loss.backward()
    assert (name, set(terms)) == ("generator", {"gan", "loss"})
    assert all(p.grad is None for p in recipe.discriminator.parameters())


def test_a_weight_of_zero_builds_nothing(monkeypatch):
    for name in ("build_discriminator", "PerceptualLoss"):
        monkeypatch.setattr(f"recipes.aha.{name}", lambda *_: pytest.fail("built"))
    recipe = _recipe(lambda_gan=0.0, lambda_perceptual=0.0, lambda_ssim=0.0)
    ((_, _, terms),) = recipe.phases(_batch(32))
    assert set(terms) == {"content", "loss"}
    assert set(recipe.networks) == set(recipe.optimisers) - {"generator"} | {"model"}
    assert recipe.training_layers == ()


def test_the_loss_is_the_weighted_sum_of_its_terms():
    weights = {
        "lambda_specular": 0.5, "lambda_map": 0.25, "lambda_achromatic": 2.0, "lambda_perceptual": 0.125,
    }  # fmt: skip
    recipe = _recipe(**weights)
    _, loss, terms = list(recipe.phases(_batch()))[-1]
    expected = sum(recipe.weights[name] * term for name, term in terms.items() if name != "loss")
    assert loss.item() == pytest.approx(expected.item(), rel=SUMMED)
    assert (set(recipe.training_layers), len(terms)) == ({"specular", "mask"}, 8)


def test_log_terms_look_where_they_are_told():
    weights = PLAIN | {"lambda_log": 1.0, "lambda_untouched": 1.0, "lambda_highlight": 1.0, "log_floor": 1e-4}
    recipe = _recipe(**weights)
    assert set(recipe.training_layers) == {"specular", "mask"}
    batch = _batch(32)
    inside = torch.zeros(2, 1, 32, 32)
    inside[..., :8, :8] = 1
    batch |= {"mask": inside, "specular": batch["specular"] * inside}
    estimate = batch["diffuse"] + 0.1 * inside
    result = Separation(estimate, batch["specular"], inside, {"coarse_diffuse": estimate})
    terms = recipe.generator_terms(batch, result)
    wanted = {"log": 0.01 / 16, "untouched": 0.0, "highlight": 0.01}
    for name, error in wanted.items():
        assert terms[name].item() == pytest.approx(2 * math.log10(error + 1e-4), abs=SUMMED), name


def test_ssim_on_either_estimate():
    terms = [next(_recipe(ssim_on=on, lambda_gan=0.0).phases(_batch()))[2] for on in ("coarse", "refined")]
    assert terms[0]["ssim"] != terms[1]["ssim"]
    assert terms[0]["content"] == terms[1]["content"]


def test_redrawn_attention_changes_every_forward_and_is_not_trained():
    recipe = _recipe(recipe="released", **PLAIN | {"lambda_content": 1.0})
    projection = recipe.model.refine.attention_projection
    torch.manual_seed(0)
    before = projection.weight.clone()
    next(recipe.phases(_batch(32)))
    assert not torch.equal(projection.weight, before)
    assert not projection.weight.requires_grad
    trained = {id(p) for group in recipe.optimisers["generator"].param_groups for p in group["params"]}
    assert id(projection.weight) not in trained
    fixed = _recipe(recipe="corrected", **PLAIN | {"lambda_content": 1.0})
    before = fixed.model.refine.attention_projection.weight.clone()
    next(fixed.phases(_batch(32)))
    assert torch.equal(fixed.model.refine.attention_projection.weight, before)


def test_presets_and_their_overrides():
    released, corrected = _options(recipe="released"), _options()
    assert corrected.recipe == "corrected"
    assert (released.selection_split, corrected.selection_split) == ("test", "validation")
    assert (released.drop_last, corrected.drop_last) == (True, False)
    assert (released.shuffle, corrected.shuffle) == ("every_epoch", "every_epoch")
    assert (released.resume_state, corrected.resume_state) == ("weights", "everything")
    assert (released.authors_checkpoint, corrected.authors_checkpoint) == (True, False)
    assert corrected.seed == 0
    assert released.seed != _options(recipe="released").seed
    assert _options(recipe="released", gan_term="corrected", seed=5).gan_term == "corrected"
    for options in (released, corrected):
        chosen = (options.batch_size, options.lr_g, options.weight_decay, options.epochs)
        assert chosen == (3, 1e-4, 0.002, 100)
        assert options.betas == [0.9, 0.999]
    with pytest.raises(UserError, match="`recipe=x` is not known"):
        _options(recipe="x")


def test_the_plateau_is_fed_with_ssim_of_the_wrong_sign_when_released():
    values = {"loss": 1.0, "loss_plus_ssim": 2.0}
    for name, expected in (("released", 2.0), ("corrected", 1.0)):
        recipe = _recipe(recipe=name, **PLAIN)
        seen = []
        recipe.rates.watch = seen.append
        recipe.after_validation(values)
        assert seen == [expected]


def test_validation_values():
    recipe = _recipe(**PLAIN | {"lambda_content": 10.0})
    batch = _batch(32)
    recipe.model.eval()
    with torch.no_grad():
        values = recipe.validate(batch, recipe.model)
        result = recipe.model(batch["input"])
    error = result.stages["coarse_diffuse"] - batch["diffuse"]
    coarse = error.abs().mean(dim=(1, 2, 3))
    refined = (result.diffuse - batch["diffuse"]).abs().mean(dim=(1, 2, 3))
    # As the authors' validation: MSE + L1 of the coarse estimate, and that plus its SSIM.
    assert torch.allclose(values["coarse_loss"], coarse + error.square().mean(dim=(1, 2, 3)))
    ssim = ssim_per_image(result.stages["coarse_diffuse"], batch["diffuse"])
    assert torch.allclose(values["loss_plus_ssim"], values["coarse_loss"] + ssim)
    assert torch.allclose(values["loss"], 10 * (coarse + refined))
    assert torch.allclose(values["gain"][0], values["psnr"][0] - values["psnr_input"][0])
    assert values["psnr"][0].shape == (2,)
    pictures = recipe.pictures(batch, recipe.model)
    assert list(pictures) == ["input", "highlight map", "coarse", "refined", "ground truth"]
    assert all(p.min() >= 0 and p.max() <= 1 and p.shape == (2, 3, 32, 32) for p in pictures.values())


def test_pictures_without_a_highlight_are_judged_apart():
    recipe = _recipe(**PLAIN | {"lambda_content": 10.0})
    batch = _batch(32)
    batch["input"] = torch.stack([batch["input"][0], batch["diffuse"][1]])
    with torch.no_grad():
        values = recipe.validate(batch, recipe.model.eval())
        result = recipe.model(batch["input"])
    psnr = psnr_per_image(result.diffuse, batch["diffuse"])
    assert torch.equal(values["psnr"][0], psnr)
    assert torch.equal(values["psnr_clean"][0], psnr)
    for name in ("psnr", "gain", "psnr_input", "ssim"):
        assert values[name][1].tolist() == [True, False]
    assert values["psnr_clean"][1].tolist() == [False, True]
    assert (values["share_clean"].tolist(), len(values["loss"])) == ([0, 1], 2)


def test_every_term_names_an_option_and_every_weight_is_a_term():
    for terms in (AHA_TERMS, *TSHRNET_TERMS.values()):
        assert len({term.name for term in terms}) == len(terms)
        for term in terms:
            assert isinstance(getattr(_options(), term.weight), float)
    weights = {term.weight for terms in (AHA_TERMS, *TSHRNET_TERMS.values()) for term in terms}
    assert weights == {name for name in vars(_options()) if name.startswith("lambda_")}


def test_the_discriminator_ends_in_a_norm_when_released_only():
    batch = _batch()
    for name, constant in (("released", True), ("corrected", False)):
        recipe = _recipe(recipe=name, **PLAIN | {"lambda_gan": 1.0})
        with torch.no_grad():
            scores = recipe.discriminator(torch.rand(2, 3, 128, 128), torch.rand(2, 1, 128, 128))
            doubled = recipe.discriminator(5 * batch["input"], 5 * batch["mask"])
        assert recipe.discriminator.normalised_output is constant
        # A norm gives every image a mean of zero before the LeakyReLU: nothing is below -0.2 sqrt(n).
        negative = torch.where(scores < 0, scores / 0.2, scores) if constant else scores
        assert torch.allclose(negative.mean(dim=(1, 2, 3)), torch.zeros(2), atol=SUMMED) is constant
        assert doubled.shape == (2, 1, 2, 2)


def test_released_presets_do_not_ask_the_other_networks_for_attention():
    assert _options(recipe="released", model="aha").redraw_attention
    assert not _options(recipe="released", model="aha-figure").redraw_attention


def test_resolving_leaves_the_options_alone():
    options = TrainOptions()
    assert resolve(options) is not options
    assert options == TrainOptions()


def test_psnr():
    truth = torch.zeros(2, 3, 4, 4)
    estimate = torch.stack([torch.full((3, 4, 4), 0.1), torch.full((3, 4, 4), -1.0)])
    assert psnr_per_image(estimate, truth).tolist() == pytest.approx([20.0, 100.0], rel=SUMMED)


def test_learning_rates():
    cosine = LearningRates("cosine", 4)
    factors = [cosine.factor(step, 24) for step in range(24)]
    assert factors[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert factors[14] == pytest.approx(0.5)
    assert factors[4:] == sorted(factors[4:], reverse=True)
    assert factors[23] < 0.01
    assert LearningRates("constant", 0).factor(7, 10) == 1


def test_the_plateau_falls_after_more_than_four_bad_validations_and_survives_a_restart():
    plateau = LearningRates("plateau", 0)
    factors = []
    for value in [1.0] + [1.1] * 12:
        plateau.watch(value)
        factors.append(plateau.factor(0, 1))
        restored = LearningRates("plateau", 0)
        restored.load_state_dict(plateau.state_dict())
        plateau = restored
    assert factors == pytest.approx([1.0] * 5 + [0.8] * 5 + [0.64] * 3)
