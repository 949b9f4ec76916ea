"""Eq. 1-3 against values computed by hand."""

import math

import torch
from torch.nn import functional as F

from pmmsynth.nets.blocks import ConvBlock
from pmmsynth.nets.modulation import DatasetEmbedding, Modulation, sinusoidal


def test_sinusoidal_code_by_hand() -> None:
    code = sinusoidal(torch.tensor(2), width=4)
    expected = [math.sin(2), math.sin(2 / 100), math.cos(2), math.cos(2 / 100)]  # 10000^(-2k/4) is 1, 1/100
    assert torch.allclose(code, torch.tensor(expected), atol=1e-6)


def test_codes_of_datasets_differ() -> None:
    codes = torch.stack([sinusoidal(torch.tensor(n)) for n in range(8)])
    assert (torch.pdist(codes) > 0.5).all()


def test_equation_1_is_an_mlp_of_the_code() -> None:
    embedding = DatasetEmbedding(width=8)
    first, _, last = embedding.mlp
    hidden = F.silu(first.weight @ sinusoidal(torch.tensor(3)) + first.bias)
    assert torch.allclose(embedding(torch.tensor(3)), last.weight @ hidden + last.bias, atol=1e-6)


def test_equation_2_by_hand_and_zero_at_the_start() -> None:
    modulation = Modulation(2, embedding=3)
    vector = torch.tensor([1.0, -2.0, 0.5])
    gamma, beta = modulation(vector)
    assert gamma.tolist() == beta.tolist() == [0, 0]
    torch.nn.init.ones_(modulation.mlp[-1].weight[:2])
    torch.nn.init.constant_(modulation.mlp[-1].bias, 0.25)
    gamma, beta = modulation(vector)
    silu = sum(v / (1 + math.exp(-v)) for v in vector.tolist())
    assert torch.allclose(gamma, torch.full((2,), silu + 0.25), atol=1e-6)
    assert torch.allclose(beta, torch.full((2,), 0.25))


def test_equation_3_in_a_block() -> None:
    """relu(norm(conv(x)) * (gamma + 1) + beta) inside the head, written out; 0 outside."""
    block = ConvBlock(1, 2, embedding=3)
    torch.nn.init.normal_(block.modulation.mlp[-1].weight)
    x, vector = torch.randn(2, 1, 8, 8), torch.randn(3)
    head = torch.zeros(2, 1, 8, 8)
    head[:, :, 2:7, 1:5] = 1
    gamma, beta = block.modulation(vector)
    raw = block.convolution(x)[:, :, 2:7, 1:5]
    mean = raw.mean((2, 3), keepdim=True)
    variance = raw.var((2, 3), keepdim=True, unbiased=False)
    normal = (raw - mean) / (variance + 1e-5).sqrt()
    expected = torch.zeros(2, 2, 8, 8)
    expected[:, :, 2:7, 1:5] = (normal * (gamma[:, None, None] + 1) + beta[:, None, None]).clamp(min=0)
    assert torch.allclose(block(x, vector, head), expected, atol=1e-5)


def test_equation_3_in_a_block_without_normalisation() -> None:
    """relu(conv(x) * (gamma + 1) + beta): twice the input is twice the output where beta is 0."""
    block = ConvBlock(1, 2, embedding=3, normalize=False)
    x, vector, head = torch.randn(2, 1, 8, 8), torch.randn(3), torch.zeros(2, 1, 8, 8)
    assert torch.allclose(block(2 * x, vector, head), 2 * block(x, vector, head), atol=1e-6)
    torch.nn.init.normal_(block.modulation.mlp[-1].weight)
    gamma, beta = block.modulation(vector)
    expected = (block.convolution(x) * (gamma[:, None, None] + 1) + beta[:, None, None]).clamp(min=0)
    assert torch.allclose(block(x, vector, head), expected, atol=1e-6)
