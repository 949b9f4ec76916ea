"""The linear shortcut against values computed by hand."""

import torch

from pmmsynth.nets.head import inside
from pmmsynth.nets.shortcut import LinearShortcut


def given(*modalities: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random images, positive on the left half of the modalities given and 0 elsewhere, and SC."""
    sources = torch.tensor([c in modalities for c in range(3)])
    images = torch.rand(2, 3, 4, 4) * 0.5 + 0.25
    images[..., 2:] = 0
    return torch.where(sources[:, None, None], images, 0.0), sources


def test_a_linear_combination_of_the_sources_with_the_offset_inside_only() -> None:
    shortcut = LinearShortcut(3, embedding=2)
    with torch.no_grad():
        shortcut.heads[1].bias.copy_(torch.tensor([2.0, 7.0, -1.0, 0.125]))
    images, sources = given(0, 2)
    made = shortcut(images, sources, 1, torch.zeros(2), inside(images))
    assert torch.allclose(made[:, 0, :, :2], 2 * images[:, 0, :, :2] - images[:, 2, :, :2] + 0.125)
    assert (made[..., 2:] == 0).all()


def test_zero_at_the_start() -> None:
    images, sources = given(0, 1)
    assert (LinearShortcut(3, embedding=2)(images, sources, 2, torch.randn(2), inside(images)) == 0).all()


def test_coefficients_depend_on_dataset_and_sources() -> None:
    shortcut = LinearShortcut(3, embedding=2)
    torch.nn.init.normal_(shortcut.heads[1].weight)
    images, sources = given(0)
    made = [
        shortcut(images, sources, 1, torch.zeros(2), inside(images)),
        shortcut(images, sources, 1, torch.ones(2), inside(images)),
        shortcut(images, torch.tensor([True, False, True]), 1, torch.zeros(2), inside(images)),
    ]
    assert (made[0] - made[1]).abs().max() > 1e-3
    assert (made[0] - made[2]).abs().max() > 1e-3


def test_float32_under_autocast_and_no_gradient_for_other_targets() -> None:
    shortcut = LinearShortcut(3, embedding=2)
    images, sources = given(0, 1)
    with torch.autocast("cpu", torch.bfloat16):
        made = shortcut(images, sources, 2, torch.randn(2, dtype=torch.bfloat16), inside(images))
    assert made.dtype == torch.float32
    made.sum().backward()
    assert shortcut.heads[2].bias.grad is not None
    assert all(p.grad is None for i in (0, 1) for p in shortcut.heads[i].parameters())


def test_it_finds_the_regression() -> None:
    """Trained on pairs of a linear relation, it has its coefficients: y = 0.5 - 0.8 x."""
    torch.manual_seed(0)
    shortcut = LinearShortcut(3, embedding=2)
    optimizer = torch.optim.Adam(shortcut.parameters(), lr=1e-2)
    images, sources = given(0)
    head = images[:, :1] > 0
    for _ in range(300):
        optimizer.zero_grad()
        made = shortcut(images, sources, 1, torch.ones(2), inside(images))
        (made - (0.5 - 0.8 * images[:, :1]) * head).square().mean().backward()
        optimizer.step()
    assert torch.allclose(made, (0.5 - 0.8 * images[:, :1]) * head, atol=0.01)
