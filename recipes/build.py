"""From the name of a recipe to the recipe."""

from torch import nn

from recipes.aha import AHARecipe
from recipes.presets import RecipeOptions
from recipes.recipe import Recipe
from recipes.tshrnet import TSHRNetRecipe

RECIPES: dict[str, type[AHARecipe] | type[TSHRNetRecipe]] = {
    "corrected": AHARecipe,
    "released": AHARecipe,
    "tshrnet": TSHRNetRecipe,
}
"""The two recipes of the AHA networks differ in their presets only (recipes/presets.py)."""


def layers_read(options: RecipeOptions) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The layers beyond "input" and "diffuse" that the recipe's losses and its validation need.

    options  as for `build_recipe`
    """
    return RECIPES[options.recipe].layers(options, options.model)


def build_recipe(model: nn.Module, options: RecipeOptions) -> Recipe:
    """The recipe `options.recipe` around `model`, with its losses and optimisers.

    model    a network of `models.build_model`, already on its device
    options  as returned by `recipes.presets.resolve`: no option that the recipe reads is None
    """
    return RECIPES[options.recipe](model, options)
