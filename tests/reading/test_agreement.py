"""Kappa against scikit-learn, a hand-computed table and its own limits; intervals that hold what they should."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from pmmsynth.reading.agreement import kappa
from pmmsynth.reading.bootstrap import estimate, mean_of


def test_cohen_by_hand_and_by_scikit_learn() -> None:
    """Both yes 20, both no 15, 5 and 10 apart, of 50: agreement 0.7, chance 0.5, kappa 0.4."""
    pairs = np.array([(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15, dtype=bool)
    found = kappa(pairs[:, None])
    assert found.value == pytest.approx(0.4)
    assert found.value == pytest.approx(cohen_kappa_score(*pairs.T))
    assert found.low < 0.4 < found.high
    assert found == kappa(pairs[:, None]), "a fixed seed"


def test_labels_are_pooled() -> None:
    ratings = np.random.default_rng(0).random((40, 3, 2)) < 0.4
    assert kappa(ratings).value == pytest.approx(cohen_kappa_score(*ratings.reshape(-1, 2).T))


def test_fleiss_by_hand() -> None:
    """Yes from 3, 2, 1 and 0 of three readers: agreement (1 + 1/3 + 1/3 + 1) / 4 = 2/3, chance 1/2, kappa 1/3."""
    ratings = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=bool)
    assert kappa(ratings[:, None]).value == pytest.approx(1 / 3)


@pytest.mark.parametrize("readers", [2, 3, 5])
def test_limits(readers: int) -> None:
    same = np.repeat(np.array([[True], [False], [True]])[:, None], readers, axis=2)
    assert kappa(same).value == pytest.approx(1)
    assert np.isnan(kappa(np.zeros((4, 1, readers), dtype=bool)).value), "nobody ever gave the label"
    assert np.isnan(kappa(np.ones((4, 2, readers), dtype=bool)).value)


def test_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(3).normal(5, 2, 400)
    found = estimate(mean_of(values), 400)
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)
