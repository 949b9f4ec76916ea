"""What a method is trained for: what a step asks, and the losses of generator and adversary.

As it stands it is PMM-Synth's (Eq. 4-9); the other methods replace what their papers do otherwise.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from pmmsynth.data import Batch, Condition, draw_pair, draw_sources
from pmmsynth.losses import LossWeights, discriminator_loss, generator_loss
from pmmsynth.tensors import Available, Images


class Objective:
    """Any sources, all available modalities as targets; selective supervision.

    Args:
        weights: The lambdas of Eq. 5.
    """

    halved: ClassVar[bool] = False
    """Whether the adversary's loss is halved, which slows it down beside the generator."""

    def __init__(self, weights: LossWeights) -> None:
        self.weights = weights

    def draw(self, available: Available, random: np.random.Generator, share: float) -> Condition:
        """What the next step asks.

        Args:
            available: M of the batch.
            random: Of the step.
            share: Of all learning that is done, in [0, 1): for a curriculum.
        """
        return Condition(draw_sources(available, random), available)

    def judge(self, adversary: nn.Module, images: Images, batch: Batch, condition: Condition) -> Sequence[Tensor]:
        """The adversary's patch maps, one per image it looks at: towards 1 is real, towards 0 is synthesized.

        Args:
            adversary: The discriminators.
            images: The truth, or the generator's outputs; possibly twice the batch, one behind the other.
            batch: What the step is on.
            condition: What it asks.
        """
        return [adversary(images[:, i : i + 1], i) for i in condition.synthesized]

    def generator_loss(
        self, generator: nn.Module, adversary: nn.Module | None, batch: Batch, condition: Condition
    ) -> tuple[Images, dict[str, Tensor]]:
        """What the generator makes, and its losses; "generator" is the one it learns from."""
        outputs = generator(batch.images, condition.sources, batch.dataset, condition.targets)
        maps = self.judge(adversary, outputs, batch, condition) if adversary else []
        given = condition.sources & condition.targets
        loss = generator_loss(outputs, batch.images, given, condition.targets, maps, self.weights)
        losses = {"generator": loss.total, "synthesis": loss.synthesis, "reconstruction": loss.reconstruction}
        return outputs, losses | ({"adversarial": loss.adversarial} if maps else {})

    def adversary_loss(
        self, adversary: nn.Module, outputs: Images, batch: Batch, condition: Condition
    ) -> Tensor | None:
        """What the adversary learns from; None where the step has nothing for it."""
        if not condition.synthesized:
            return None
        both = torch.cat([batch.images, outputs])
        maps = [patches.chunk(2) for patches in self.judge(adversary, both, batch, condition)]
        real, fake = [true for true, _ in maps], [made for _, made in maps]
        return discriminator_loss(real, fake) * (0.5 if self.halved else 1.0)


class OneToOne(Objective):
    """One source and one target, drawn anew for every batch."""

    def draw(self, available: Available, random: np.random.Generator, share: float) -> Condition:
        """A pair, uniform over those the batch has."""
        return draw_pair(available, random)
