"""The synthesis condition SC: which of the available modalities are given (Eq. 4), drawn once per batch."""

import numpy as np
import torch

from pmmsynth.tensors import Available


def draw_sources(available: Available, *, seed: int, epoch: int, step: int) -> Available:
    """SC for one training step: uniform over the number of sources, then over the subsets of that size.

    At least one modality is given and, where two or more are available, at least one is left to synthesize; with a
    single one the step is a reconstruction.

    Args:
        available: M.
        seed: Of the run.
        epoch: From 0.
        step: Within the epoch, from 0. The draw depends on these three alone.
    """
    rng = np.random.default_rng([seed, epoch, step, _STREAM])
    candidates = available.nonzero().flatten().numpy()
    count = rng.integers(1, max(len(candidates), 2))
    sources = torch.zeros_like(available)
    sources[torch.from_numpy(rng.choice(candidates, size=count, replace=False))] = True
    return sources


_STREAM = 4  # keeps this draw apart from the scheduler's; any constant would do
