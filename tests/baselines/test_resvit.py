"""ResViT: its size, the transformer its two blocks share, what goes in, and what its adversary sees."""

import pytest
import torch
from torch import nn

from pmmsynth.baselines.resvit import DROPOUT, ResViT, ResViTArchitecture, TransformerLayer, WholeStack
from pmmsynth.data import Batch, Condition
from pmmsynth.losses import LossWeights

N = torch.tensor(0)
WEIGHTS = LossWeights(synthesis=100.0, reconstruction=100.0, adversarial=1.0)


@pytest.fixture
def generator() -> ResViT:
    return ResViT(modalities=3, matrix=32, width=4, hidden=8, layers=1, heads=2).eval()


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def published(modalities: int, matrix: int) -> ResViT:
    with torch.device("meta"):
        return ResViT(modalities=modalities, matrix=matrix)


def test_it_has_the_parameters_of_the_paper() -> None:
    network = published(1, 256)
    assert count(network) == 123_441_537  # 123.4 M
    assert sum(map(count, (network.encoder, network.blocks, network.decoder))) == 11_370_881  # 11.4 M
    assert round(count(published(2, 256)) / 1e6, 1) == 123.4


def test_a_token_is_16_pixels_wide() -> None:
    """144 positions at 192 pixels, 256 at 256, in each of the two blocks; nothing else depends on the size."""
    assert count(published(1, 256)) - count(published(1, 192)) == 2 * (256 - 144) * 768


def test_blocks_one_and_six_share_a_transformer(generator: ResViT) -> None:
    ran: list[str] = []
    generator.transformer.register_forward_hook(lambda *_: ran.append("transformer"))
    for i, block in enumerate(generator.blocks):
        block.register_forward_hook(lambda *_, i=i: ran.append(f"block {i + 1}"))
    generator.synthesize(torch.rand(1, 3, 32, 32), [0], N, [1])
    assert ran == [
        *("transformer", "block 1", "block 2", "block 3", "block 4", "block 5"),
        *("transformer", "block 6", "block 7", "block 8", "block 9"),
    ]


def test_a_layer_of_the_transformer_is_that_of_pytorch() -> None:
    layer = TransformerLayer(8, heads=2).eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    other = nn.TransformerEncoderLayer(
        8, 2, 32, dropout=0.0, activation="gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
    ).eval()
    other.self_attn.load_state_dict(layer.attention.state_dict())
    for mine, theirs in (
        (layer.before_attention, other.norm1),
        (layer.before_mlp, other.norm2),
        (layer.mlp[0], other.linear1),
        (layer.mlp[3], other.linear2),
    ):
        theirs.load_state_dict(mine.state_dict())
    tokens = torch.randn(2, 4, 8)
    torch.testing.assert_close(layer(tokens), other(tokens))


def test_dropout_is_a_tenth_and_spares_the_attention(generator: ResViT) -> None:
    assert DROPOUT == 0.1
    assert [m.p for m in generator.modules() if isinstance(m, nn.Dropout)] == [0.1] * 4  # MLP twice, positions twice
    assert [m.dropout for m in generator.modules() if isinstance(m, nn.MultiheadAttention)] == [0.0]


def test_a_missing_modality_is_background(generator: ResViT) -> None:
    """Images go in from -1 to 1, and so does what is not given: as -1, not as the grey of 0."""
    seen: list[torch.Tensor] = []
    generator.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = torch.full((1, 3, 32, 32), 0.75)
    images[:, 2] = torch.nan
    generator(images, torch.tensor([True, False, False]), N, torch.tensor([False, True, False]))
    (stack,) = seen
    assert stack[:, 0].unique().tolist() == [0.5]
    assert stack[:, 1:].unique().tolist() == [-1.0]


class Stub(nn.Module):
    """Judges every pixel by itself: its value is its patch map."""

    def forward(self, stack: torch.Tensor) -> torch.Tensor:
        return stack


def step() -> tuple[Batch, torch.Tensor, Condition]:
    """Four modalities: 0 given, 1 synthesized, 2 there but not asked for, 3 absent."""
    truth, made = torch.zeros(1, 4, 1, 1), torch.full((1, 4, 1, 1), 0.9)
    truth[0, :, 0, 0] = torch.tensor([0.2, 0.6, 0.8, torch.nan])
    made[0, 1] = 0.4
    condition = Condition(torch.tensor([True, False, False, False]), torch.tensor([True, True, False, False]))
    return Batch(truth, torch.tensor([True, True, True, False]), N), made, condition


def test_the_adversary_sees_true_given_modalities_and_nothing_of_absent_ones() -> None:
    batch, made, condition = step()
    objective = WholeStack(WEIGHTS)
    (real,) = objective.judge(Stub(), batch.images, batch, condition)
    (fake,) = objective.judge(Stub(), made, batch, condition)
    assert real.flatten().tolist() == pytest.approx([0.2, 0.6, 0, 0])
    assert fake.flatten().tolist() == pytest.approx([0.2, 0.4, 0, 0])


def test_the_losses_by_hand() -> None:
    batch, made, condition = step()
    objective = WholeStack(WEIGHTS)
    adversary = objective.adversary_loss(Stub(), made, batch, condition)
    real = (0.8**2 + 0.4**2 + 1 + 1) / 4  # distance to 1 of 0.2, 0.6, 0, 0
    fake = (0.2**2 + 0.4**2) / 4  # to 0 of 0.2, 0.4, 0, 0
    assert adversary is not None
    assert adversary.item() == pytest.approx((real + fake) / 2)
    _, losses = objective.generator_loss(lambda *_: made, Stub(), batch, condition)
    fooled = (0.8**2 + 0.6**2 + 1 + 1) / 4
    assert losses["generator"].item() == pytest.approx(100 * 0.2 + 100 * 0.7 + fooled)


def test_without_a_synthesized_modality_there_is_nothing_to_judge() -> None:
    batch, made, condition = step()
    only = Condition(condition.sources, condition.sources)
    assert WholeStack(WEIGHTS).judge(Stub(), made, batch, only) == []
    assert WholeStack(WEIGHTS).adversary_loss(Stub(), made, batch, only) is None


@pytest.mark.parametrize(("matrix", "heads"), [(24, 12), (32, 5)])
def test_sizes_that_do_not_fit_are_refused(matrix: int, heads: int) -> None:
    with pytest.raises(ValueError, match=f"not {matrix} and 768"):
        ResViTArchitecture(heads=heads).build(modalities=3, datasets=1, matrix=matrix)
