"""pFLSynth: its size, what personalizes it from the start, one block by hand, and what its adversary sees."""

from math import sqrt

import pytest
import torch
from torch import nn

from pmmsynth.baselines.pflsynth import EqualizedLinear, Personalization, PFLSynth, SourceBeside
from pmmsynth.data import Batch, Condition, step_random
from pmmsynth.losses import LossWeights

N = torch.tensor(0)
WEIGHTS = LossWeights(synthesis=100.0, reconstruction=0.0, adversarial=1.0)


@pytest.fixture
def generator() -> PFLSynth:
    return PFLSynth(modalities=3, datasets=2, width=4, latent=8).eval()


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_it_has_the_parameters_of_the_paper() -> None:
    """Four datasets, four contrasts: 1.32 M in the mapper, 3.30 M in the blocks, the rest in the residual network."""
    with torch.device("meta"):
        network = PFLSynth(modalities=4, datasets=4)
    assert count(network.mapper) == 1_319_936
    assert count(network.personal) == 3_296_000
    assert count(network) == 1_319_936 + 3_296_000 + 11_370_881  # 15.99 M; the last as in ResViT without transformer


def test_an_equalized_layer_starts_as_a_scaled_normal_one() -> None:
    """Weights are drawn with deviation 1 / rate and used with gain / sqrt(inputs): the rate slows what is learned."""
    layer = EqualizedLinear(256, 512, gain=sqrt(2), rate=0.01)
    assert layer.weight.std().item() == pytest.approx(100, rel=0.02)
    layer(torch.ones(256)).sum().backward()
    used = layer(torch.eye(256)).std().item()  # a row of the weights as they are used
    assert used == pytest.approx(sqrt(2 / 256), rel=0.02)
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.weight.grad, torch.full((512, 256), 0.01 * sqrt(2 / 256)))
    assert layer.bias.grad is not None
    torch.testing.assert_close(layer.bias.grad, torch.full((512,), 0.01))


def test_the_mapper_is_six_layers_at_a_hundredth_of_the_rate(generator: PFLSynth) -> None:
    layers = [layer for layer in generator.mapper if isinstance(layer, EqualizedLinear)]
    assert [layer.rate for layer in layers] == [0.01] * 6
    assert {block.style.rate for block in generator.personal} == {1.0}


def test_the_latent_differs_between_datasets_from_the_start() -> None:
    """Three ones of twelve values, six layers that keep the spread up to 1.04: sqrt(0.25 * 1.04^6) = 0.56."""
    sizes, differences, spreads = [], [], []
    for seed in range(8):
        torch.manual_seed(seed)
        network = PFLSynth(modalities=4, datasets=4, width=1)
        with torch.no_grad():
            one, other = (network.latent(torch.tensor(n), 0, 1) for n in (0, 1))
        sizes.append(one.abs().mean())
        differences.append((one - other).abs().mean())
        spreads.append(one.square().mean())
    assert torch.stack(spreads).mean().sqrt().item() == pytest.approx(0.56, abs=0.06)
    assert torch.stack(sizes).mean().item() == pytest.approx(0.40, abs=0.05)
    assert torch.stack(differences).mean().item() == pytest.approx(0.28, abs=0.06)


def test_datasets_and_tasks_differ_from_the_start(generator: PFLSynth) -> None:
    images = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        made = generator.synthesize(images, [0], N, [1, 2])
        elsewhere = generator.synthesize(images, [0], torch.tensor(1), [1])
    assert (made[:, 1] - made[:, 2]).abs().max() > 1e-3
    assert (made[:, 1] - elsewhere[:, 1]).abs().max() > 1e-3


def test_a_block_by_hand() -> None:
    """Features of mean 2 and deviation 1 become -1 and 1; scale 0.5 and shift 3; then half of it: sigmoid(0)."""
    block = Personalization(8, latent=4)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        block.style.bias[:8], block.style.bias[8:] = 0.5, 3.0
    features = torch.tensor([1.0, 3.0]).expand(1, 8, 1, 2)
    expected = torch.tensor([(-1 * 1.5 + 3) / 2, (1 * 1.5 + 3) / 2]).expand(1, 8, 1, 2)
    torch.testing.assert_close(block(features, torch.randn(4)), expected, rtol=1e-4, atol=1e-4)


def test_a_block_follows_every_stage_but_the_last(generator: PFLSynth) -> None:
    ran: list[str] = []
    for name in ("stages", "personal"):
        for module in getattr(generator, name):
            module.register_forward_hook(lambda *_, name=name: ran.append(name))
    generator.image.register_forward_hook(lambda *_: ran.append("image"))
    generator.synthesize(torch.rand(1, 3, 16, 16), [0], N, [1])
    assert ran == [*["stages", "personal"] * 14, "image"]


def test_two_sources_are_refused(generator: PFLSynth) -> None:
    with pytest.raises(ValueError, match="takes one source"):
        generator.synthesize(torch.rand(1, 3, 16, 16), [0, 1], N, [2])


class Stub(nn.Module):
    """Its patch map is source, target and number of the target side by side."""

    def forward(self, source: torch.Tensor, target: torch.Tensor, modality: int) -> torch.Tensor:
        return torch.cat([source, target, torch.full_like(target, modality)], 1)


def test_the_adversary_sees_the_target_beside_the_true_source() -> None:
    truth, made = torch.zeros(1, 3, 1, 1), torch.full((1, 3, 1, 1), 0.9)
    truth[0, :, 0, 0] = torch.tensor([0.2, torch.nan, 0.6])
    made[0, 2] = 0.4
    batch = Batch(truth, torch.tensor([True, False, True]), N)
    condition = Condition(torch.tensor([True, False, False]), torch.tensor([False, False, True]))
    objective = SourceBeside(WEIGHTS)
    (real,) = objective.judge(Stub(), truth, batch, condition)
    (fake,) = objective.judge(Stub(), made, batch, condition)
    assert real.flatten().tolist() == pytest.approx([0.2, 0.6, 2])
    assert fake.flatten().tolist() == pytest.approx([0.2, 0.4, 2])
    loss = objective.adversary_loss(Stub(), made, batch, condition)
    assert loss is not None
    expected = ((0.8**2 + 0.4**2 + 1) / 3 + (0.2**2 + 0.4**2 + 4) / 3) / 2  # to 1, to 0, halved
    assert loss.item() == pytest.approx(expected)


def test_a_single_modality_teaches_nothing(generator: PFLSynth) -> None:
    batch = Batch(torch.rand(1, 3, 16, 16), torch.tensor([False, True, False]), N)
    objective = SourceBeside(WEIGHTS)
    condition = objective.draw(batch.available, step_random(seed=0, epoch=0, step=0), 0.0)
    _, losses = objective.generator_loss(generator, None, batch, condition)
    assert losses["generator"].item() == 0
    assert not losses["generator"].requires_grad  # so that Adam takes no step on old moments
