"""Laws of the plan, for any number of cases, sets and readers."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmmsynth.study.plan import Place, plan

SEEDS = st.integers(0, 2**32)


@given(cases=st.integers(3, 30), sets=st.integers(2, 4), readers=st.integers(1, 4), seed=SEEDS)
def test_laws(cases, sets, readers, seed):
    made = plan(cases, sets, readers, seed)
    assert len(made) == readers
    for sittings in made:
        assert len(sittings) == sets
        everything = [place for sitting in sittings for place in sitting]
        assert sorted(everything, key=lambda p: (p.case, p.set)) == [
            Place(case, number) for case in range(cases) for number in range(sets)
        ]
        for sitting in sittings:
            assert sorted(place.case for place in sitting) == list(range(cases))
            counts = Counter(place.set for place in sitting)
            assert max(counts.values()) - min(counts[number] for number in range(sets)) <= 1
        orders = [tuple(place.case for place in sitting) for sitting in sittings]
        assert len(set(orders)) == sets
        assert all(one[-1] != other[0] for one, other in pairwise(orders))


@given(seed=SEEDS)
def test_the_seed_decides_and_readers_differ(seed):
    made = plan(8, 4, 3, seed)
    assert made == plan(8, 4, 3, seed)
    assert made != plan(8, 4, 3, seed + 1)
    assert len(set(made)) == 3


def test_each_set_follows_every_other_equally_often():
    (sittings,) = plan(8, 4, 1, seed=1)
    by_case = [{place.case: place.set for place in sitting} for sitting in sittings]
    follows = Counter((one[case], other[case]) for one, other in pairwise(by_case) for case in range(8))
    assert follows == {(a, b): 2 for a in range(4) for b in range(4) if a != b}


def test_sets_and_first_cases_are_drawn_evenly():
    """Of 400 readers no set and no case stands more often at the start than chance gives (5 standard deviations)."""
    starts = [sittings[0][0] for sittings in plan(4, 4, 400, seed=3)]
    for of in ("case", "set"):
        counts = Counter(getattr(start, of) for start in starts)
        assert all(abs(counts[number] - 100) < 5 * (400 * 3 / 16) ** 0.5 for number in range(4))


@pytest.mark.parametrize(("cases", "sets"), [(2, 4), (0, 2), (3, 5)])
def test_too_few_cases(cases, sets):
    with pytest.raises(ValueError, match="too few orders"):
        plan(cases, sets, 1, 0)
