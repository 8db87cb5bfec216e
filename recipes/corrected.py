"""What the paper means: the released recipe without its slips. docs/FIDELITY.md lists the differences."""

from recipes.aha import AHARecipe as Recipe

__all__ = ["DEFAULTS", "MODELS", "Recipe"]

MODELS = ("aha",)

DEFAULTS = {
    "gan_term": "corrected",
    "ssim_on": "coarse",
    "redraw_attention": False,
    "plateau_metric": "loss",
    "select_by": "psnr",
    "ema_decay": 0.999,
}
