"""The normalisation of ResViT and pFLSynth: of each slice, in training and outside it, as with batches of one."""

import pytest
import torch
from torch import nn

from pmmsynth.baselines.residual import PatchGAN, normalize
from pmmsynth.nets.generator import Generator
from pmmsynth.train import TrainConfig, tiny


def test_it_is_batch_normalisation_of_a_batch_of_one() -> None:
    layer, usual = normalize(3), nn.BatchNorm2d(3)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    usual.load_state_dict(layer.state_dict(), strict=False)
    images = torch.randn(4, 3, 8, 8) * torch.tensor([1.0, 5.0, 0.2, 2.0])[:, None, None, None] + 3
    alone = torch.cat([usual(image[None]) for image in images])
    torch.testing.assert_close(layer(images), alone)
    torch.testing.assert_close(layer.eval()(images), alone)
    assert not list(layer.buffers()), "nothing is left of what it saw in training"


@pytest.mark.parametrize("method", ["ResViT", "pFLSynth"])
def test_a_slice_is_made_as_in_training_without_dropout(method: str) -> None:
    """Alone or in a batch, whatever was trained on before."""
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
        together = generator(images, sources, dataset, targets)
        generator.eval()
        alone = [generator(images[i : i + 1], sources, dataset, targets) for i in range(2)]
        torch.testing.assert_close(generator(images, sources, dataset, targets), together, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(torch.cat(alone), together, atol=1e-5, rtol=1e-4)


def test_the_adversary_judges_a_slice_alone() -> None:
    """So real and made images may go through it together."""
    torch.manual_seed(0)
    adversary, images = PatchGAN(1, width=4), torch.rand(3, 1, 64, 64)
    torch.testing.assert_close(adversary(images), torch.cat([adversary(image[None]) for image in images]))
