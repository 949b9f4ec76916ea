"""MM-Synth against its published size and a case computed by hand; every latent is decoded, encoders run once."""

from collections import Counter

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from pmmsynth.baselines.mm_synth import EveryLatent, MMSynth
from pmmsynth.data import Batch, Condition
from pmmsynth.losses import LossWeights

N = torch.tensor(0)
OBJECTIVE = EveryLatent(LossWeights(synthesis=1.0, reconstruction=0.0, adversarial=0.0))
AVAILABLE = torch.tensor([True, True, False, True])
ABSENT = 2


class Times(nn.Module):
    """An encoder or decoder that multiplies."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, features: Tensor) -> Tensor:
        return features * self.factor


def multiplying(encoders: list[float], decoders: list[float]) -> MMSynth:
    network = MMSynth(modalities=len(encoders), width=1, latent=1)
    network.encoders = nn.ModuleList(map(Times, encoders))
    network.decoders = nn.ModuleList(map(Times, decoders))
    return network


def small() -> MMSynth:
    """One whose outputs are not clipped away by chance."""
    network = MMSynth(modalities=4, width=4, latent=3)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.add_(0.1 * torch.rand_like(parameter))
    return network


def batch() -> Batch:
    images = torch.rand(2, 4, 16, 12)
    images[:, ABSENT] = torch.nan
    return Batch(images, AVAILABLE, N)


def mask(*channels: int) -> Tensor:
    return torch.tensor([i in channels for i in range(4)])


def test_it_has_the_published_size() -> None:
    assert sum(p.numel() for p in MMSynth(modalities=4).parameters()) == 2_235_268  # 2.24 million


def test_the_order_of_sources_does_not_matter() -> None:
    network, images = small().eval(), torch.rand(2, 4, 16, 12)
    with torch.no_grad():
        made, again = (network.synthesize(images, sources, N, [0, 2]) for sources in ([0, 1, 3], [3, 0, 1]))
    assert torch.equal(made, again)
    assert made[:, [0, 2]].std() > 0


def test_fusion_is_the_maximum() -> None:
    """Encoders give x, 3 x and 2 x: the second wins where it is given."""
    network, images = multiplying([1.0, 3.0, 2.0], [1.0, 10.0, 1.0]), torch.full((1, 3, 4, 4), 0.5)
    with torch.no_grad():
        assert (network.synthesize(images, [0, 1, 2], N, [1])[:, 1] == 15.0).all()
        assert (network.synthesize(images, [0, 2], N, [1])[:, 1] == 10.0).all()
        assert (network.synthesize(images, [0], N, [1])[:, 1] == 5.0).all()


def test_all_that_is_there_is_given_and_wanted() -> None:
    condition = OBJECTIVE.draw(AVAILABLE, np.random.default_rng(0), 0.0)
    assert torch.equal(condition.sources, AVAILABLE)
    assert torch.equal(condition.targets, AVAILABLE)


def test_the_loss() -> None:
    """Latents 0.2, 0.6 and 0.4; decoded by 1, 2 and 1; the truth is 0.2 in all; nothing is made from itself."""
    network = multiplying([1.0, 3.0, 2.0], [1.0, 2.0, 1.0])
    available = torch.tensor([True, True, True])
    images = torch.full((2, 3, 4, 4), 0.2)
    outputs, losses = OBJECTIVE.generator_loss(
        network, None, Batch(images, available, N), Condition(available, available)
    )
    assert outputs[0, :, 0, 0].tolist() == pytest.approx([0.6, 2 * 0.4, 0.6])  # of the others the largest
    assert losses.keys() == {"generator", "synthesis", "variance"}
    fused = 0.4 + 0.6 + 0.4
    first, second, third = 0.2 + 0.0, 0.4 + 0.4, 0.2 + 0.6  # each makes the two others
    assert losses["synthesis"].item() == pytest.approx(fused + first + second + third)
    variance = (0.2**2 + 0.2**2) / 3  # about their mean, 0.4
    assert losses["variance"].item() == pytest.approx(variance)
    assert losses["generator"].item() == pytest.approx(fused + first + second + third + 10 * variance)


def test_the_weight_is_that_of_the_pixels() -> None:
    network, available = multiplying([1.0, 3.0], [1.0, 2.0]), torch.tensor([True, True])
    objective = EveryLatent(LossWeights(synthesis=10.0))
    one = Batch(torch.full((1, 2, 4, 4), 0.2), available, N)
    _, losses = objective.generator_loss(network, None, one, Condition(available, available))
    fused = first_and_second = 0.4 + 0.2  # with two modalities, all others are the other
    assert losses["generator"].item() == pytest.approx(10 * (fused + first_and_second) + 10 * 0.2**2)


def test_a_single_modality_is_made_from_itself_and_has_no_variance() -> None:
    network, one = small(), torch.rand(1, 4, 8, 8)
    made, losses = OBJECTIVE.generator_loss(network, None, Batch(one, mask(1), N), Condition(mask(1), mask(1)))
    assert torch.equal(made, network(one, mask(1), N, mask(1)))
    assert losses["synthesis"].item() == pytest.approx((made - one)[:, 1].abs().mean().item())
    assert losses["variance"].item() == 0


def test_each_latent_is_decoded_as_if_it_were_alone_and_encoders_run_once() -> None:
    network, images, calls = small(), batch(), Counter()
    for kind in ("encoders", "decoders"):
        for i, module in enumerate(getattr(network, kind)):
            module.register_forward_hook(lambda *_, key=(kind, i): calls.update([key]))
    _, losses = OBJECTIVE.generator_loss(network, None, images, Condition(AVAILABLE, AVAILABLE))
    there = [0, 1, 3]
    assert calls == {**{("encoders", i): 1 for i in there}, **{("decoders", i): len(there) for i in there}}
    with torch.no_grad():
        asked = [(mask(*(j for j in there if j != i)), i) for i in there]  # from all others
        asked += [(mask(j), i) for i in there for j in there if j != i]  # and from each
        made = [(network(images.images, given, N, mask(i))[:, i], i) for given, i in asked]
        expected = sum((each - images.images[:, i]).abs().mean() for each, i in made)
    assert losses["synthesis"].item() == pytest.approx(float(expected), rel=1e-5)


def test_what_is_absent_gets_no_gradient() -> None:
    network = small()
    _, losses = OBJECTIVE.generator_loss(network, None, batch(), Condition(AVAILABLE, AVAILABLE))
    losses["generator"].backward()
    for i in range(4):
        for module in (network.encoders[i], network.decoders[i]):
            assert all((p.grad is None) == (i == ABSENT) for p in module.parameters())


def test_wrapped_for_a_device_it_computes_the_same() -> None:
    network, images = small(), batch()
    condition = Condition(AVAILABLE, AVAILABLE)
    _, bare = OBJECTIVE.generator_loss(network, None, images, condition)
    wrapped = Fabric(accelerator="cpu", devices=1).setup(network)
    _, losses = OBJECTIVE.generator_loss(wrapped, None, images, condition)
    assert losses == bare
