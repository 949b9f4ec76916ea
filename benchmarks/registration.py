"""Known moves of real sequences: how far registration is off, how long it takes, whether its doubt tells; ANTsPy's too.

Usage:
    OMP_NUM_THREADS=1 ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1 python benchmarks/registration.py DATA OUT [MOVES [PAIRS]]
    python benchmarks/registration.py OUT

DATA is the folder of real cases. Each moving sequence is turned by up to 15 degrees, shifted by up to 20 mm and
resampled to another spacing, MOVES times (20), then registered: by pmmsynth and, where `antspyx` is installed, by
ANTsPy (ants_rigid.py). PAIRS is how many of the list below, from its top; all without it. The error is the mean
distance of brain points from where they belong: by the header where the authors of the data registered them, and by the
same tool's registration of the unmoved sequence where they did not, which tells how well it repeats itself. OUT gets
one line of JSON per registration; what is there is not done again. With OUT alone, its table goes into
docs/explanation/raw-scans.md.
"""

import json
import os
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from pmmsynth.atomic import write_text
from pmmsynth.prepare.brain import brain_mask
from pmmsynth.prepare.extract import extract_brain
from pmmsynth.prepare.quality import DOUBT, LEAST_INFORMATION
from pmmsynth.prepare.register import MARGIN_MM, register
from pmmsynth.prepare.resample import resample
from pmmsynth.volume import Grid, Volume, read_volume

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "raw-scans.md"
START, END = "<!-- written by benchmarks/registration.py -->", "<!-- end of benchmarks/registration.py -->"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
DEGREES, MM = 15.0, 20.0
FAILED_MM = 2.0
Row = dict[str, Any]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """A sequence to register to another.

    Attributes:
        aligned: Its header is the truth.
        spacing: It is resampled to, in mm.
        peers: What it is registered by besides pmmsynth.
    """

    case: str
    fixed: str
    moving: str
    stripped: bool
    aligned: bool
    spacing: tuple[float, float, float]
    peers: tuple[str, ...] = ("ants, masked",)

    @property
    def name(self) -> str:
        return f"{self.case} {self.moving} to {self.fixed}"


BOTH = ("ants, masked", "ants")
"""Of heads, where the mask speeds ANTsPy up and misleads it now and then."""
PAIRS = (
    Pair("glioma/full/TCGA-DU-7294", "t1", "t2", True, True, (1, 1, 3)),
    Pair("glioma/full/TCGA-DU-7294", "t1", "flair", True, True, (0.9, 0.9, 4)),
    Pair("glioma/full/TCGA-DU-7294", "t1", "t1c", True, True, (1, 1, 2)),
    Pair("stroke/isles22/sub-strokecase0009", "flair", "dwi", False, False, (1.8, 1.8, 2.5)),
    Pair("stroke/kinghaw_test/case1", "flair", "dwi", True, False, (2, 2, 4)),
    Pair("immune/open_ms_raw/patient12_study1", "t1", "flair", False, False, (1, 1, 3), BOTH),
    Pair("immune/open_ms_raw/patient12_study1", "t1", "t2", False, False, (0.8, 0.8, 3.3), BOTH),
    Pair("healthy/kirby21/113-02", "t1", "t2", True, True, (1, 1, 3)),
    Pair("healthy/kirby21/113-02", "t1", "flair", True, True, (0.8, 0.8, 4)),
    Pair("immune/open_ms_mni/patient26", "t1", "t1c", True, True, (1, 1, 2)),
    Pair("immune/open_ms_mni/patient26", "t1", "flair", True, True, (0.9, 0.9, 4)),
    Pair("immune/open_ms_raw/patient20_study2", "t1", "flair", False, False, (1.2, 1.2, 3), BOTH),
)
"""The most telling first."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a tool says: from the moving volume's world to the fixed volume's, and how sure it is, where it tells."""

    matrix: Matrix
    doubt: float | None = None
    information: float | None = None


Tool = Callable[[Volume, Volume, NDArray[np.bool_]], Found]


def ours(moving: Volume, fixed: Volume, brain: NDArray[np.bool_]) -> Found:
    """As `pmmsynth prepare` does it."""
    found = register(moving, fixed, brain)
    return Found(found.matrix, found.doubt, found.information)


def ants(moving: Volume, fixed: Volume, _: NDArray[np.bool_]) -> Found:
    """ANTsPy on whole images."""
    import ants_rigid

    return Found(ants_rigid.register(moving, fixed, None))


def ants_masked(moving: Volume, fixed: Volume, brain: NDArray[np.bool_]) -> Found:
    """ANTsPy where our finer levels look: the brain and what is near it."""
    import ants_rigid

    near = ndimage.distance_transform_edt(~brain, sampling=fixed.grid.spacing) < MARGIN_MM
    return Found(ants_rigid.register(moving, fixed, near))


PEERS: Mapping[str, Tool] = {"ants": ants, "ants, masked": ants_masked} if find_spec("ants") else {}


def tools(pair: Pair) -> dict[str, Tool]:
    """Ours first, and those peers that are installed."""
    return {"pmmsynth": ours} | {name: PEERS[name] for name in pair.peers if name in PEERS}


@dataclass(frozen=True, eq=False)
class Subject:
    """What all moves of a pair share; `points` of the brain, `truth` by tool."""

    fixed: Volume
    moving: Volume
    brain: NDArray[np.bool_]
    points: NDArray[np.float64]
    truth: Mapping[str, Matrix]


@cache
def subject(data: Path, pair: Pair) -> Subject:
    """Read a pair and find out where its moving sequence belongs."""
    fixed, moving = (read_volume(data / pair.case / f"{n}.nii.gz") for n in (pair.fixed, pair.moving))
    brain = brain_mask(fixed, pair.fixed) if pair.stripped else extract_brain(fixed)
    points = np.argwhere(brain)[::200] @ fixed.affine[:3, :3].T + fixed.affine[:3, 3]
    truth = {n: np.eye(4) if pair.aligned else tool(moving, fixed, brain).matrix for n, tool in tools(pair).items()}
    return Subject(fixed, moving, brain, points, truth)


def main(data: Path, out: Path, moves: int = 20, pairs: int = len(PAIRS)) -> None:
    """Do what is missing, each pair once before any a second time, and print the table."""
    rows = read_rows(out) if out.is_file() else []
    software = made_by()
    for number, pair in product(range(moves), PAIRS[:pairs]):
        have = {row["tool"] for row in rows if (row["pair"], row["move"]) == (pair.name, number)}
        missing = tools(pair).keys() - have
        if not missing:
            continue
        asked = {name: tool for name, tool in tools(pair).items() if name == "pmmsynth" or name in missing}
        here = {"pair": pair.name, "move": number, "truth": "header" if pair.aligned else "unmoved"}
        found = measured(subject(data, pair), number, pair.spacing, asked)
        rows += [{**here, **row, "software": software} for row in found if row["tool"] in missing]
        write_text(out, "".join(json.dumps(row) + "\n" for row in rows))
    print(table(rows))


def measured(case: Subject, number: int, spacing: tuple[float, float, float], asked: Mapping[str, Tool]) -> list[Row]:
    """One move, registered by every tool that is asked; the first is what the others are compared with."""
    known = known_move(number, case.points.mean(0))
    scan = rescanned(case.moving, known, spacing)
    rows: list[Row] = []
    places: list[Matrix] = []
    for name, tool in asked.items():
        began, began_cpu = time.perf_counter(), time.process_time()
        found = tool(scan, case.fixed, case.brain)
        seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
        places.append(found.matrix @ known)
        left = places[-1] @ np.linalg.inv(case.truth[name])
        rows.append(
            {
                "tool": name,
                "moved_mm": float(distances(known, case.points).mean()),
                "error_mm": float(distances(left, case.points).mean()),
                "error_degrees": float(np.rad2deg(Rotation.from_matrix(left[:3, :3]).magnitude())),
                "shift_mm": float(distances(left, case.points.mean(0, keepdims=True))[0]),
                "apart_mm": float(distances(places[0] @ np.linalg.inv(places[-1]), case.points).mean()),
                "doubt": found.doubt,
                "information": found.information,
                "seconds": seconds,
                "cpu_seconds": cpu,
            }
        )
    return rows


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


def made_by() -> str:
    """Versions and machine, for the page."""
    packages = ["pmmsynth", "SimpleITK", *(["antspyx"] if PEERS else []), "numpy", "scipy"]
    cpu = Path("/proc/cpuinfo")
    models = [line.partition(":")[2].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")]
    name = models[0] if models else platform.machine()
    return f"{', '.join(f'{p} {version(p)}' for p in packages)}; {name}, {os.cpu_count()} cores"


def table(rows: list[Row]) -> str:
    """Per pair and tool: errors, failures and whether they show, how far it ends from the first tool, the time."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["pair"], row["truth"], row["tool"]].append(row)
    lines = [
        "| pair | truth | tool | n | error, mm | degrees | shift, mm | failures | flagged | false flags | apart, mm "
        "| seconds (CPU) |",
        "| --- | --- | --- |" + " ---: |" * 9,
    ]
    for (pair, truth, tool), own in groups.items():
        spread = [
            f"{np.mean(values):.2f} / {np.max(values):.2f}"
            for values in ([row[key] for row in own] for key in ("error_mm", "error_degrees", "shift_mm"))
        ]
        failed = [row["error_mm"] > FAILED_MM for row in own]
        flags = ["", ""]
        if own[0]["doubt"] is not None:
            flagged = [row["doubt"] > DOUBT or row["information"] < LEAST_INFORMATION for row in own]
            bad = sum(f and g for f, g in zip(failed, flagged, strict=True))
            flags = [str(bad), str(sum(flagged) - bad)]
        apart = "" if tool == "pmmsynth" else f"{np.mean([row['apart_mm'] for row in own]):.2f}"
        wall, cpu = (np.median([row[key] for row in own]) for key in ("seconds", "cpu_seconds"))
        cells = [pair, truth, tool, len(own), *spread, sum(failed), *flags, apart, f"{wall:.1f} ({cpu:.1f})"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def read_rows(out: Path) -> list[Row]:
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def write_page(page: Path, rows: list[Row]) -> None:
    """Put the table between its marks, what it was measured with below it."""
    before, opened, rest = page.read_text(encoding="utf-8").partition(START)
    _, closed, after = rest.partition(END)
    if not opened or not closed:
        raise SystemExit(f"found no {START} ... {END} in {page}; expected both marks; restore them")
    software = "; and ".join(sorted({row["software"] for row in rows}))
    text = f"{table(rows)}\n\nMeasured with {software}."
    write_text(page, f"{before}{START}\n\n{text}\n\n{END}{after}")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        write_page(PAGE, read_rows(Path(sys.argv[1])))
    elif len(sys.argv) in (3, 4, 5):
        if not ONE_THREAD.items() <= os.environ.items():
            sys.exit(f"times are of one thread; expected {' '.join('='.join(i) for i in ONE_THREAD.items())}; set both")
        main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
    else:
        sys.exit(__doc__)
