"""Peak memory of `prepare` and `train` against the number of cases, each in a process of its own.

The cases are small (60 x 72 x 12 voxels) and alike, so that a thousand of them are prepared in minutes: what is looked
for is growth with their number. Finished measurements are kept in OUT and not repeated.

Usage: python benchmarks/memory.py OUT [COUNT ...]
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from pmmsynth.volume import Volume, write_volume

COUNTS = (10, 100, 1000)
RUN = """
import sys, json
from pmmsynth.cli import main
from pmmsynth.machine import memory_used
code = main(sys.argv[1:])
print(json.dumps({"exit": code, "peak_mb": round(memory_used() / 1e6)}))
"""


def write_cases(root: Path, count: int) -> Path:
    """Folders of hard links to three volumes; returns the cohort file."""
    z, y, x = np.meshgrid(*(np.linspace(-1.2, 1.2, n) for n in (60, 72, 12)), indexing="ij")
    head = z**2 + y**2 + x**2 < 1
    files = {}
    for number, name in enumerate(("t1", "t2", "flair")):
        files[name] = root / "volumes" / f"{name}.nii.gz"
        files[name].parent.mkdir(parents=True, exist_ok=True)
        data = (head * (500 + 200 * np.sin(5 * z + number) * np.cos(4 * y))).astype(np.float32)
        write_volume(files[name], data, Volume(data, np.diag([2.5, 2.5, 8.0, 1.0])), "phantom")
    cases = root / f"cases{count}"
    for number in range(count):
        folder = cases / f"P{number:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        for file in files.values():
            if not (folder / file.name).exists():
                os.link(file, folder / file.name)
    cohort = root / f"cohorts{count}.toml"
    cohort.write_text(f'seed = 0\n[[dataset]]\nname = "P"\nroot = "{cases.resolve()}"\nlayout = "brats"\n', "utf-8")
    return cohort


def peak(*command: object) -> int:
    """Megabytes at most of one command; it must succeed."""
    done = subprocess.run([sys.executable, "-c", RUN, *map(str, command)], check=True, capture_output=True, text=True)
    answer = json.loads(done.stdout.splitlines()[-1])
    if answer["exit"]:
        raise SystemExit(f"found exit code {answer['exit']} from {command}: {done.stderr}")
    return answer["peak_mb"]


def main(out: Path, counts: tuple[int, ...]) -> None:
    file = out / "memory.json"
    rows = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for count in counts:
        if str(count) not in rows:
            cohort, store, run = write_cases(out, count), out / f"store{count}", out / f"run{count}"
            size = ("--matrix", 64, "--inplane-mm", 3)
            prepared = peak("prepare", cohort, "--out", store, *size, "--quiet")
            trained = peak("train", store, "--out", run, "--preset", "tiny", "--epochs", 1, "--quiet")
            rows[str(count)] = {"prepare_mb": prepared, "train_mb": trained}
            file.write_text(json.dumps(rows, indent=1), encoding="utf-8")
        print(count, rows[str(count)], flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), tuple(int(n) for n in sys.argv[2:]) or COUNTS)
