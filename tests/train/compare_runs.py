"""What two run folders must have in common to be the same run."""

import json
from pathlib import Path
from typing import Any

import torch


def tensors(run: Path) -> dict[str, torch.Tensor]:
    """Generator, discriminators, optimizers and progress of the last checkpoint, as one flat table."""
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    flat = {f"{part}.{k}": v for part in ("generator", "discriminators") for k, v in state[part].items()}
    for part in ("generator_optimizer", "discriminator_optimizer"):
        for number, values in state[part]["state"].items():
            flat |= {f"{part}.{number}.{k}": torch.as_tensor(v) for k, v in values.items()}
    return flat | {k: torch.tensor(state["progress"][k]) for k in ("epoch", "step", "best")}


def same(one: Path, other: Path) -> bool:
    a, b = tensors(one), tensors(other)
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def rows(run: Path) -> list[dict[str, Any]]:
    """The record without its timings."""
    kept = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in ("seconds_per_step", "data_share")} for row in kept]
