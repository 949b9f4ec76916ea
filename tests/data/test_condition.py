"""The draw of sources: uniform over their number, then over subsets; a function of (seed, epoch, step)."""

from collections import Counter

import pytest
import torch

from pmmsynth.data import draw_sources, step_random

AVAILABLE = torch.tensor([True, True, False, True, True])


def drawn(**at: int) -> torch.Tensor:
    return draw_sources(AVAILABLE, step_random(**at))


def draws(count: int) -> list[tuple[bool, ...]]:
    return [tuple(drawn(seed=1, epoch=0, step=s).tolist()) for s in range(count)]


def test_only_available_ones_and_at_least_one_left_to_make() -> None:
    for drawn in draws(300):
        assert not drawn[2]
        assert 1 <= sum(drawn) <= 3


def test_uniform_over_number_then_over_subsets() -> None:
    total = 6000
    drawn = draws(total)
    numbers = Counter(map(sum, drawn))
    assert [numbers[n] / total for n in (1, 2, 3)] == pytest.approx([1 / 3] * 3, abs=0.025)
    subsets = Counter(drawn)
    assert len(subsets) == 4 + 6 + 4
    for subset, n in subsets.items():
        assert n / total == pytest.approx(1 / 3 / {1: 4, 2: 6, 3: 4}[sum(subset)], abs=0.02)


def test_a_single_modality_is_reconstructed() -> None:
    only = torch.tensor([False, True, False])
    assert draw_sources(only, step_random(seed=0, epoch=3, step=9)).tolist() == [False, True, False]


def test_depends_on_seed_epoch_and_step_alone() -> None:
    base = {"seed": 3, "epoch": 2, "step": 5}
    again = drawn(**base)
    torch.manual_seed(99)
    assert torch.equal(drawn(**base), again)
    for key in base:
        others = {tuple(drawn(**{**base, key: v}).tolist()) for v in range(20)}
        assert len(others) > 3
