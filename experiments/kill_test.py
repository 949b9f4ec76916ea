"""Kill training at random moments, give the same command again, and compare what it ends with to an unbroken run.

Usage: python experiments/kill_test.py --work runs/kill_test --trials 100 --jobs 2

Every trial kills its processes (SIGKILL to the whole group) at moments drawn uniformly over the wall time of the
unbroken run, from the start of Python to the weighing against regression: until one has hit the run in the middle of
its work, and with chance AGAIN once more each time. There is a checkpoint after every step, so many kills fall into
writing one. Trials are kept in `trials.jsonl` of the work folder: the script can itself be stopped and goes on. The
result is written to kill_test.json beside it.
"""

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from pmmsynth.atomic import write_json
from pmmsynth.record import read_record
from pmmsynth.train import tiny
from pmmsynth.verb import ending

AGAIN = 1 / 3
"""Chance of one more kill after each."""
STARTING = ("starting", "starting again")
"""Where nothing has been done yet since the last kill."""

CONFIG = replace(tiny(), epochs=3, checkpoint_seconds=0.0, precision="auto", fuse="auto")
"""Preset `tiny` with the engine of the larger presets: bfloat16 and compiled where the machine has them."""
TIMINGS = {"seconds_per_step", "data_share"}
LEFTOVERS = (".writing-", ".replaced-", "damaged.pt")


@dataclass(frozen=True)
class Bench:
    """The folder everything happens in."""

    work: Path

    @property
    def unbroken(self) -> Path:
        return self.work / "unbroken"

    def train(self, run: Path) -> subprocess.Popen[str]:
        """Start training into `run` in a process group of its own, on one thread."""
        return _start("train", self.work / "store", "--out", run, "--config", self.work / "config.toml")

    def set_up(self) -> float:
        """Simulate, prepare and train unbroken twice, unless that is done; the seconds the faster training took."""
        record = self.work / "unbroken.json"
        if not record.is_file():
            self.work.mkdir(parents=True, exist_ok=True)
            (self.work / "config.toml").write_text(CONFIG.toml())
            _finish(_start("simulate", self.work / "simulated", "--cases", "TTG=3,TTI=3,ISLES=3"))
            cohorts = self.work / "simulated" / "cohorts.toml"
            _finish(_start("prepare", cohorts, "--out", self.work / "store", "--matrix", 48, "--inplane-mm", 4))
            seconds = [self._train_unbroken(run) for run in (self.unbroken, self.work / "unbroken_too")]
            if different := differences(self.work / "unbroken_too", self.unbroken):
                raise SystemExit(f"two unbroken runs differ: {different}")
            write_json(record, {"seconds": round(min(seconds), 1)})
        return float(json.loads(record.read_text())["seconds"])

    def _train_unbroken(self, run: Path) -> float:
        shutil.rmtree(run, ignore_errors=True)
        began = time.monotonic()
        _finish(self.train(run))
        return time.monotonic() - began


def main(work: Path, trials: int = 100, jobs: int = 1, seed: int = 0) -> None:
    """Run the trials that are missing, `jobs` at a time, and write the result."""
    bench = Bench(work.absolute())
    seconds = bench.set_up()
    record = bench.work / "trials.jsonl"
    rows = [json.loads(line) for line in record.read_text().splitlines()] if record.is_file() else []
    missing = sorted(set(range(trials)) - {row["trial"] for row in rows})
    with ThreadPoolExecutor(jobs) as pool, record.open("a") as file:
        for future in as_completed([pool.submit(trial, bench, number, seed, seconds) for number in missing]):
            rows.append(future.result())
            print(json.dumps(rows[-1]), file=file, flush=True)
            print(f"{len(rows)}/{trials}: {rows[-1]}", flush=True)
    rows = [row for row in rows if row["trial"] < trials]
    result = {
        "command": f"python experiments/kill_test.py --work WORK --trials {trials} --jobs {jobs} --seed {seed}",
        "software": {name: version(name) for name in ("pmmsynth", "torch")} | {"python": platform.python_version()},
        "unbroken_seconds": seconds,
        "seed": seed,
        "trials": len(rows),
        "kills": sum(len(row["kills"]) for row in rows),
        "recovered": sum(row["recovered"] for row in rows),
        "equal": sum(row["recovered"] and not row["different"] for row in rows),
        "kills_by_phase": dict(Counter(kill["phase"] for row in rows for kill in row["kills"]).most_common()),
        "failures": [row for row in rows if row["different"] or not row["recovered"]],
    }
    write_json(Path(__file__).with_suffix(".json"), result)
    print(json.dumps(result, indent=2))


def trial(bench: Bench, number: int, seed: int, seconds: float) -> dict[str, Any]:
    """Kill a new run at least once, let it end, and say where it was killed and what is not as in the unbroken run."""
    rng = np.random.default_rng([seed, number])
    kills: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=bench.work) as folder:
        run = Path(folder) / "run"
        while all(kill["phase"] in STARTING for kill in kills) or rng.random() < AGAIN:
            moment = rng.uniform(0, seconds)
            resumes = any(run.glob("checkpoints/*.pt"))
            process = bench.train(run)
            try:
                process.communicate(timeout=moment)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                said, _ = process.communicate()
                going = not resumes or "resuming" in said
                kills.append({"second": round(moment, 2), "phase": phase(run) if going else STARTING[1]})
            else:  # it was faster than expected: once more from the beginning
                shutil.rmtree(run)
                kills.clear()
        process = bench.train(run)
        _, said = process.communicate()
        recovered = process.returncode == 0
        different = differences(run, bench.unbroken) if recovered else said.splitlines()[-3:]
    return {"trial": number, "kills": kills, "recovered": recovered, "different": different}


def phase(run: Path) -> str:
    """What a killed process was at, as far as the files tell."""
    if not (run / "config.toml").is_file():
        return STARTING[0]
    writing = [path.relative_to(run).parts[0] for path in run.rglob(".writing-*")]
    if writing:
        return {"checkpoints": "writing a checkpoint", "samples": "writing samples"}.get(
            writing[0], "writing the model" if writing[0].startswith(".writing-") else "writing something else"
        )
    if any(run.rglob(".replaced-*")):
        return "swapping model folders"
    last = run / "checkpoints" / "last.pt"
    if not last.is_file():
        return "between the renames of a checkpoint" if last.with_name("previous.pt").is_file() else "before step 1"
    progress = torch.load(last, weights_only=True)["progress"]
    if progress["epoch"] == CONFIG.epochs:
        return "weighing against regression, or done"
    rows = _rows(run / "metrics.jsonl")
    if len(list((run / "samples").glob("*.png"))) > progress["epoch"] or any(
        row["epoch"] > progress["epoch"] for row in rows if "validation_psnr" in row
    ):
        return "ending an epoch"
    return "training"


def differences(run: Path, unbroken: Path) -> list[str]:
    """The files of a run that are not as in the unbroken one: bytes, tensors, rows without their timings."""
    names = [{p.relative_to(folder).as_posix() for p in folder.rglob("*")} for folder in (run, unbroken)]
    different = sorted(names[0] ^ names[1]) + [name for name in names[0] if Path(name).name.startswith(LEFTOVERS)]
    exact = {"config.toml", "model/model.json", "model/model.safetensors"}
    exact |= {name for name in names[1] if name.endswith(".png")}
    different += [n for n in sorted(exact & names[0]) if (run / n).read_bytes() != (unbroken / n).read_bytes()]
    if _rows(run / "metrics.jsonl") != _rows(unbroken / "metrics.jsonl"):
        different.append("metrics.jsonl")
    one, other = (
        dict(_leaves(torch.load(folder / "checkpoints" / "last.pt", weights_only=True))) for folder in (run, unbroken)
    )
    if one.keys() != other.keys():
        different.append("checkpoints/last.pt: names")
    return different + [f"checkpoints/last.pt: {name}" for name in one if not _same(one[name], other.get(name))]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return type(one) is type(other) and bool(one == other)


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every tensor and number of nested tables and lists, by its place."""
    if isinstance(value, dict | list | tuple):
        pairs: Sequence[tuple[Any, Any]] = list(value.items() if isinstance(value, dict) else enumerate(value))
        for key, item in pairs:
            yield from _leaves(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a record without their timings."""
    rows = read_record(path) if path.is_file() else []
    return [{k: v for k, v in row.items() if k not in TIMINGS} for row in rows]


def _start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pmmsynth", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def _finish(process: subprocess.Popen[str]) -> None:
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(said)


if __name__ == "__main__":
    raise SystemExit(ending(lambda: tyro.cli(main)))
