"""A ReLU that cannot die."""

import torch

from pmmsynth.baselines.rectify import rectified


def test_it_is_a_relu_with_a_gradient_everywhere() -> None:
    made = torch.tensor([-2.0, -0.1, 0.0, 0.3, 4.0], requires_grad=True)
    rectified(made).backward(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert torch.equal(rectified(made), made.relu())
    assert made.grad is not None
    assert made.grad.tolist() == [1, 2, 3, 4, 5]


def test_what_is_black_where_black_is_wanted_stays() -> None:
    made = torch.tensor([-2.0, -1.0], requires_grad=True)
    torch.nn.functional.l1_loss(rectified(made), torch.tensor([0.0, 0.5])).backward()
    assert made.grad is not None
    assert made.grad.tolist() == [0.0, -0.5]
