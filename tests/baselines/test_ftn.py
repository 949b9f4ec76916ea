"""FTN: its size, the plain U-Net it begins as, the transformation by hand, datasets that do not touch each other."""

import pytest
import torch
from torch import nn

from pmmsynth.baselines.ftn import FTN, FTNArchitecture

N = torch.tensor(0)


@pytest.fixture
def generator() -> FTN:
    return FTN(modalities=3, datasets=2, width=2)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def last(generator: FTN, dataset: int) -> nn.Linear:
    layer = generator.transform[dataset].mlp[-1]
    assert isinstance(layer, nn.Linear)
    return layer


def test_its_parameters() -> None:
    """Four datasets, six modalities: 4 x (12 -> 128 -> 128 -> 2 x 1472) beside the U-Net."""
    with torch.device("meta"):
        network = FTN(modalities=6, datasets=4)
    assert sum(network.sizes) == 32 + 64 + 128 + 256 + 512 + 256 + 128 + 64 + 32
    own = (12 * 128 + 128) + (128 * 128 + 128) + (128 * 2944 + 2944)
    assert count(network.transform) == 4 * own
    assert count(network) == 9_351_329  # 9.35 M


def test_datasets_and_tasks_begin_with_the_plain_unet(generator: FTN) -> None:
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        made = [generator.synthesize(images, [0], torch.tensor(n), [1, 2]) for n in (0, 1)]
        nothing = torch.zeros(sum(generator.sizes))
        plain = (generator._unet(2 * images[:, :1] - 1, nothing, nothing).tanh() + 1) / 2
    assert torch.equal(made[0], made[1])
    for target in (1, 2):
        assert torch.equal(made[0][:, target : target + 1], plain)


def test_the_last_level_by_hand(generator: FTN) -> None:
    """A scale of -1 and a shift of 0.25 leave 0.25 in both channels; the head makes 0.25 * (2 + 1) - 0.5 of it."""
    nn.init.constant_(generator.image.bias, -0.5)
    with torch.no_grad():
        generator.image.weight.copy_(torch.tensor([2.0, 1.0])[None, :, None, None])
        scale, shift = last(generator, 0).bias.chunk(2)
        scale[-2:], shift[-2:] = -1.0, 0.25
        made = generator.synthesize(torch.rand(2, 3, 32, 32), [0], N, [1])
    expected = (torch.tensor(0.25).tanh() + 1) / 2
    torch.testing.assert_close(made[:, 1], expected.expand(2, 32, 32))


def test_every_level_is_transformed(generator: FTN) -> None:
    """The scale of any one channel changes the image, of the nine levels alike."""
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        plain = generator.synthesize(images, [0], N, [1])
        for first in torch.tensor([0, *generator.sizes[:-1]]).cumsum(0).tolist():
            last(generator, 0).bias[first] = 5.0
            assert (generator.synthesize(images, [0], N, [1]) - plain).abs().max() > 1e-5
            last(generator, 0).bias[first] = 0.0


def test_a_dataset_teaches_its_own_network_and_the_shared_one(generator: FTN) -> None:
    generator.synthesize(torch.rand(1, 3, 32, 32), [0], torch.tensor(1), [2])[:, 2].mean().backward()
    assert all(p.grad is None for p in generator.transform[0].parameters())
    gradient = last(generator, 1).weight.grad
    assert gradient is not None
    assert gradient.any()
    shared = [p for name, p in generator.named_parameters() if not name.startswith("transform")]
    assert all(p.grad is not None for p in shared)


def test_what_one_dataset_learned_leaves_the_others_alone(generator: FTN) -> None:
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        before = [generator.synthesize(images, [0], torch.tensor(n), [1]) for n in (0, 1)]
        for parameter in generator.transform[0].parameters():
            nn.init.normal_(parameter, std=0.5)
        after = [generator.synthesize(images, [0], torch.tensor(n), [1]) for n in (0, 1)]
        other = generator.synthesize(images, [0], N, [2])
    assert not torch.equal(after[0], before[0])
    assert torch.equal(after[1], before[1])
    assert (other[:, 2] - after[0][:, 1]).abs().max() > 1e-3, "the task is an input of the dataset's network"


def test_two_sources_are_refused(generator: FTN) -> None:
    with pytest.raises(ValueError, match="takes one source"):
        generator.synthesize(torch.rand(1, 3, 32, 32), [0, 1], N, [2])


def test_slices_that_cannot_be_halved_four_times_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 16 pixels, not 40"):
        FTNArchitecture().build(modalities=3, datasets=1, matrix=40)
