"""The whole pipeline once, small: every verb on what the one before it made, and a page that needs nothing else."""

import errno
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from pmmsynth.cli import main
from pmmsynth.console import Reporter
from pmmsynth.demo import pipeline
from pmmsynth.demo.pipeline import demo
from pmmsynth.errors import UsageError
from pmmsynth.evaluate import FLOORS, read_scores
from pmmsynth.prepare.brain import brain_mask
from pmmsynth.store import Store
from pmmsynth.train import tiny
from pmmsynth.volume import read_volume

DATASETS = ("TTG", "TTI", "BraTS", "ISLES")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    patch = pytest.MonkeyPatch()
    patch.setattr(pipeline, "CASES", dict.fromkeys(DATASETS, 3))
    patch.setattr(pipeline, "settings", lambda: replace(tiny(), epochs=1, constant_epochs=1, batch_size=16))
    out = tmp_path_factory.mktemp("demo")
    demo(out, jobs=2, reporter=Reporter(quiet=True))
    patch.undo()
    return out


@pytest.mark.slow
def test_every_dataset_goes_all_the_way(folder: Path) -> None:
    store = Store(folder / "store")
    assert [d.name for d in store.record.datasets] == list(DATASETS)
    assert [c.record.split for c in store.cases(dataset="BraTS")].count("test") == 1
    scores = read_scores(folder / "evaluation" / "scores.jsonl")
    assert {s.dataset for s in scores} >= {"TTG", "BraTS", "ISLES"}  # what TTI's test case has varies
    assert {s.method for s in scores} == {"PMM-Synth", *FLOORS}
    # the truth of a simulated glioma is known well enough that a linear fit of three sequences finds most of it
    best = [s.psnr for s in scores if (s.method, s.task, s.protocol) == ("regression", "T1+T2+FLAIR->T1C", "paper-v1")]
    assert min(best) > 28


@pytest.mark.slow
def test_what_a_patient_lacks_is_written_on_the_patients_own_grid(folder: Path) -> None:
    made = sorted((folder / "synthesized").rglob("*desc-synth_*.nii.gz"))
    brats = [p for p in made if "BraTSSIM" in p.name]
    assert [p.name.split("_")[-1] for p in brats] == ["ADC.nii.gz", "trace.nii.gz"]  # all that BraTS lacks
    details = json.loads(brats[0].with_name(brats[0].name.replace(".nii.gz", ".json")).read_text())
    source = next((folder / "simulated").rglob(details["SpatialReference"]))
    reference, synthetic = read_volume(source), read_volume(brats[0])
    assert synthetic.grid.same_as(reference.grid, tolerance=1e-5)
    assert (synthetic.data[~brain_mask(reference, "T1")] == 0).all()
    assert synthetic.data.max() <= details["IntensityMapping"]["Range"][1]


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(UsageError, match="found files but no demo"):
        demo(tmp_path, reporter=Reporter(quiet=True))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.slow
def test_the_page_stands_alone(folder: Path) -> None:
    page = (folder / "index.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert len(sources) >= 10
    assert all(s.startswith("data:image/png;base64,") for s in sources)
    for text in (*DATASETS, "What was learned", "DWI, ADC made from T1, T2, T1C, FLAIR", "paper-v1", "pmmsynth train"):
        assert text in page


@pytest.mark.slow
def test_the_commands_on_the_page_are_commands(folder: Path) -> None:
    """Given again, they find everything done."""
    page = (folder / "index.html").read_text(encoding="utf-8")
    commands = re.findall(r"<code>pmmsynth (.*?)</code>", page)
    assert [c.split()[0] for c in commands] == ["simulate", "prepare", "train", "synthesize", "evaluate"]
    assert main(commands[0].split()) == 3
    assert main([*commands[1].split(), "--quiet"]) == 0
    assert main([*commands[4].split(), "--quiet"]) == 0


def test_a_full_disk_is_no_fault_of_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(pipeline, "CASES", {"ISLES": 1})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pmmsynth.simulate.pipeline.write_case", full)
    assert main(["demo", "--out", str(tmp_path), "--jobs", "1", "--quiet"]) == 4
    told = capsys.readouterr().err.splitlines()
    assert "No space left on device" in told[0]
    assert told[1:] == [
        "pmmsynth: found 1 cases that could not be done; expected every one done; mend what the lines above say; run "
        "it again"
    ]
