"""Paired tests against values known in closed form, Holm's correction by hand, intervals that cover."""

import numpy as np
import pytest

from pmmsynth.evaluate.significance import differences, holm, intervals
from score_rows import score_row


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # times 3, 1, 2, 4; never falls
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_always_better_has_the_smallest_p_there_is() -> None:
    """Six differences of one sign: 2 / 2**6 by the signed-rank test."""
    rows = [score_row(m, c, 30 + c + (1 + 0.1 * c) * (m == "ours")) for m in ("ours", "other") for c in range(6)]
    (found,) = differences(rows, "ours").values()
    assert (found.n, found.p) == (6, pytest.approx(2 / 64))
    assert found.mean == pytest.approx(1.25)
    assert 1 < found.low < found.mean < found.high < 1.5
    assert not found.within
    (mirror,) = differences(rows, "other").values()
    assert (mirror.mean, mirror.p) == (pytest.approx(-1.25), found.p)


def test_comparisons_are_corrected_together() -> None:
    rows = [
        score_row(m, c, 30 + gain * (1 + 0.1 * c), task)
        for task in ("T1->T2", "T2->T1")
        for m, gain in (("ours", 1), ("b", 0), ("c", -1))
        for c in range(6)
    ]
    found = differences(rows, "ours")
    assert set(found) == {("A", t, m) for t in ("T1->T2", "T2->T1") for m in ("b", "c")}
    assert all(d.p == pytest.approx(4 * 2 / 64) for d in found.values())


def test_equal_scores_and_single_cases() -> None:
    rows = [score_row(m, 0, 30.0) for m in ("ours", "other")]
    (found,) = differences(rows, "ours").values()
    assert (found.n, found.mean, found.p) == (1, 0.0, 1.0)
    assert np.isnan(found.low)
    assert not found.within


def test_equal_cases_do_not_count_in_the_test() -> None:
    """Five differences of one sign among nine cases without any: 2 / 2**5, as of the five alone."""
    rows = [score_row(m, c, 30 + (1 + 0.1 * c) * (m == "ours" and c < 5)) for m in ("ours", "other") for c in range(14)]
    (found,) = differences(rows, "ours").values()
    assert (found.n, found.p) == (14, pytest.approx(2 / 32))
    assert found.mean == pytest.approx(6 / 14)


def test_only_shared_cases_count() -> None:
    rows = [score_row("ours", c, 31.0 + c) for c in range(5)] + [score_row("other", c, 30.0) for c in (1, 3)]
    (found,) = differences(rows, "ours").values()
    assert (found.n, found.mean) == (2, 3.0)
    assert differences(rows, "nobody") == {}


def test_each_methods_own_interval() -> None:
    """Of evenly spread values it lies around their mean, wider where they spread more; of one case there is none."""
    rows = [score_row(m, c, 30 + s * c) for m, s in (("narrow", 0.1), ("wide", 1.0)) for c in range(9)]
    found = intervals([*rows, score_row("single", 0, 30.0)])
    low, high = found["A", "T1->T2", "wide"]
    assert (low + high) / 2 == pytest.approx(34, abs=0.15)
    assert high - low == pytest.approx(2 * 1.96 * np.std(range(9)) / 3, rel=0.15), "as of a normal mean"
    narrow = (30 + (low - 30) / 10, 30 + (high - 30) / 10)
    assert found["A", "T1->T2", "narrow"] == pytest.approx(narrow, abs=0.02)  # other ties among the resamples
    assert np.isnan(found["A", "T1->T2", "single"]).all()


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(60):
        values = rng.normal(0.3, 1, 20)
        rows = [score_row("ours", c, 30 + v) for c, v in enumerate(values)] + [
            score_row("b", c, 30.0) for c in range(20)
        ]
        (found,) = differences(rows, "ours").values()
        covered += found.low < 0.3 < found.high
    assert 50 <= covered <= 60
