"""Whether readers agree beyond chance that a label applies: Cohen's kappa for two readers, Fleiss' for more."""

import numpy as np
from numpy.typing import NDArray

from pmmsynth.reading.bootstrap import Array, Estimate, estimate, ratio

Ratings = NDArray[np.bool_]
"""Whether each reader gave each label: case, label, reader."""


def kappa(ratings: Ratings) -> Estimate:
    """Over all labels together, with its interval over cases; NaN where chance alone leaves nothing to disagree on."""
    cases, labels, readers = ratings.shape
    given = ratings.sum(axis=2)
    if readers == 2:
        agreed = (given != 1).sum(axis=1)
    else:  # the share of pairs of readers that agree
        agreed = (given * (given - 1) + (readers - given) * (readers - given - 1)).sum(axis=1) / (
            readers * (readers - 1)
        )
    by_reader = ratings.sum(axis=1)

    def statistic(weights: Array) -> Array:
        items = weights.sum(axis=1) * labels
        yes = weights @ by_reader / items[:, None]  # share of labels given, by each reader
        if readers > 2:
            yes = yes.mean(axis=1, keepdims=True).repeat(2, axis=1)  # Fleiss: one share for all readers
        chance = yes[:, 0] * yes[:, 1] + (1 - yes[:, 0]) * (1 - yes[:, 1])
        chance = np.where(np.isclose(chance, 1), 1, chance)
        return ratio(weights @ agreed / items - chance, 1 - chance)

    return estimate(statistic, cases)
