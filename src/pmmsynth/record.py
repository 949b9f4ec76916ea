"""The record of a run: `metrics.jsonl`, one line per window of steps and per validation."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from pmmsynth.atomic import naming, write_text


class Record:
    """Appends rows to `metrics.jsonl`; on resuming, rows after the checkpoint are dropped first.

    Args:
        path: The file.
        steps: Steps done so far, in all epochs: later rows belong to work that was lost.
        epochs: Complete epochs: so do validations of later ones, which come after the last step of an epoch.
    """

    def __init__(self, path: Path, *, steps: int, epochs: int) -> None:
        self.path = path
        if path.is_file():
            rows = [row for row in read_record(path) if _within(row, steps, epochs)]
            write_text(path, "".join(json.dumps(row) + "\n" for row in rows))

    def add(self, row: dict[str, Any]) -> None:
        """Append one row and make sure it is on disk."""
        with naming(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())


def read_record(path: Path) -> list[dict[str, Any]]:
    """The rows of a record; lines that are none, cut short by a kill or damaged, are left out."""
    found = []
    for line in path.read_bytes().decode("utf-8", errors="replace").split("\n"):
        with suppress(ValueError, RecursionError):
            found.append(json.loads(line))
    return [row for row in found if isinstance(row, dict)]


def _within(row: dict[str, Any], steps: int, epochs: int) -> bool:
    try:
        validated = row["epoch"] if "validation_psnr" in row else 0
        return bool(row["global_step"] <= steps and validated <= epochs)
    except (KeyError, TypeError):
        return False  # damaged
