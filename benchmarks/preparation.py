"""Where the time of preparing a case goes, and how much memory a process takes.

Usage: python benchmarks/preparation.py OUT COHORT...     (cohorts.toml files)

Every case is prepared in a process of its own, one after the other, with one thread; the functions of each stage are
timed from outside, in CPU seconds, so that other work on the machine counts little. OUT gets one line of JSON per case;
what is there is not done again.
"""

import json
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

from pmmsynth.atomic import write_text
from pmmsynth.case import Case, Scans
from pmmsynth.intake import read_cohorts
from pmmsynth.machine import memory_used
from pmmsynth.prepare import align, prepare_volumes, volumes
from pmmsynth.volume import read_volume

STAGES = {
    "brain": ((align, "extract_brain"), (align, "brain_mask")),
    "register": ((align, "register"), (align, "drift")),
    "bias": ((align, "without_bias"),),
    "resample": ((volumes, "on_prepared"),),
}
"""Which functions of which modules are timed; the rest is reading and the measures of quality."""


@dataclass
class Stopwatch:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def timed(self, stage: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        began = time.process_time()
        try:
            return function(*arguments, **options)
        finally:
            self.seconds[stage] += time.process_time() - began


def main(out: Path, cohorts: list[Path]) -> None:
    """Do what is missing and print the table."""
    rows = [json.loads(line) for line in out.read_text().splitlines()] if out.is_file() else []
    done = {(row["dataset"], row["case"]) for row in rows}
    for path in cohorts:
        table, manifest = read_cohorts(path)
        scans = {d.name: (d.scans, d.slice_mm) for d in table.datasets}
        for case in manifest.cases:
            if (case.dataset, case.id) not in done:
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
                    rows.append(alone.submit(measure, case, *scans[case.dataset]).result())
                write_text(out, "".join(json.dumps(row) + "\n" for row in rows))
    print(table_of(rows))
    print(f"\n{platform.processor() or platform.machine()}, one thread, Python {platform.python_version()}")


def measure(case: Case, scans: Scans, slice_mm: float | None) -> dict[str, object]:
    """One case as `prepare` does it, without writing."""
    watch = Stopwatch()
    for stage, functions in STAGES.items():
        for module, name in functions:
            setattr(module, name, partial(watch.timed, stage, getattr(module, name)))
    began = time.process_time()
    images = {name: watch.timed("read", read_volume, path) for name, path in case.images.items()}
    mask = watch.timed("read", read_volume, case.brain) if case.brain else None
    prepare_volumes(images, slice_mm=slice_mm, scans=scans, mask=mask)
    total = time.process_time() - began
    return {
        "dataset": case.dataset,
        "case": case.id,
        "sequences": len(images),
        "seconds": {**watch.seconds, "rest": total - sum(watch.seconds.values()), "total": total},
        "gigabytes": memory_used() / 1e9,
    }


def table_of(rows: list[dict[str, Any]]) -> str:
    """Per dataset: cases, mean CPU seconds of each stage, the most memory."""
    stages = ("read", *STAGES, "rest", "total")
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["dataset"]].append(row)
    lines = [
        f"| dataset | cases | {' | '.join(f'{s}, s' for s in stages)} | most memory, GB |",
        f"| --- |{' ---: |' * (len(stages) + 2)}",
    ]
    for name, own in groups.items():
        cells = [f"{fmean(row['seconds'].get(stage, 0.0) for row in own):.1f}" for stage in stages]
        lines.append(f"| {name} | {len(own)} | {' | '.join(cells)} | {max(row['gigabytes'] for row in own):.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(text) for text in sys.argv[2:]])
