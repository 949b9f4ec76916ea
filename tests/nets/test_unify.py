"""Feature unification: hard is the maximum, soft is attention, and neither knows the number of sources."""

import torch

from pmmsynth.nets.unify import FeatureUnification


def picked(unify: FeatureUnification, part: int, channels: int) -> None:
    """Let the joining convolution pass on the common (0), hard (1) or soft (2) features only."""
    torch.nn.init.zeros_(unify.join.weight)
    torch.nn.init.zeros_(unify.join.bias)
    for c in range(channels):
        unify.join.weight.data[c, part * channels + c] = 1


def test_hard_integration_is_the_maximum() -> None:
    unify = FeatureUnification(2)
    picked(unify, 1, 2)
    maps = [torch.randn(1, 2, 4, 4) for _ in range(3)]
    assert torch.allclose(unify(torch.randn(1, 2, 4, 4), maps), torch.stack(maps).max(0).values)


def test_soft_integration_by_hand() -> None:
    unify = FeatureUnification(1)
    picked(unify, 2, 1)
    for layer in (unify.attention[0], unify.attention[2]):
        torch.nn.init.ones_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    one, two = torch.full((1, 1, 2, 2), 1.0), torch.full((1, 1, 2, 2), 3.0)
    weights = torch.softmax(torch.tensor([1.0, 3.0]), 0)  # the attention passes positive values as they are
    assert torch.allclose(unify(one, [one, two]), torch.full((1, 1, 2, 2), float(weights @ torch.tensor([1.0, 3.0]))))


def test_common_features_pass() -> None:
    unify = FeatureUnification(2)
    picked(unify, 0, 2)
    common = torch.randn(1, 2, 4, 4)
    assert torch.allclose(unify(common, [torch.randn(1, 2, 4, 4)]), common)


def test_one_source_gives_the_identity_twice() -> None:
    for part in (1, 2):
        unify = FeatureUnification(2)
        picked(unify, part, 2)
        only = torch.randn(1, 2, 4, 4)
        assert torch.allclose(unify(torch.zeros(1, 2, 4, 4), [only]), only, atol=1e-6)


def test_order_of_sources_does_not_matter() -> None:
    unify = FeatureUnification(3)
    common, maps = torch.randn(1, 3, 4, 4), [torch.randn(1, 3, 4, 4) for _ in range(4)]
    assert torch.allclose(unify(common, maps), unify(common, maps[::-1]), atol=1e-6)
