"""Selective supervision (Eq. 5-9): only modalities with ground truth carry loss, the others are not computed."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pmmsynth.tensors import Available, Images


@dataclass(frozen=True)
class LossWeights:
    """The lambdas of Eq. 5.

    Attributes:
        synthesis: Weight of Eq. 6.
        reconstruction: Weight of Eq. 7.
        adversarial: Weight of Eq. 8; at 0 no discriminator runs.
    """

    synthesis: float = 100.0
    reconstruction: float = 30.0
    adversarial: float = 1.0


@dataclass(frozen=True)
class GeneratorLoss:
    """Eq. 5 and its three terms before weighting; scalars."""

    total: Tensor
    synthesis: Tensor
    reconstruction: Tensor
    adversarial: Tensor


def synthesis_loss(outputs: Images, truth: Images, sources: Available, available: Available) -> Tensor:
    """L_syn (Eq. 6): L1, mean over pixels, summed over modalities that are there but were not given."""
    return _l1(outputs, truth, available & ~sources)


def reconstruction_loss(outputs: Images, truth: Images, sources: Available) -> Tensor:
    """L_rec (Eq. 7): L1, mean over pixels, summed over the given modalities."""
    return _l1(outputs, truth, sources)


def adversarial_loss(fake: Sequence[Tensor]) -> Tensor:
    """L_adv (Eq. 8): mean squared distance to 1 of the patch maps of synthesized images, summed over modalities."""
    return sum((F.mse_loss(patches, torch.ones_like(patches)) for patches in fake), start=torch.zeros(()))


def discriminator_loss(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """L_D (Eq. 9): distance of real patch maps to 1 and of synthesized ones to 0, summed over modalities."""
    return adversarial_loss(real) + sum((patches.square().mean() for patches in fake), start=torch.zeros(()))


def generator_loss(
    outputs: Images,
    truth: Images,
    sources: Available,
    available: Available,
    fake: Sequence[Tensor],
    weights: LossWeights,
) -> GeneratorLoss:
    """L_G (Eq. 5), the weighted sum of Eq. 6-8.

    Args:
        outputs: What the generator made.
        truth: Y; modalities that are not available are not read.
        sources: SC.
        available: M.
        fake: Patch maps of the synthesized modalities with ground truth; empty without adversarial training.
        weights: The lambdas.
    """
    synthesis = synthesis_loss(outputs, truth, sources, available)
    reconstruction = reconstruction_loss(outputs, truth, sources)
    adversarial = adversarial_loss(fake)
    terms = {"synthesis": synthesis, "reconstruction": reconstruction, "adversarial": adversarial}
    weighted = [weight * terms[name] for name, weight in vars(weights).items() if weight]
    total = sum(weighted, start=torch.zeros(()))  # Eq. 5
    return GeneratorLoss(total, synthesis, reconstruction, adversarial)


def _l1(outputs: Images, truth: Images, carries_loss: Available) -> Tensor:
    chosen = carries_loss.nonzero().flatten().tolist()
    return sum((F.l1_loss(outputs[:, i], truth[:, i]) for i in chosen), start=torch.zeros(()))
