"""One training step of `paper()` at 192 x 192, batch 16, six modalities: its time and peak memory on this machine.

Usage: python experiments/paper_step.py [32-true | bf16-mixed]
"""

import json
import resource
import sys
import time

import torch
from lightning_fabric import Fabric

from pmmsynth.data import Batch
from pmmsynth.nets import Discriminators, PMMSynth
from pmmsynth.train import paper
from pmmsynth.train.checkpoint import Progress, TrainState
from pmmsynth.train.loop import train_step


def main(precision: str) -> None:
    """Run a warm-up-free step: three sources, three targets, random images."""
    config = paper()
    fabric = Fabric(accelerator="auto", devices=1, precision=precision)  # type: ignore[arg-type]
    torch.manual_seed(0)
    generator = PMMSynth(modalities=6, **config.architecture.model_dump())
    discriminators = Discriminators(modalities=6, width=config.discriminator_width)
    g_optimizer, d_optimizer = (
        torch.optim.Adam(m.parameters(), lr=config.learning_rate, betas=config.betas)
        for m in (generator, discriminators)
    )
    g_model, g_wrapped = fabric.setup(generator, g_optimizer)
    d_model, d_wrapped = fabric.setup(discriminators, d_optimizer)
    state = TrainState(generator, discriminators, g_wrapped, d_wrapped, Progress())
    batch = Batch(torch.rand(config.batch_size, 6, 192, 192), torch.ones(6, dtype=torch.bool), torch.tensor(0))
    sources = torch.tensor([True, True, True, False, False, False])
    began = time.monotonic()
    losses = train_step(batch.to(fabric.device), sources, fabric, g_model, d_model, state, config.weights)
    seconds = time.monotonic() - began
    result = {
        "precision": precision,
        "device": fabric.device.type,
        "threads": torch.get_num_threads(),
        "parameters": sum(p.numel() for p in generator.parameters()),
        "seconds": round(seconds, 1),
        "peak_gigabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1),
        "finite": all(value == value for value in losses.values()),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "bf16-mixed")
