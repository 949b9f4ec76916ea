"""Laws of the generator."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from pmmsynth.nets import Discriminators, PMMSynth

N = torch.tensor(0)


@pytest.fixture
def generator() -> PMMSynth:
    return PMMSynth(modalities=4, width=4, residual_blocks=1, embedding=8)


def mask(*channels: int) -> torch.Tensor:
    return torch.tensor([c in channels for c in range(4)])


def stir(generator: PMMSynth) -> None:
    """Give the modulation something to say, as training does."""
    for name, parameter in generator.named_parameters():
        if "modulation.mlp" in name:
            torch.nn.init.normal_(parameter, std=0.5)


def test_what_is_not_a_source_may_be_nan(generator: PMMSynth) -> None:
    images = torch.rand(2, 4, 16, 16)
    spoiled = images.clone()
    spoiled[:, [1, 3]] = float("nan")
    made = generator(images, mask(0, 2), N, mask(1, 3))
    assert made[:, 1].abs().sum() > 0
    assert torch.equal(generator(spoiled, mask(0, 2), N, mask(1, 3)), made)


@pytest.mark.parametrize("targets", [(1,), (0, 3), (0, 1, 2, 3)])
def test_unwanted_targets_are_zero_and_wanted_ones_do_not_depend_on_the_others(
    generator: PMMSynth, targets: tuple[int, ...]
) -> None:
    images = torch.rand(1, 4, 16, 16)
    everything = generator(images, mask(0, 1), N, mask(0, 1, 2, 3))
    made = generator(images, mask(0, 1), N, mask(*targets))
    for channel in range(4):
        expected = everything[:, channel] if channel in targets else torch.zeros(1, 16, 16)
        assert torch.equal(made[:, channel], expected)


def test_streams_that_are_not_needed_do_not_run(generator: PMMSynth) -> None:
    ran: list[str] = []
    for i in range(4):
        generator.specific[i].register_forward_hook(lambda *_, i=i: ran.append(f"encoder {i}"))
        generator.decoders[i].register_forward_hook(lambda *_, i=i: ran.append(f"decoder {i}"))
    generator(torch.rand(1, 4, 16, 16), mask(0, 2), N, mask(3))
    assert ran == ["encoder 0", "encoder 2", "decoder 3"]


def test_all_datasets_alike_at_the_start_and_different_later(generator: PMMSynth) -> None:
    images = torch.rand(1, 4, 16, 16)

    def made() -> list[torch.Tensor]:
        return [generator(images, mask(0), torch.tensor(n), mask(1)) for n in range(4)]

    assert all(torch.equal(a, b) for a, b in pairwise(made()))
    stir(generator)
    assert all((a - b).abs().max() > 1e-3 for a, b in pairwise(made()))


def test_a_batch_equals_its_slices(generator: PMMSynth) -> None:
    stir(generator)
    generator.eval()
    images = torch.rand(5, 4, 16, 16)
    together = generator(images, mask(0, 1, 3), N, mask(1, 2))
    alone = torch.cat([generator(images[i : i + 1], mask(0, 1, 3), N, mask(1, 2)) for i in range(5)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_hardly_any_brain_is_finite(generator: PMMSynth) -> None:
    """Whole volumes have slices without brain and slices with a few pixels of it."""
    stir(generator)
    images = torch.zeros(3, 4, 16, 16)
    images[1, 0, 8, 8] = 1.0
    images[2, 0, 4:6, 4:6] = torch.rand(2, 2)
    made = generator(images, mask(0), N, mask(1, 2, 3))
    assert made.isfinite().all()
    assert made.abs().max() < 100


def test_the_shortcut_is_added_to_the_streams_and_may_be_left_out(generator: PMMSynth) -> None:
    plain = PMMSynth(modalities=4, width=4, residual_blocks=1, embedding=8, shortcut=False)
    own = generator.state_dict()
    plain.load_state_dict({name: value for name, value in own.items() if not name.startswith("shortcut.")})
    images = torch.rand(2, 4, 16, 16)
    assert torch.equal(plain(images, mask(0, 2), N, mask(3)), generator(images, mask(0, 2), N, mask(3))), "at the start"
    assert generator.shortcut is not None
    with torch.no_grad():
        generator.shortcut.heads[3].weight.zero_()
        generator.shortcut.heads[3].bias.copy_(torch.tensor([0.5, 9.0, 0.25, 9.0, 0.125]))
    added = generator(images, mask(0, 2), N, mask(3)) - plain(images, mask(0, 2), N, mask(3))
    torch.testing.assert_close(added[:, 3], 0.5 * images[:, 0] + 0.25 * images[:, 2] + 0.125)
    assert not added[:, :3].any()


def test_no_gradient_reaches_a_stream_without_part(generator: PMMSynth) -> None:
    generator(torch.rand(1, 4, 16, 16), mask(0), N, mask(1)).sum().backward()
    assert all(p.grad is None for i in (1, 2, 3) for p in generator.specific[i].parameters())
    assert all(p.grad is None for i in (0, 2, 3) for p in generator.decoders[i].parameters())
    assert all(p.grad is not None for p in generator.specific[0].parameters())


def test_parameter_counts_at_the_published_widths() -> None:
    """13.4 M at width 32 and 53.4 M at 64 for six modalities (peers: without modulation), counted layer by layer."""
    for width, millions in ((32, 13.4), (64, 53.4)):
        generator = PMMSynth(modalities=6, width=width)
        counts = {name: p.numel() for name, p in generator.named_parameters()}
        modulation = sum(n for name, n in counts.items() if "modulation" in name or name.startswith("embedding"))
        assert (sum(counts.values()) - modulation) / 1e6 == pytest.approx(millions, rel=0.02)
        assert modulation / sum(counts.values()) < 0.13


def test_discriminator_sees_seventy_pixels() -> None:
    discriminator = Discriminators(modalities=2, width=4)
    image = torch.rand(1, 1, 192, 192, requires_grad=True)
    patches = discriminator(image, 1)
    assert patches.shape == (1, 1, 22, 22)
    # without normalisation (which looks at the whole image) one output depends on 70 x 70 pixels
    plain = torch.nn.Sequential(*[m for m in discriminator.streams[1] if not isinstance(m, torch.nn.InstanceNorm2d)])
    plain(image)[0, 0, 11, 11].backward()
    assert image.grad is not None
    touched = image.grad[0, 0].abs() > 0
    assert touched.any(0).sum() == touched.any(1).sum() == 70


def test_discriminators_do_not_share_weights() -> None:
    discriminators = Discriminators(modalities=2, width=4)
    image = torch.rand(1, 1, 64, 64)
    assert not torch.allclose(discriminators(image, 0), discriminators(image, 1))
    F.mse_loss(discriminators(image, 0), torch.ones(1, 1, 6, 6)).backward()
    assert all(p.grad is None for p in discriminators.streams[1].parameters())
