"""The shortcut: a mean of the sources at the start, then whatever weights and gains it learned."""

import math

import torch

from pmmsynth.nets.shortcut import SPEED, SourceShortcut

GIVEN = torch.stack([torch.full((4, 4), v) for v in (0.2, 0.6, 0.0)])[None]
SOURCES = torch.tensor([True, True, False])


def test_it_starts_as_the_mean_of_the_sources_for_every_dataset() -> None:
    shortcut = SourceShortcut(3, embedding=4)
    for _ in range(3):
        assert torch.allclose(shortcut(GIVEN, SOURCES, torch.randn(4), 2), torch.full((1, 1, 4, 4), 0.4))
    one = torch.tensor([False, True, False])
    assert torch.allclose(shortcut(GIVEN, one, torch.randn(4), 0), torch.full((1, 1, 4, 4), 0.6))


def test_weights_and_gains_by_hand() -> None:
    shortcut = SourceShortcut(3, embedding=4)
    with torch.no_grad():
        shortcut.weights[0, 2, 0] = math.log(3) / SPEED  # three times the attention of the other: 3/4 and 1/4
        shortcut.weights[1, 2, 1] = 0.5 / SPEED  # the second source counts half again
    expected = 0.75 * 0.2 + 0.25 * 1.5 * 0.6
    assert torch.allclose(shortcut(GIVEN, SOURCES, torch.zeros(4), 2), torch.full((1, 1, 4, 4), expected))
    assert torch.allclose(shortcut(GIVEN, SOURCES, torch.zeros(4), 0), torch.full((1, 1, 4, 4), 0.4))  # other targets


def test_a_dataset_can_have_its_own() -> None:
    shortcut = SourceShortcut(3, embedding=4)
    torch.nn.init.normal_(shortcut.by_dataset.weight)
    made = [shortcut(GIVEN, SOURCES, torch.eye(4)[n], 2) for n in range(2)]
    assert not torch.allclose(made[0], made[1])
