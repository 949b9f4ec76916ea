"""Raw scans in many processes, on a cluster and after a kill: the same store as one process makes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import pmmsynth
from dask_cluster import wait_until
from pmmsynth.cli import main

pytestmark = pytest.mark.slow

COHORT = """
split = {{ train = ["*"], val = [], test = [] }}
[[dataset]]
name = "stroke"
root = "{root}"
layout = "isles"
skull_stripped = false
registered = false
"""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    """Two real cases with skull: DWI and ADC, one with a FLAIR of another grid."""
    root = Path(__file__).parents[3] / "shared/data/stroke/isles22"
    if not root.is_dir():
        pytest.skip(f"no real data at {root}")
    path = tmp_path_factory.mktemp("raw") / "cohorts.toml"
    path.write_text(COHORT.format(root=root))
    return path


@pytest.fixture(scope="module")
def expected(cohort) -> dict[str, bytes]:
    """What one process makes."""
    assert main(command(cohort, "one")) == 0
    files = made(cohort.parent / "one")
    assert len([name for name in files if name.endswith("case.json")]) == 2
    return files


def command(cohort: Path, out: str) -> list[str]:
    return ["prepare", str(cohort), "--out", str(cohort.parent / out), "--matrix", "96", "--inplane-mm", "2", "--quiet"]


def made(out: Path) -> dict[str, bytes]:
    files = (p for p in out.rglob("*") if p.is_file() and p.suffix != ".png")  # of the size that fonts have here
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in files if ".writing" not in str(p)}


def test_killed_in_two_processes_it_goes_on(cohort, expected):
    process = subprocess.Popen(
        [sys.executable, "-m", "pmmsynth", *command(cohort, "killed"), "--jobs", "2"],
        env=os.environ | {"PYTHONPATH": str(Path(pmmsynth.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    out = cohort.parent / "killed"
    try:
        wait_until(lambda: any(out.glob("stroke/[!.]*/case.json")))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    cases = {name: data for name, data in made(out).items() if name.startswith("stroke/")}
    assert cases.items() <= expected.items(), "whole or absent"
    before = {p: p.stat().st_mtime_ns for p in out.glob("stroke/[!.]*/images.npy")}
    assert main(command(cohort, "killed")) == 0
    assert made(out) == expected
    assert before == {p: p.stat().st_mtime_ns for p in before}, "what was done is not done again"


def test_on_a_cluster(cohort, expected, cluster):
    assert main([*command(cohort, "cluster"), "--cluster", cluster]) == 0
    assert made(cohort.parent / "cluster") == expected
