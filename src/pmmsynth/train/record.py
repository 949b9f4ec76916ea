"""The record of a run: `metrics.jsonl`, one line per window of steps and per validation."""

import json
import os
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
            rows = [
                line
                for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
                if _within(line, steps, epochs)
            ]
            write_text(path, "".join(line + "\n" for line in rows))

    def add(self, row: dict[str, Any]) -> None:
        """Append one row and make sure it is on disk."""
        with naming(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _within(line: str, steps: int, epochs: int) -> bool:
    try:
        row = json.loads(line)
        validated = row["epoch"] if "validation_psnr" in row else 0
        return bool(row["global_step"] <= steps and validated <= epochs)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False  # a line cut short by a kill, or damaged
