"""The normalisation of ResViT and pFLSynth: of the batch in training, of each slice otherwise."""

import pytest
import torch
from torch import nn

from pmmsynth.baselines.residual import BatchNorm
from pmmsynth.nets.generator import Generator
from pmmsynth.train import TrainConfig, tiny


def test_outside_training_each_slice_has_its_own_statistics() -> None:
    layer = BatchNorm(3)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    images = torch.randn(4, 3, 8, 8) * torch.tensor([1.0, 5.0, 0.2, 2.0])[:, None, None, None] + 3
    usual = nn.BatchNorm2d(3)
    usual.load_state_dict(layer.state_dict(), strict=False)
    torch.testing.assert_close(layer(images), usual(images))
    alone = torch.cat([layer(image[None]) for image in images])
    torch.testing.assert_close(layer.eval()(images), alone)
    assert not list(layer.buffers()), "nothing is left of what it saw in training"


@pytest.mark.parametrize("method", ["ResViT", "pFLSynth"])
def test_a_slice_is_made_as_in_training_alone_and_without_dropout(method: str) -> None:
    """So the published code tests them; what was trained on before does not matter."""
    torch.manual_seed(0)
    config: TrainConfig = tiny(method)
    generator: Generator = config.architecture.build(modalities=3, datasets=2, matrix=64)
    images, dataset = torch.rand(2, 3, 64, 64), torch.tensor(1)
    sources, targets = torch.tensor([True, False, False]), torch.tensor([False, True, False])
    for _ in range(3):
        generator(0.1 * images, sources, dataset, targets)
    for module in generator.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    with torch.no_grad():
        one = [generator(images[i : i + 1], sources, dataset, targets) for i in range(2)]
        generator.eval()
        both = generator(images, sources, dataset, targets)
    torch.testing.assert_close(both, torch.cat(one), atol=1e-5, rtol=1e-4)
