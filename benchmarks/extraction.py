"""Brain masks of every sequence of the real cases against the masks that came with them: Dice and time.

Usage: python benchmarks/extraction.py DATA OUT

A mask that came with a case is a file of it or, for stripped cases, what is above 0 in the T1. OUT gets one line of
JSON per sequence; what is there is not done again.
"""

import json
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from pmmsynth.atomic import write_text
from pmmsynth.errors import BadInput
from pmmsynth.prepare.brain import brain_mask
from pmmsynth.prepare.extract import extract_brain
from pmmsynth.prepare.resample import resample
from pmmsynth.volume import read_volume

CASES = {
    "stroke/ads_jhu/subject01": "brainmask",
    "stroke/ads_jhu/subject02": "brainmask",
    "healthy/kirby21/113-02": "t1",
    "immune/open_ms_mni/patient19": "t1",
    "immune/open_ms_mni/patient26": "t1",
    "glioma/full/BraTS-GLI-00000-000": "t1",
    "glioma/full/TCGA-DU-7294": "t1",
    "stroke/kinghaw_test/case1": "flair",
}
SEQUENCES = ("t1", "t1c", "t2", "flair", "b0", "dwi", "adc")


def main(data: Path, out: Path) -> None:
    """Do what is missing and print the table."""
    rows = [json.loads(line) for line in out.read_text().splitlines()] if out.is_file() else []
    done = {(row["case"], row["sequence"]) for row in rows}
    for case, given in CASES.items():
        truth = read_volume(data / case / f"{given}.nii.gz")
        mask = truth.data > 0 if given == "brainmask" else brain_mask(truth, given)
        for name in SEQUENCES:
            path = data / case / f"{name}.nii.gz"
            if not path.is_file() or (case, name) in done:
                continue
            volume = read_volume(path)
            there = resample(mask.astype(np.float32), truth.grid, volume.grid, order=0) > 0
            began = time.perf_counter()
            try:
                found = extract_brain(volume)
            except BadInput:
                found = np.zeros_like(there)
            dice = 2 * float((found & there).sum()) / float(found.sum() + there.sum())
            kind = "head" if given == "brainmask" else "stripped"
            seconds = time.perf_counter() - began
            rows.append({"case": case, "sequence": name, "kind": kind, "dice": dice, "seconds": seconds})
            write_text(out, "".join(json.dumps(row) + "\n" for row in rows))
    print(table(rows))


def table(rows: list[dict[str, float]]) -> str:
    """Per sequence and kind: mean and least Dice, the time."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["sequence"], row["kind"]].append(row)
    lines = ["| sequence | given | volumes | Dice, mean (least) | seconds |", "| --- | --- | ---: | ---: | ---: |"]
    for name in SEQUENCES:
        for kind in ("head", "stripped"):
            if own := groups.get((name, kind)):
                dice, seconds = (np.array([row[key] for row in own]) for key in ("dice", "seconds"))
                scores = f"{dice.mean():.3f} ({dice.min():.3f})"
                lines.append(f"| {name} | {kind} | {len(own)} | {scores} | {np.median(seconds):.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
