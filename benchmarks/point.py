"""One measurement in a process of its own, so that its peak of memory is its own: prints one line of JSON.

Usage: python benchmarks/point.py '{"kind": "train", "method": "PMM-Synth", "preset": "small", "batch": 16}'
"""

import json
import sys
import time
from typing import Any

import torch
from ceiling import ceiling, recorded, timed
from lightning_fabric import Fabric
from torch import nn

from pmmsynth.data import Batch, Condition, step_random
from pmmsynth.machine import fast_bf16, memory_used
from pmmsynth.methods import METHODS
from pmmsynth.objective import Objective
from pmmsynth.train import PRESETS
from pmmsynth.train.learner import Learner

MODALITIES, DATASETS, SIZE = 6, 4, 192
HEAD = (slice(14, 178), slice(24, 168))
"""164 x 144 pixels of 1 mm: the box a middle slice of the real cases takes."""


def phantoms(slices: int) -> torch.Tensor:
    """Slices with a head of the usual size and random contents."""
    images = torch.zeros(slices, MODALITIES, SIZE, SIZE)
    images[..., *HEAD] = torch.rand(images[..., *HEAD].shape) + 0.01
    return images


def mask(count: int, first: int = 0) -> torch.Tensor:
    """`count` modalities from `first` on."""
    return torch.tensor([first <= i < first + count for i in range(MODALITIES)])


def train(method: str, preset: str, batch: int, sources: int = 3, full: bool = False) -> dict[str, Any]:
    """A step of generator and adversary: seconds, and with `full` its parts and the ceiling."""
    config = PRESETS[preset](method).resolved()
    fabric = Fabric(accelerator="cpu", devices=1, precision=config.precision)
    learner = Learner.build(fabric, config, modalities=MODALITIES, datasets=DATASETS, matrix=SIZE)
    data = Batch(phantoms(batch), mask(MODALITIES), torch.tensor(0))
    random = step_random(seed=0, epoch=0, step=0)
    condition = learner.objective.draw(data.available, random, 0.99)
    if type(learner.objective).draw is Objective.draw:  # else the number of sources is the method's own
        condition = Condition(mask(sources), condition.targets)
    networks = [module for module in (learner.state.generator, learner.state.adversary) if module]

    def step() -> None:
        learner.step(data, condition)

    with recorded(*networks) as calls:
        step()  # compiles
    seconds = timed(step, 1 if preset == "paper" else 5)
    result = {"seconds": seconds, "ms_per_slice": 1e3 * seconds / batch}
    if full:
        least, flops = ceiling(calls)
        result |= {"ceiling_seconds": least, "tflop": flops / 1e12, "ceiling_gflops": flops / least / 1e9}
        result |= {"gflops": flops / seconds / 1e9, "share": least / seconds}
    return result


def infer(
    method: str, preset: str, batch: int, sources: int = 3, targets: int = 1, full: bool = False
) -> dict[str, Any]:
    """Slices through the generator: milliseconds per slice, and with `full` its parts and the ceiling."""
    torch.manual_seed(0)
    architecture = PRESETS[preset](method).architecture
    network = architecture.build(modalities=MODALITIES, datasets=DATASETS, matrix=SIZE).eval()
    given = mask(1 if METHODS[method].one_to_one else sources)
    images, asked = phantoms(batch), (given, torch.tensor(0), mask(targets, MODALITIES - targets))

    def call() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=fast_bf16()):
            network(images, *asked)

    seconds = timed(call)
    result: dict[str, Any] = {"seconds": seconds, "ms_per_slice": 1e3 * seconds / batch}
    if full:
        with recorded(network) as calls:
            call()
        least, flops = ceiling(calls)
        result |= {"ceiling_seconds": least, "gflops": flops / seconds / 1e9, "share": least / seconds}
        result |= {"ceiling_gflops": flops / least / 1e9, "stages": stages(network, call)}
    return result


def stages(network: nn.Module, call: Any) -> dict[str, float]:
    """Seconds in each direct part of a network during one call, parts of a list together."""
    spent: dict[str, float] = {}
    began: dict[nn.Module, float] = {}

    def before(module: nn.Module, _: Any) -> None:
        began[module] = time.perf_counter()

    def after(module: nn.Module, *_: Any) -> None:
        name = names[module]
        spent[name] = spent.get(name, 0.0) + time.perf_counter() - began[module]

    names: dict[nn.Module, str] = {}
    for name, child in network.named_children():
        names |= dict.fromkeys(child if isinstance(child, nn.ModuleList) else [child], name)
    hooks = [h for m in names for h in (m.register_forward_pre_hook(before), m.register_forward_hook(after))]
    call()
    for hook in hooks:
        hook.remove()
    return spent


def main(asked: dict[str, Any]) -> None:
    kind = asked.pop("kind")
    result = {"train": train, "infer": infer}[kind](**asked)
    print(json.dumps({"kind": kind, **asked, **result, "peak_gb": memory_used() / 1e9}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
