"""Normalisation inside the head: what stands around it has no influence."""

import torch
from torch.nn import functional as F

from pmmsynth.nets.normalize import instance_norm

WEIGHT, BIAS = torch.tensor([1.0, 2.0]), torch.tensor([0.0, -0.5])


def test_equals_instance_norm_where_the_head_fills_the_slice() -> None:
    features = torch.randn(3, 2, 8, 8)
    expected = F.instance_norm(features, weight=WEIGHT, bias=BIAS)
    assert torch.allclose(instance_norm(features, torch.ones(3, 1, 8, 8), WEIGHT, BIAS), expected, atol=1e-5)


def test_the_background_has_no_influence() -> None:
    features, mask = torch.randn(1, 2, 8, 8), torch.zeros(1, 1, 8, 8)
    mask[..., 2:6, 1:7] = 1
    made = instance_norm(features, mask, WEIGHT, BIAS)
    cropped = F.instance_norm(features[..., 2:6, 1:7], weight=WEIGHT, bias=BIAS)
    assert torch.allclose(made[..., 2:6, 1:7], cropped, atol=1e-5)
    assert (made * (1 - mask) == 0).all()
    other = torch.where(mask > 0, features, 100.0)
    assert torch.allclose(instance_norm(other, mask, WEIGHT, BIAS), made, atol=1e-5)


def test_a_slice_without_head_and_one_of_a_single_pixel() -> None:
    mask = torch.zeros(2, 1, 8, 8)
    mask[1, 0, 4, 4] = 1
    made = instance_norm(torch.randn(2, 2, 8, 8) * 1e3, mask, WEIGHT, BIAS)
    assert (made[0] == 0).all()
    assert torch.equal(made[1, :, 4, 4], BIAS)  # one value is its own mean
    assert (made[1] * (1 - mask[1]) == 0).all()
