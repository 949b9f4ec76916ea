"""What two run folders must have in common to be the same run."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch


def state(run: Path) -> dict[str, Any]:
    """Every tensor and number of the last checkpoint, by its place."""
    return dict(_leaves(torch.load(run / "checkpoints" / "last.pt", weights_only=True)))


def same(one: Path, other: Path) -> bool:
    a, b = state(one), state(other)
    return a.keys() == b.keys() and all(
        torch.equal(a[k], b[k]) if isinstance(a[k], torch.Tensor) else a[k] == b[k] for k in a
    )


def rows(run: Path) -> list[dict[str, Any]]:
    """The record without its timings."""
    kept = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in ("seconds_per_step", "data_share")} for row in kept]


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}")
    else:
        yield name, value
