"""Studies are complete or finished by the same call; what is asked for differently, or is taken, is refused."""

import csv
import dataclasses
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from model_phantoms import make_model
from pmmsynth import atomic
from pmmsynth.atomic import only_writer
from pmmsynth.cli import main
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.learned import images_of
from pmmsynth.modality import KNOWN
from pmmsynth.study.create import Source
from pmmsynth.study.files import read_key, read_study, token_digest
from pmmsynth.study.form import Form
from pmmsynth.study.images import WHEN
from pmmsynth.study.plan import plan
from pmmsynth.study.sets import SETS
from study_stores import make_study_model, make_study_store


def contents(folder: Path) -> dict[str, tuple[bytes, float]]:
    """Of every file its bytes and time."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime) for path in files}


def test_the_sets_are_those_of_the_paper():
    assert [(each.name, len(each.real), len(each.synthesized)) for each in SETS] == [
        ("real", 6, 0),
        ("3-to-3", 3, 3),
        ("2-to-4", 2, 4),
        ("1-to-5", 1, 5),
    ]
    assert SETS[1].synthesized == ("T1C", "DWI", "ADC")
    assert SETS[2].synthesized == ("T1C", "FLAIR", "DWI", "ADC")


@pytest.mark.parametrize("held", ["out", "key"])
def test_a_second_one_at_a_time_is_refused_and_nothing_is_made(made, tmp_path, monkeypatch, held):
    monkeypatch.setattr(atomic, "PATIENCE", 0.1)
    here = made.at(tmp_path)
    with only_writer(getattr(here, held)):
        with pytest.raises(UsageError, match="found another process that writes to"):
            here.again()
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_study_is_what_was_planned(made):
    study, key = read_study(made.out), read_key(made.key)
    assert (study.id, study.sequences, study.washout_days, study.types) == (key.study, KNOWN, 14, Form().types)
    assert [reader.code for reader in study.readers] == ["A", "B"]
    cases = [f"A/P{number}" for number in range(6)]
    for reader, sittings in zip(study.readers, plan(6, 4, 2, seed=1), strict=True):
        shown = [
            [(key.images[i.images].case, key.images[i.images].set) for i in sitting] for sitting in reader.sittings
        ]
        assert shown == [[(cases[place.case], SETS[place.set].name) for place in sitting] for sitting in sittings]
    assert sorted((shown.case, shown.set) for shown in key.images.values()) == sorted(
        (case, each.name) for case in cases for each in SETS
    )
    assert {shown.set: (shown.real, shown.synthesized) for shown in key.images.values()} == {
        each.name: (each.real, each.synthesized) for each in SETS
    }
    assert (key.seed, key.model) == (1, made.source.method.digest)


def test_who_may_read_what(made):
    study, tokens = read_study(made.out), made.out / "tokens.csv"
    with tokens.open(newline="") as file:
        table = {row["who"]: row["token"] for row in csv.DictReader(file)}
    digests = {"organiser": study.organiser} | {reader.code: reader.token for reader in study.readers}
    assert {who: token_digest(token) for who, token in table.items()} == digests
    assert all(len(token) >= 22 for token in table.values())  # 16 bytes
    assert stat.S_IMODE(tokens.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o700


def test_the_same_again_changes_nothing(made):
    before = contents(made.out) | contents(made.key)
    assert made.again() == read_study(made.out) == made.again(seed=None)
    assert contents(made.out) | contents(made.key) == before


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seed": 2}, r"another seed \(1, not 2\)"),
        ({"readers": ("A", "C")}, r"another readers \(A, B, not A, C\)"),
        ({"title": "Other"}, r"another title \(Study, not Other\)"),
        ({"washout_days": 7}, r"another washout_days \(14.0, not 7.0\)"),
        ({"form": Form(types=("glioma", "none"))}, "another types"),
        ({"form": Form(grades=("low", "high"))}, "another grades"),
        ({"title": "Other", "seed": 2}, r"title \(Study, not Other\) and seed"),
    ],
)
def test_another_request_is_refused(made, changed, said):
    before = contents(made.out) | contents(made.key)
    with pytest.raises(UsageError, match=said):
        made.again(**changed)
    assert contents(made.out) | contents(made.key) == before


def test_another_model_and_other_cases_are_refused(made, tmp_path, quiet):
    other = dataclasses.replace(made, source=Source(made.source.cases[:5], made.source.method))
    with pytest.raises(UsageError, match="another data"):
        other.again()
    method = dataclasses.replace(made.source.method, digest="0" * 64)
    other = dataclasses.replace(made, source=Source(made.source.cases, method))
    with pytest.raises(UsageError, match="another model"):
        other.again()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"readers": ()}, "expected at least one"),
        ({"readers": ("A", "A")}, "each once"),
        ({"readers": ("A", "organiser")}, "none called organiser or all"),
        ({"readers": ("A", "all")}, "none called organiser or all"),
        ({"readers": ("Dr. A",)}, "readers.0: name 'Dr. A'"),
        ({"washout_days": -1}, "washout_days: Input should be greater than or equal to 0"),
        ({"washout_days": float("nan")}, "washout_days"),
        ({"seed": -1}, "seed: Input should be greater"),
    ],
)
def test_what_no_study_can_be(made, tmp_path, changed, said):
    with pytest.raises(UsageError, match=said):
        made.at(tmp_path).again(**changed)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("out", "key"), [("s", "s"), ("s", "s/key"), ("s/study", "s"), ("s", "x/../s/key")])
def test_the_key_is_elsewhere(made, tmp_path, out, key):
    with pytest.raises(UsageError, match="expected neither inside the other"):
        dataclasses.replace(made, out=tmp_path / out, key=tmp_path / key).again()
    assert not list(tmp_path.iterdir())


def test_folders_that_are_taken(made, tmp_path):
    for name in ("study", "key"):
        (tmp_path / name / name).mkdir(parents=True)
        (tmp_path / name / name / "notes.txt").write_text("mine")
        with pytest.raises(UsageError, match=f"found files in .*{name}; expected a new folder"):
            made.at(tmp_path / name).again()
        assert [path.name for path in (tmp_path / name).rglob("*") if path.is_file()] == ["notes.txt"]
    with pytest.raises(UsageError, match=r"no key\.json"):
        dataclasses.replace(made, key=tmp_path / "lost").again()


def test_a_key_makes_no_second_study(made, tmp_path):
    before = contents(made.key)
    with pytest.raises(UsageError, match=r"the key of the study in .*/study; expected one of .*/second"):
        dataclasses.replace(made, out=tmp_path / "second").again()
    assert contents(made.key) == before
    assert not list(tmp_path.iterdir())


def test_the_key_of_another_study(made, tmp_path, no_images):
    other = made.at(tmp_path)
    other.again()
    with pytest.raises(UsageError, match="key of another study"):
        dataclasses.replace(made, key=other.key).again()


def test_cases_that_lack_a_sequence_are_left_out_and_few_are_told(made, tmp_path, capsys):
    store, model = make_study_store(tmp_path / "store", 3, incomplete=2), tmp_path / "model"
    make_study_model(model)
    source = Source.of(store, model, "test", Reporter())
    assert [case.record.case for case in source.cases] == ["P0", "P1", "P2"]
    said = capsys.readouterr().err
    assert "2 of 5 cases of test lack sequences: left out" in said
    assert "3 cases: a sitting then lacks some of the 4 sets" in said
    with pytest.raises(BadInput, match=r"0 of 0 cases of val .* expected at least 3"):
        Source.of(store, model, "val", Reporter())


def test_a_model_that_cannot(made, tmp_path, quiet):
    store = make_study_store(tmp_path / "store", 3)
    for name, changes, said in (
        ("size", {}, "expected the same; prepare a store"),
        ("dataset", {"matrix": 64, "inplane_mm": 2.0}, "cannot do T1\\+T2\\+FLAIR->DWI"),
    ):
        with pytest.raises(UsageError, match=said):
            Source.of(store, make_model(tmp_path / name, **changes), "test", quiet)


def test_a_model_that_knows_the_patients(tmp_path, quiet):
    store, model = make_study_store(tmp_path / "store", 3), tmp_path / "model"
    make_study_model(model)
    card = model / "model.json"
    known = sorted(images_of(next(store.cases("test")).record))
    card.write_text(json.dumps(json.loads(card.read_text()) | {"learned": {"train": known}}))
    with pytest.raises(UsageError, match="1 of 3 cases among those the model learned from, the first A/P0;"):
        Source.of(store, model, "test", quiet)


RUN = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from pmmsynth.cli import main
sys.exit(main({arguments!r}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 1, 7])
def test_killed_and_given_again(made, tmp_path, after):
    """Killed with so many folders of images there, the same command ends with what an unbroken one makes."""
    study = made.at(tmp_path)
    model = made.store.root.parent / "model"
    asked = ["reading", "create", str(made.store.root), str(model), "--out", str(study.out), "--key", str(study.key)]
    asked += ["--reader", "A", "--reader", "B", "--title", "Study", "--seed", "1"]
    process = subprocess.Popen(
        [sys.executable, "-c", RUN.format(tests=str(Path(__file__).parents[1]), arguments=asked)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # as here: more threads sum in another order
    )
    try:
        while process.poll() is None and len(list((study.out / "images").glob("[!.]*"))) < after + (after == 0):
            time.sleep(0.002)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert not (study.out / "study.json").exists()
    if after == 0:
        (study.out / "images" / ".writing-0").mkdir(exist_ok=True)  # as a kill in the middle of a folder leaves it
    key, early = (study.key / "key.json").read_bytes(), contents(study.out)
    assert main([*asked, "--quiet"]) == 0
    assert (study.key / "key.json").read_bytes() == key
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]
    kept = {name: content for name, content in contents(study.out).items() if name in early}
    assert kept == {name: content for name, content in early.items() if ".writing" not in name}
    whole, unbroken = (
        {
            (s.case, s.set, m): (each.out / "images" / n / f"{m}.nii").read_bytes()
            for n, s in images.items()
            for m in KNOWN
        }
        for each, images in ((study, read_key(study.key).images), (made, read_key(made.key).images))
    )
    assert whole == unbroken
    assert {path.stat().st_mtime for path in (study.out / "images").glob("*/*")} == {WHEN}
    assert len(read_study(study.out).readers) == 2
    assert len(list((study.key / "montages" / "A").glob("*.png"))) == 6


def test_killed_before_the_study(made, tmp_path, no_images):
    """Tokens that were written before study.json count for nothing; new ones come with it."""
    study = made.at(tmp_path)

    def stop(**_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pmmsynth.study.create.StudyRecord", stop)
        with pytest.raises(KeyboardInterrupt):
            study.again()
    assert not (study.out / "study.json").exists()
    (study.out / "tokens.csv").write_text("who,token\nA,old\n")
    record = study.again()
    lines = dict(line.split(",") for line in (study.out / "tokens.csv").read_text().splitlines()[1:])
    assert token_digest(lines["A"]) == record.readers[0].token != token_digest("old")
