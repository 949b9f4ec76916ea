"""How networks lie in memory, and work between convolutions as one pass over the features (torch.compile)."""

import torch
from torch import nn

VARIANTS = 64
"""How many variants of one module (with and without gradient, each number of sources) may be compiled."""


class Fused(nn.Module):
    """Marks a module without parameters that `fuse` may compile; uncompiled it computes the same."""


def fuse(network: nn.Module) -> None:
    """Compile every `Fused` module of a network, for any size of features. Weights and their names stay."""
    torch._dynamo.config.recompile_limit = max(VARIANTS, torch._dynamo.config.recompile_limit)
    for module in network.modules():
        if isinstance(module, Fused):
            module.compile(dynamic=True)


def channels_last(network: nn.Module) -> None:
    """Store the weights of convolutions channels last; features follow, which spares copies on CPU and CUDA."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
