"""MM-GAN against its published size, a case computed by hand, and the subsets its curriculum allows."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pmmsynth.baselines.mm_gan import MMGAN, ImplicitConditioning, MMGANArchitecture, StackDiscriminator
from pmmsynth.data import Batch, Condition
from pmmsynth.losses import LossWeights

N = torch.tensor(0)
WEIGHTS = LossWeights(synthesis=0.9, reconstruction=0.0, adversarial=0.1)
OBJECTIVE = ImplicitConditioning(WEIGHTS)

# four modalities of 2x2: 0 given, 1 and 2 missing, 3 absent; every image is constant
TRUTH = torch.tensor([0.5, 0.2, 0.4, torch.nan])[None, :, None, None].expand(1, 4, 2, 2).clone()
MADE = torch.tensor([0.9, 0.3, 0.7, 0.8])[None, :, None, None].expand(1, 4, 2, 2).clone()
BATCH = Batch(TRUTH, torch.tensor([True, True, True, False]), N)
CONDITION = Condition(torch.tensor([True, False, False, False]), torch.tensor([False, True, True, False]))


class Made(nn.Module):
    """A generator that has made its images already."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images = images

    def forward(self, images: Tensor, sources: Tensor, dataset: Tensor, targets: Tensor) -> Tensor:
        return self.images


class Means(nn.Module):
    """An adversary whose patch map is the mean of each candidate; it remembers what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, candidate: Tensor, truth: Tensor) -> Tensor:
        self.seen.append((candidate.detach(), truth.detach()))
        return candidate.mean((2, 3), keepdim=True)


def test_it_has_the_published_size() -> None:
    assert sum(p.numel() for p in MMGAN(modalities=4).parameters()) == 54_407_172  # 54.4 million


@pytest.mark.parametrize(("matrix", "side"), [(192, 256), (96, 128), (128, 128), (16, 16)])
def test_it_is_as_deep_as_slices_need(matrix: int, side: int) -> None:
    network = MMGANArchitecture(width=2).build(modalities=2, datasets=1, matrix=matrix).eval()
    assert network.side == side
    seen = []
    network.down[-1].register_forward_hook(lambda module, given, made: seen.append(made.shape[-2:]))
    every = torch.ones(2, dtype=torch.bool)
    with torch.no_grad():
        assert network(torch.rand(1, 2, matrix, matrix), every, N, every).shape == (1, 2, matrix, matrix)
    assert seen == [(1, 1)]


def test_weights_begin_as_in_the_original() -> None:
    for network in (MMGAN(modalities=2, width=8), StackDiscriminator(modalities=2, width=16)):
        drawn = torch.cat([p.flatten() for p in network.parameters() if p.ndim == 4])
        assert drawn.std().item() == pytest.approx(0.02, rel=0.02)
        assert abs(drawn.mean().item()) < 5e-4


@pytest.mark.parametrize("size", [(192, 192), (100, 60)])
def test_padding_keeps_the_position(size: tuple[int, int]) -> None:
    network, every = MMGAN(modalities=2, width=2).eval(), torch.ones(2, dtype=torch.bool)
    height, width = size
    images, top, left = torch.rand(1, 2, *size), (256 - height) // 2, (256 - width) // 2
    padded = F.pad(images, (left, 256 - width - left, top, 256 - height - top))
    with torch.no_grad():
        expected = network(padded, every, N, every)[..., top : top + height, left : left + width]
        assert torch.equal(network(images, every, N, every), expected)


def test_it_learns_at_the_size_where_one_pixel_is_left() -> None:
    network, every = MMGAN(modalities=2, width=2).train(), torch.ones(2, dtype=torch.bool)
    network(torch.rand(1, 2, 256, 256), every, N, every).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_the_adversary_has_a_map_for_every_modality() -> None:
    with torch.no_grad():
        maps = StackDiscriminator(modalities=3, width=2)(torch.rand(2, 3, 192, 192), torch.rand(2, 3, 192, 192))
    assert maps.shape == (2, 3, 12, 12)  # four halvings


def test_the_generators_loss() -> None:
    adversary = Means()
    outputs, losses = OBJECTIVE.generator_loss(Made(MADE), adversary, BATCH, CONDITION)
    assert outputs is MADE
    assert losses.keys() == {"generator", "synthesis", "adversarial"}
    assert losses["synthesis"].item() == pytest.approx((0.1 + 0.3) / 2)
    # the given channel is the real 0.5, not the 0.9 that was made; the absent one takes no part
    assert losses["adversarial"].item() == pytest.approx((0.5**2 + 0.7**2 + 0.3**2) / 3)
    expected = 0.9 * losses["synthesis"] + 0.1 * losses["adversarial"]
    assert losses["generator"].item() == pytest.approx(expected.item())
    ((candidate, truth),) = adversary.seen
    assert candidate[0, :, 0, 0].tolist() == pytest.approx([0.5, 0.3, 0.7, 0.0])
    assert truth[0, :, 0, 0].tolist() == pytest.approx([0.5, 0.2, 0.4, 0.0])


def test_the_adversarys_loss() -> None:
    loss = OBJECTIVE.adversary_loss(Means(), MADE, BATCH, CONDITION)
    assert loss is not None
    real = (0.5**2 + 0.8**2 + 0.6**2) / 3  # all towards 1
    fake = (0.5**2 + 0.3**2 + 0.7**2) / 3  # the given one towards 1, the others towards 0
    assert loss.item() == pytest.approx(0.5 * (real + fake))


def test_only_missing_modalities_carry_gradient() -> None:
    made = MADE.clone().requires_grad_()
    _, losses = OBJECTIVE.generator_loss(Made(made), Means(), BATCH, CONDITION)
    losses["generator"].backward()
    assert made.grad is not None
    assert not made.grad[:, [0, 3]].any()
    assert (made.grad[:, [1, 2]] != 0).all()


def test_without_adversary_there_is_no_adversarial_loss() -> None:
    _, losses = OBJECTIVE.generator_loss(Made(MADE), None, BATCH, CONDITION)
    assert losses.keys() == {"generator", "synthesis"}
    assert losses["generator"].item() == pytest.approx(0.9 * 0.2)


@pytest.mark.parametrize(
    ("share", "most"), [(0.0, 1), (0.16, 1), (1 / 6, 2), (0.33, 2), (1 / 3, 3), (0.49, 3), (0.5, 4)]
)
def test_more_modalities_are_missing_as_training_goes_on(share: float, most: int) -> None:
    available = torch.tensor([True, True, False, True, True, True])
    random, counts = np.random.default_rng(0), set()
    for _ in range(200):
        condition = OBJECTIVE.draw(available, random, share)
        assert torch.equal(condition.sources ^ condition.targets, available)
        assert not (condition.sources & condition.targets).any()
        assert condition.sources.any()
        counts.add(int(condition.targets.sum()))
    assert counts == set(range(1, most + 1))


@pytest.mark.parametrize(("share", "subsets"), [(0.0, 4), (0.2, 10), (0.9, 14)])
def test_subsets_are_drawn_alike(share: float, subsets: int) -> None:
    available, random, draws = torch.tensor([True, True, False, True, True]), np.random.default_rng(0), 2000
    drawn = Counter(tuple(OBJECTIVE.draw(available, random, share).sources.tolist()) for _ in range(draws))
    expected = draws / subsets
    assert len(drawn) == subsets
    assert all(abs(count - expected) < 5 * expected**0.5 for count in drawn.values())


def test_a_single_modality_is_given_and_teaches_the_adversary_nothing() -> None:
    images, available = torch.rand(1, 2, 2, 2), torch.tensor([False, True])
    condition = OBJECTIVE.draw(available, np.random.default_rng(0), 0.9)
    assert condition.sources.tolist() == [False, True]
    assert OBJECTIVE.adversary_loss(Means(), images, Batch(images, available, N), condition) is None
