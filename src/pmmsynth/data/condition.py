"""The synthesis condition SC: which of the available modalities are given (Eq. 4), drawn once per batch."""

from dataclasses import dataclass

import numpy as np
import torch

from pmmsynth.tensors import Available


@dataclass(frozen=True)
class Condition:
    """What one training step asks: make `targets` from `sources`.

    Attributes:
        sources: SC.
        targets: What the generator makes; all of it has ground truth.
    """

    sources: Available
    targets: Available

    @property
    def synthesized(self) -> list[int]:
        """The channels that are made and were not given."""
        return (self.targets & ~self.sources).nonzero().flatten().tolist()


def step_random(*, seed: int, epoch: int, step: int) -> np.random.Generator:
    """The random numbers of one training step's condition; they depend on these three alone."""
    return np.random.default_rng([seed, epoch, step, _STREAM])


def draw_sources(available: Available, random: np.random.Generator) -> Available:
    """SC for one training step: uniform over the number of sources, then over the subsets of that size.

    At least one modality is given and, where two or more are available, at least one is left to synthesize; with a
    single one the step is a reconstruction.

    Args:
        available: M.
        random: Of the step.
    """
    candidates = available.nonzero().flatten().numpy()
    count = random.integers(1, max(len(candidates), 2))
    return chosen(random.choice(candidates, size=count, replace=False), len(available))


def draw_pair(available: Available, random: np.random.Generator) -> Condition:
    """One source and one target, uniform over the ordered pairs; with a single modality it is both."""
    candidates = available.nonzero().flatten().numpy()
    drawn = random.choice(candidates, size=min(2, len(candidates)), replace=False)
    return Condition(chosen(drawn[:1], len(available)), chosen(drawn[-1:], len(available)))


def chosen(channels: np.ndarray[tuple[int], np.dtype[np.int64]], count: int) -> Available:
    """The mask of `count` channels that names these."""
    mask = torch.zeros(count, dtype=torch.bool)
    mask[torch.from_numpy(channels)] = True
    return mask


_STREAM = 4  # keeps this draw apart from the scheduler's; any constant would do
