"""Adversarial terms: hinge loss for the discriminator, two readings of the generator's term.

Scores are raw outputs of the discriminator, any shape.
"""

import torch.nn.functional as F
from torch import Tensor


def discriminator_hinge(real: Tensor, fake: Tensor) -> Tensor:
    """L_D = mean relu(1 - Disc(D, A)) + mean relu(1 + Disc(D_hat_refine, A)); both detached upstream."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def generator_corrected(fake: Tensor) -> Tensor:
    """L_gan = -mean Disc(D_hat_refine, A): the generator's half of the hinge loss, unbounded below."""
    return -fake.mean()


def generator_released(fake: Tensor) -> Tensor:
    """L_gan = |mean Disc(D_hat_refine, A)|, as the authors' code has it.

    Its minimum is a score of zero, not a high one; their code also detaches D_hat_refine (the caller's
    business), so that only A carries a gradient.
    """
    return fake.mean().abs()
