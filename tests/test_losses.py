"""Eq. 5-9 against a case computed by hand, and what must not happen without ground truth."""

import pytest
import torch

from pmmsynth.losses import (
    LossWeights,
    adversarial_loss,
    discriminator_loss,
    generator_loss,
    reconstruction_loss,
    synthesis_loss,
)

# four modalities of 2x2: 0 given, 1 and 2 synthesized with truth, 3 absent
SOURCES = torch.tensor([True, False, False, False])
AVAILABLE = torch.tensor([True, True, True, False])
TRUTH = torch.zeros(1, 4, 2, 2)
TRUTH[0, 0] = torch.tensor([[0.0, 1.0], [0.5, 0.5]])
TRUTH[0, 1] = 0.5
OUTPUTS = torch.zeros(1, 4, 2, 2)
OUTPUTS[0, 0] = torch.tensor([[0.2, 1.0], [0.5, 0.1]])  # off by 0.2, 0, 0, 0.4: mean 0.15
OUTPUTS[0, 1] = torch.tensor([[0.5, 0.6], [0.1, 0.5]])  # off by 0, 0.1, 0.4, 0: mean 0.125
OUTPUTS[0, 2] = 0.25  # off by 0.25 everywhere


def test_equation_6_sums_over_synthesized_modalities() -> None:
    assert synthesis_loss(OUTPUTS, TRUTH, SOURCES, AVAILABLE).item() == pytest.approx(0.125 + 0.25)


def test_equation_7_is_on_the_given_ones() -> None:
    assert reconstruction_loss(OUTPUTS, TRUTH, SOURCES).item() == pytest.approx(0.15)


def test_equation_8() -> None:
    fake = [torch.tensor([[0.0, 0.5]]), torch.tensor([[2.0, 1.0]])]  # (1 + 0.25) / 2 + (1 + 0) / 2
    assert adversarial_loss(fake).item() == pytest.approx(0.625 + 0.5)


def test_equation_9() -> None:
    real, fake = [torch.tensor([[1.0, 0.0]])], [torch.tensor([[0.5, 1.0]])]  # (0 + 1) / 2 + (0.25 + 1) / 2
    assert discriminator_loss(real, fake).item() == pytest.approx(0.5 + 0.625)


def test_equation_5_weighs_them() -> None:
    fake = [torch.tensor([[0.0, 0.5]]), torch.tensor([[2.0, 1.0]])]
    loss = generator_loss(OUTPUTS, TRUTH, SOURCES, AVAILABLE, fake, LossWeights())
    assert loss.total.item() == pytest.approx(100 * 0.375 + 30 * 0.15 + 1.125)
    assert LossWeights() == LossWeights(synthesis=100.0, reconstruction=30.0, adversarial=1.0)


def test_no_ground_truth_gives_exactly_no_gradient() -> None:
    outputs = OUTPUTS.clone().requires_grad_()
    truth = TRUTH.clone()
    truth[:, 3] = float("nan")  # absent: never read
    generator_loss(outputs, truth, SOURCES, AVAILABLE, [], LossWeights()).total.backward()
    assert outputs.grad is not None
    assert (outputs.grad[:, 3] == 0).all()
    assert outputs.grad[:, :3].abs().sum() > 0


def test_nothing_to_synthesize_is_a_reconstruction() -> None:
    loss = generator_loss(OUTPUTS, TRUTH, SOURCES, SOURCES, [], LossWeights())
    assert loss.total.item() == pytest.approx(30 * 0.15)
    assert loss.synthesis.item() == loss.adversarial.item() == 0
