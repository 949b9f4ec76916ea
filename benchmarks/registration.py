"""Known moves of real sequences: how far registration is off, how long it takes, whether its doubt tells.

Usage: python benchmarks/registration.py DATA OUT [MOVES]

DATA is the folder of real cases. Each moving sequence is turned by up to 15 degrees, shifted by up to 20 mm and
resampled to another spacing, MOVES times (20), then registered. Its error is the mean distance of brain points from
where they belong: by the header where the authors of the data registered them, and by the registration of the unmoved
sequence where they did not. OUT gets one line of JSON per registration; what is there is not done again.
"""

import json
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pmmsynth.atomic import write_text
from pmmsynth.prepare.brain import brain_mask
from pmmsynth.prepare.extract import extract_brain
from pmmsynth.prepare.register import register
from pmmsynth.prepare.resample import resample
from pmmsynth.volume import Grid, Volume, read_volume

DEGREES, MM = 15.0, 20.0


@dataclass(frozen=True)
class Pair:
    """A sequence to register to another; `aligned`: its header is the truth; `spacing`: in mm, it is resampled to."""

    case: str
    fixed: str
    moving: str
    stripped: bool
    aligned: bool
    spacing: tuple[float, float, float]


PAIRS = (
    Pair("healthy/kirby21/113-02", "t1", "t2", True, True, (1, 1, 3)),
    Pair("healthy/kirby21/113-02", "t1", "flair", True, True, (0.8, 0.8, 4)),
    Pair("immune/open_ms_mni/patient26", "t1", "t1c", True, True, (1, 1, 2)),
    Pair("immune/open_ms_mni/patient26", "t1", "flair", True, True, (0.9, 0.9, 4)),
    Pair("immune/open_ms_raw/patient12_study1", "t1", "t2", False, False, (0.8, 0.8, 3.3)),
    Pair("immune/open_ms_raw/patient12_study1", "t1", "flair", False, False, (1, 1, 3)),
    Pair("immune/open_ms_raw/patient20_study2", "t1", "flair", False, False, (1.2, 1.2, 3)),
    Pair("stroke/isles22/sub-strokecase0009", "flair", "dwi", False, False, (1.8, 1.8, 2.5)),
)


def main(data: Path, out: Path, moves: int) -> None:
    """Do what is missing and print the table."""
    done = [json.loads(line) for line in out.read_text().splitlines()] if out.is_file() else []
    for pair in PAIRS:
        name = f"{pair.case} {pair.moving} to {pair.fixed}"
        have = {row["move"] for row in done if row["pair"] == name}
        if have >= set(range(moves)):
            continue
        fixed, moving = (read_volume(data / pair.case / f"{n}.nii.gz") for n in (pair.fixed, pair.moving))
        brain = brain_mask(fixed, pair.fixed) if pair.stripped else extract_brain(fixed)
        points = np.argwhere(brain)[::200] @ fixed.affine[:3, :3].T + fixed.affine[:3, 3]
        truth = np.eye(4) if pair.aligned else register(moving, fixed, brain).matrix
        for number in sorted(set(range(moves)) - have):
            known = known_move(number, points.mean(0))
            scan = rescanned(moving, known, pair.spacing)
            began = time.perf_counter()
            found = register(scan, fixed, brain)
            left = found.matrix @ known @ np.linalg.inv(truth)
            done.append(
                {
                    "pair": name,
                    "aligned": pair.aligned,
                    "move": number,
                    "moved_mm": float(distances(known, points).mean()),
                    "error_mm": float(distances(left, points).mean()),
                    "error_degrees": float(np.rad2deg(Rotation.from_matrix(left[:3, :3]).magnitude())),
                    "doubt_mm": found.doubt,
                    "information": found.information,
                    "seconds": time.perf_counter() - began,
                }
            )
            write_text(out, "".join(json.dumps(row) + "\n" for row in done))
    print(table(done))


def known_move(number: int, centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """4x4: about an axis, up to DEGREES; along another, up to MM."""
    random = np.random.default_rng(number)
    axis, way = (v / np.linalg.norm(v) for v in random.normal(size=(2, 3)))
    move = np.eye(4)
    move[:3, :3] = Rotation.from_rotvec(np.deg2rad(random.uniform(0, DEGREES)) * axis).as_matrix()
    move[:3, 3] = centre - move[:3, :3] @ centre + random.uniform(0, MM) * way
    return move


def rescanned(volume: Volume, move: NDArray[np.float64], spacing: tuple[float, float, float]) -> Volume:
    """The head moved and scanned again on upright slices that hold all of it."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in volume.data.shape])).reshape(3, -1).T
    moved = move @ volume.affine
    places = corners @ moved[:3, :3].T + moved[:3, 3]
    low, high = places.min(0), places.max(0)
    shape = tuple(int(n) for n in np.ceil((high - low) / spacing) + 1)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = low
    data = resample(volume.data, Grid(volume.data.shape, moved), Grid(shape, affine))
    return replace(volume, data=data, affine=affine)


def distances(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each point is moved."""
    return np.linalg.norm(points @ matrix[:3, :3].T + matrix[:3, 3] - points, axis=1)


def table(rows: list[dict[str, float]]) -> str:
    """Per pair: mean and worst error, the doubt, the time."""
    pairs = defaultdict(list)
    for row in rows:
        pairs[row["pair"], row["aligned"]].append(row)
    lines = [
        "| pair | truth | moves | error, mean (worst), mm | degrees | doubt, mean (worst), mm | seconds |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (name, aligned), own in pairs.items():
        error, degrees, doubt, seconds = (
            np.array([row[key] for row in own]) for key in ("error_mm", "error_degrees", "doubt_mm", "seconds")
        )
        lines.append(
            f"| {name} | {'header' if aligned else 'unmoved'} | {len(own)} | {error.mean():.2f} ({error.max():.2f}) | "
            f"{degrees.mean():.2f} | {doubt.mean():.2f} ({doubt.max():.2f}) | {np.median(seconds):.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) == 4 else 20)
