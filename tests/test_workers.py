"""Many processes and a cluster: the same answers as one process, whatever is lost on the way."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from joblib import cpu_count

from calls import digest, grow, threads, work
from dask_cluster import scheduler, wait_until
from model_phantoms import make_model, save_case
from pmmsynth import workers
from pmmsynth.cli import main
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.infer import SavedModel, synthesize_cases
from pmmsynth.intake import find_cases
from pmmsynth.jobs import LOST, Outcome, map_cases
from pmmsynth.store import Store

QUIET = Reporter(quiet=True)


def mapped(items: list[object], reporter: Reporter = QUIET, **where: object) -> Outcome[object]:
    return map_cases(work, items, [f"case-{i}" for i in items], label="work", reporter=reporter, **where)


def check_losses(tmp_path: Path, **where: object) -> None:
    """A process lost once costs nothing, a case that always ends its process costs itself, an error is no loss."""
    once = tmp_path / "once"
    outcome = mapped([0, "fatal", 1, once, "bad", 2, 3, 4], **where)
    assert outcome.results == ("0", "1", str(once), "2", "3", "4")
    assert [(f.name, f.reason, f.is_ours) for f in outcome.failures] == [
        ("case-fatal", LOST, False),
        ("case-bad", "found no such thing; expected to read and write there; check space and permissions", False),
    ]
    assert outcome.exit_code == 5


class Watched(Reporter):
    """Calls `then` once the first case has ended."""

    then: Callable[[], None]

    @contextmanager
    def progress(self, label: str, total: int, done: int = 0) -> Iterator[Callable[..., None]]:
        waiting = [type(self).then]

        def advance(note: str = "", by: int = 1) -> None:
            if waiting:
                waiting.pop()()

        yield advance


# --- this machine ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_lost_processes_here(tmp_path):
    check_losses(tmp_path, jobs=2)


@pytest.mark.slow
@pytest.mark.parametrize("said", [None, "1", str(10 * cpu_count())])
def test_processes_share_the_cores(said, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    jobs = 2
    got = map_cases(threads, range(4), map(str, range(4)), label="x", jobs=jobs, reporter=QUIET).results
    assert set(got) == {1 if said == "1" else max(1, cpu_count() // jobs)}


# --- a cluster ------------------------------------------------------------------------------------------------------


def kill_a_worker(address: str) -> None:
    """As when memory runs out; its nanny starts a new one."""
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        os.kill(min(client.run(os.getpid).values()), signal.SIGKILL)


@pytest.mark.slow
def test_lost_workers_of_a_cluster(cluster, tmp_path):
    check_losses(tmp_path, jobs=1, cluster=cluster)


@pytest.mark.slow
def test_a_cluster_of_nothing(cluster):
    assert mapped([], jobs=1, cluster=cluster) == Outcome((), ())


@pytest.mark.slow
def test_a_scheduler_that_goes_away_ends_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(workers, "CONNECT_SECONDS", 5)
    with scheduler(tmp_path) as (process, port):
        address = f"tcp://127.0.0.1:{port}"
        timer = threading.Timer(3, process.kill)
        timer.start()
        with pytest.raises(BadInput, match=r"found \w+ from the cluster: .*expected a scheduler that stays"):
            mapped([1, 2], jobs=1, cluster=address)
    assert f"no worker at {address} yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("tcp://127.0.0.1:1", "no answer in 0.5 s"),
        ("somewhere", "ValueError: missing port"),
        ("mail://somewhere:1", "ValueError: unknown address scheme 'mail'"),
    ],
)
def test_no_scheduler_there(address, found, monkeypatch):
    monkeypatch.setattr(workers, "CONNECT_SECONDS", 0.5)
    with pytest.raises(UsageError, match=rf"found {found}.* at {address}; expected a Dask scheduler.*dask scheduler"):
        mapped([1], jobs=1, cluster=address)


def test_no_dask_here(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"pip install 'pmmsynth\[cluster\]'"):
        mapped([1], jobs=1, cluster="tcp://127.0.0.1:1")


def test_jobs_and_cluster_contradict_each_other():
    with pytest.raises(UsageError, match="found --jobs and --cluster"):
        mapped([1], jobs=2, cluster="tcp://127.0.0.1:1")


# --- the commands ---------------------------------------------------------------------------------------------------


@pytest.fixture
def patients(tmp_path) -> Path:
    for number in range(6):
        save_case(tmp_path / "in" / f"p{number}", ("t1", "t2"))
    (tmp_path / "in/p4/t2.nii.gz").write_bytes(b"not an image")
    return tmp_path / "in"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> SavedModel:
    return SavedModel.find(make_model(tmp_path_factory.mktemp("model") / "model"), "cpu")


def made(out: Path) -> dict[str, object]:
    """Every file that took its place: the voxels of volumes, what sidecars say besides the time."""
    found: dict[str, object] = {}
    for path in sorted(p for p in out.rglob("[!.]*") if p.is_file()):
        name = path.relative_to(out).as_posix()
        if name.endswith(".nii.gz"):
            found[name] = np.asarray(nib.load(path).dataobj).tobytes()
        else:
            found[name] = json.loads(path.read_text()) | {"Date": None}
    return found


@pytest.fixture
def expected(model, patients, tmp_path) -> dict[str, object]:
    """What one process makes of the patients: three sequences of five of them."""
    assert synthesize_cases(model, find_cases(patients), tmp_path / "one", dataset="A", reporter=QUIET).exit_code == 5
    files = made(tmp_path / "one")
    assert len(files) == 2 * 3 * 5 + 1
    return files


@pytest.mark.slow
def test_synthesize_in_processes_makes_the_same(model, patients, expected, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the same sums in the same order
    cases = find_cases(patients)
    outcome = synthesize_cases(model, cases, tmp_path / "two", dataset="A", jobs=2, reporter=QUIET)
    assert [w.case.id for w in outcome.results] == ["p0", "p1", "p2", "p3", "p5"]
    assert made(tmp_path / "two") == expected


@pytest.mark.slow
def test_synthesize_goes_on_after_a_kill(model, patients, expected, tmp_path):
    """Of the command and its processes, at once."""
    source = Path(workers.__file__).parents[1]
    out = tmp_path / "out"
    command = [sys.executable, "-m", "pmmsynth", "synthesize", str(model.folder), str(patients), "--dataset", "A"]
    process = subprocess.Popen(
        [*command, "--out", str(out), "--device", "cpu", "--jobs", "2", "--quiet"],
        env=os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    try:
        wait_until(lambda: any(out.rglob("sub-*.nii.gz")))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert made(out).items() <= expected.items()  # whole or absent
    outcome = synthesize_cases(model, find_cases(patients), out, dataset="A", reporter=QUIET)
    assert any(w.kept for w in outcome.results)
    assert made(out) == expected
    assert not list(out.rglob(".*"))


@pytest.mark.slow
def test_synthesize_on_a_cluster_that_loses_a_worker(cluster, model, patients, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(Watched, "then", staticmethod(lambda: kill_a_worker(cluster)), raising=False)
    outcome = synthesize_cases(
        model, find_cases(patients), tmp_path / "out", dataset="A", cluster=cluster, reporter=Watched(quiet=True)
    )
    assert [w.case.id for w in outcome.results] == ["p0", "p1", "p2", "p3", "p5"]
    assert [f.name for f in outcome.failures] == ["p4"]
    assert made(tmp_path / "out") == expected


@pytest.mark.slow
def test_a_worker_uses_no_other_model_than_the_command_saw(cluster, model):
    other = SavedModel(model.folder, "cpu", "0" * 64)
    outcome = map_cases(digest, [other, model], "ab", label="x", jobs=1, cluster=cluster, reporter=QUIET)
    assert outcome.results == (model.digest,)
    assert outcome.failures[0].reason.startswith(f"found another model in {model.folder} than before; expected")


@pytest.mark.slow
def test_prepare_and_simulate_on_a_cluster(cluster, patients, tmp_path, monkeypatch, capsys):
    """By relative paths, though the workers run in another folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cohorts.toml").write_text('[[dataset]]\nname = "a"\nroot = "in"\nlayout = "brats"\n')
    prepare = ["prepare", "cohorts.toml", "--matrix", "48"]
    assert main([*prepare, "--out", "here"]) == main([*prepare, "--out", "there", "--cluster", cluster]) == 5
    here, there = ([c.record for c in Store(tmp_path / name).cases()] for name in ("here", "there"))
    assert [r.case for r in here] == ["p0", "p1", "p2", "p3", "p5"]
    assert here == there
    capsys.readouterr()
    assert main([*prepare, "--out", "there", "--cluster", cluster]) == 5
    assert "0 prepared, 5 up to date, 1 failed" in capsys.readouterr().out
    assert main(["simulate", "made", "--cases", "ISLES=1", "--cluster", cluster]) == 0
    assert main(["simulate", "made", "--cases", "ISLES=1"]) == 3, "it is there already"


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_process_that_is_ended_for_its_memory_stops_nothing() -> None:
    assert dict(workers.on_processes(grow, {n: n for n in range(6)}, 2)) == {n: n for n in range(6)}
