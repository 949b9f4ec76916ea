"""The ceiling of a computation: the time its own convolutions take alone, one shape after the other."""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

REPEATS = 3


@dataclass(frozen=True)
class Convolution:
    """One convolution as a network calls it.

    Attributes:
        shape: Of the input.
        weight: Shape of the weight.
        stride: Along both axes.
        padding: On all sides.
        gradients: Whether the input, and the weight, need a gradient.
    """

    shape: tuple[int, ...]
    weight: tuple[int, ...]
    stride: int
    padding: int
    gradients: tuple[bool, bool]

    @property
    def flops(self) -> float:
        """Multiplications and additions of one call, with its gradients."""
        rows, columns = (
            (n + 2 * self.padding - k) // self.stride + 1 for n, k in zip(self.shape[2:], self.weight[2:], strict=True)
        )
        outputs, inputs, height, width = self.weight
        once = 2.0 * self.shape[0] * rows * columns * outputs * inputs * height * width
        return once * (1 + sum(self.gradients))

    def seconds(self) -> float:
        """Median time of one call, with its gradients, in bfloat16 and channels last."""
        wide = {"dtype": torch.bfloat16, "memory_format": torch.channels_last}
        data = torch.rand(self.shape).to(**wide).requires_grad_(self.gradients[0])
        weight = torch.rand(self.weight).to(**wide).requires_grad_(self.gradients[1])
        wanted = [t for t in (data, weight) if t.requires_grad]
        after = torch.rand_like(F.conv2d(data, weight, None, self.stride, self.padding))

        def call() -> None:
            made = F.conv2d(data, weight, None, self.stride, self.padding)
            if wanted:
                torch.autograd.grad(made, wanted, after)

        return timed(call)


def timed(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median seconds of a call, after one that is not counted."""
    call()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


@contextmanager
def recorded(*networks: nn.Module) -> Iterator[Counter[Convolution]]:
    """Count the convolutions that networks call while the context is open."""
    calls: Counter[Convolution] = Counter()

    def note(module: nn.Conv2d, inputs: tuple[Tensor, ...]) -> None:
        (data,) = inputs
        gradients = (data.requires_grad, module.weight.requires_grad and torch.is_grad_enabled())
        size = tuple(data.shape), tuple(module.weight.shape)
        calls[Convolution(*size, module.stride[0], int(module.padding[0]), gradients)] += 1

    hooks = [m.register_forward_pre_hook(note) for n in networks for m in n.modules() if isinstance(m, nn.Conv2d)]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def ceiling(calls: Counter[Convolution]) -> tuple[float, float]:
    """Seconds and floating-point operations of all recorded convolutions, each timed alone."""
    seconds = sum(count * convolution.seconds() for convolution, count in calls.items())
    return seconds, sum(count * convolution.flops for convolution, count in calls.items())
