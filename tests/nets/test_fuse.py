"""Fused modules compute what they compute unfused, values and gradients, for any size and number of sources."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from pmmsynth.machine import can_compile
from pmmsynth.nets import PMMSynth
from pmmsynth.nets.fuse import fuse


def outcome(generator: PMMSynth, size: int, sources: list[bool]) -> tuple[Tensor, dict[str, Tensor]]:
    torch.manual_seed(1)
    images = torch.zeros(2, 3, size, size)
    images[..., 4:-3, 5:-2] = torch.rand(2, 3, size - 7, size - 7)
    made = generator(images, torch.tensor(sources), torch.tensor(1), torch.ones(3, dtype=torch.bool))
    generator.zero_grad()
    (made * torch.randn(made.shape)).sum().backward()
    return made.detach(), {k: p.grad.clone() for k, p in generator.named_parameters() if p.grad is not None}


def main() -> None:
    """Compare, in a process of its own: the shape checks of the tests cannot be compiled."""
    assert can_compile(), "the machine has no C++ compiler"
    torch.manual_seed(0)
    generator = PMMSynth(modalities=3, width=8, residual_blocks=1, embedding=8)
    for name, parameter in generator.named_parameters():
        if "modulation.mlp" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    cases = [(32, [True, False, False]), (48, [True, True, False]), (32, [True, True, True])]
    plain = [outcome(generator, *case) for case in cases]
    names = list(generator.state_dict())
    fuse(generator)
    assert list(generator.state_dict()) == names
    for case, (made, gradients) in zip(cases, plain, strict=True):
        fused, fused_gradients = outcome(generator, *case)
        assert not torch.equal(fused, made), "nothing was compiled"
        assert torch.allclose(fused, made, rtol=1e-4, atol=1e-4)
        assert fused_gradients.keys() == gradients.keys()
        largest = max(float(gradient.norm()) for gradient in gradients.values())
        for name, gradient in gradients.items():  # rounding may move a value across the kink of a ReLU
            off = float((fused_gradients[name] - gradient).norm())
            assert off < 0.02 * float(gradient.norm()) + 1e-4 * largest, f"{name}: {off}"


@pytest.mark.slow
def test_fused_equals_unfused() -> None:
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    main()
