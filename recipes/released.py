"""The authors' training script, slips included; each value is a switch of its own. See docs/FIDELITY.md."""

from recipes.aha import AHARecipe as Recipe
from utils.seeds import fresh_seed

__all__ = ["DEFAULTS", "MODELS", "Recipe"]

MODELS = ("aha",)

DEFAULTS = {
    "gan_term": "released",
    "ssim_on": "coarse",
    "redraw_attention": True,
    "plateau_metric": "loss_plus_ssim",
    "select_by": "coarse_loss",
    "selection_split": "test",
    "val_size": 224,
    "validation_flips": True,
    "validation_mode": "train",
    "shuffle": "once",
    "resume_state": "weights",
    "authors_checkpoint": True,
    "ema_decay": 0.0,
    "seed": fresh_seed,
}
