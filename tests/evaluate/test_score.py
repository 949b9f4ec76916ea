"""Scoring: what a method sees, what is done to its output, resuming and refusing."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from phantoms import make_store
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, NothingToDo, UsageError
from pmmsynth.evaluate import Method, methods_of, read_scores, score
from pmmsynth.evaluate.score import cases_of
from pmmsynth.infer import Synthesizer
from pmmsynth.metrics import regions
from pmmsynth.modality import Task
from pmmsynth.store import Fold, write_case

TASK = ["T1+T2->FLAIR"]


class Spy:
    """Keeps what it was given and answers with a constant."""

    def __init__(self, value=0.5):
        self.calls, self.value = [], value

    def __call__(self, images, sources, target, case):
        self.calls.append((images.copy(), sources, target, case))
        images[:] = np.nan  # must not spoil the truth
        return np.full(images.shape[1:], self.value, np.float32)


@pytest.fixture
def run(store, tmp_path, quiet):
    def run(methods, out=tmp_path / "scores.jsonl", tasks=TASK, reporter=quiet, **options):
        named = {n: m if isinstance(m, Method) else Method(m, "d") for n, m in methods.items()}
        return score(store, named, out=out, tasks=tasks, reporter=reporter, **options)

    return run


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scores.jsonl"


def test_a_method_sees_only_the_sources(store, run):
    spy = Spy()
    run({"spy": spy}, max_cases=1)
    ((images, sources, target, case),) = spy.calls
    truth = next(store.cases("test", "glioma"))
    scored = truth.scored_slices()
    assert (sources, target) == (("T1", "T2"), "FLAIR")
    assert np.array_equal(images, truth.images()[:2, scored].astype(np.float32))
    assert len(scored) == 10  # the two slices without brain are dropped
    assert case == truth.record  # the record, which has no way to the voxels
    assert not hasattr(case, "images")


def test_rows_are_right(store, run, path):
    run({"spy": Spy()})
    rows = read_scores(path)
    assert {r.case for r in rows} == {"glioma2", "glioma3"}
    assert [r.protocol for r in rows[:5]] == ["slice-max", "brain", "lesion", "lesion-shell", "paper-v1"]
    truth = next(store.cases("test", "glioma"))
    scored = truth.scored_slices()
    flair, brain = truth.images()[2, scored].astype(float), truth.brain()[scored]
    error = (flair - 0.5 * brain) ** 2
    paper = next(r for r in rows if r.protocol == "paper-v1" and r.case == "glioma2")
    assert paper.psnr == pytest.approx(-10 * np.log10(error.mean()), abs=1e-4)
    assert (paper.task, paper.target, paper.n_slices, paper.region, paper.split) == (*TASK, "FLAIR", 10, "crop", "test")
    inside = next(r for r in rows if r.protocol == "lesion" and r.case == "glioma2")
    assert inside.psnr == pytest.approx(-10 * np.log10(error[truth.lesion()[scored]].mean()), abs=1e-4)
    assert inside.n_slices == 2


def test_regions_use_the_spacing_of_the_prepared_grid(store):
    case = next(store.cases("test", "glioma"))
    shell = regions(case)["lesion-shell"]  # spacing 4, 2, 1 mm of slice, row, column; lesion in slices 4 and 5
    assert shell[3 - 1, 14, 14]  # 4 mm below; scored slices start at 1
    assert not shell[2 - 1].any()  # 8 mm below
    assert shell[4 - 1, 15, 18 + 4]  # 5 mm beside
    assert not shell[4 - 1, 15, 18 + 5]
    assert "lesion" not in regions(next(store.cases("test", "stroke")))


def test_every_output_is_clipped_and_masked_alike(store):
    case = next(store.cases("test", "glioma"))
    brain = case.brain()[case.scored_slices()]
    images = case.images()[:, case.scored_slices()].astype(np.float32)
    for value, expected in ((2.0, 1.0), (-1.0, 0.0), (0.3, 0.3)):
        made = Method(Spy(value), "d").run(images, case.record.modalities, Task.parse(TASK[0]), case.record, brain)
        assert made[brain] == pytest.approx(expected)
        assert not made[~brain].any()


def test_again_computes_only_what_is_missing(run, path):
    run({"a": Spy()}, max_cases=1)
    before = path.read_text()
    first, second = Spy(), Spy()
    run({"a": first, "b": second})
    assert len(first.calls) == 1  # the second case
    assert len(second.calls) == 2
    assert path.read_text().startswith(before)
    keys = [(*r.key, r.protocol) for r in read_scores(path)]
    assert len(keys) == len(set(keys)) == 4 * 5


@pytest.mark.parametrize("cut", [2, 100, 700])
def test_an_interrupted_write_is_repaired(run, path, capsys, cut):
    run({"a": Spy()})
    whole = path.read_text()
    path.write_text(whole[:-cut])
    read_scores(path)  # a torn last line is no error
    spy = Spy()
    run({"a": spy}, reporter=Reporter())
    assert len(spy.calls) == 1
    assert path.read_text() == whole
    assert "interruption" in capsys.readouterr().err


@pytest.mark.parametrize("protocol", ["slice-max", "brain", "lesion-shell", "paper-v1"])
def test_a_deleted_row_is_made_again_whatever_its_protocol(run, path, protocol):
    run({"a": Spy(), "b": Spy()})
    lines = path.read_text().splitlines(keepends=True)
    gone = next(line for line in lines if f'"protocol":"{protocol}"' in line and '"method":"b"' in line)
    path.write_text("".join(line for line in lines if line != gone))
    first, second = Spy(), Spy()
    run({"a": first, "b": second})
    assert (len(first.calls), len(second.calls)) == (0, 1)
    assert sorted(path.read_text().splitlines(keepends=True)) == sorted(lines)


def test_an_empty_target_has_fewer_protocols_and_is_complete(tmp_path, path, capsys):
    """Nothing of FLAIR on the scored slices: no slice has a maximum to take as range."""
    names = ("T1", "T2", "FLAIR")
    store = make_store(tmp_path / "store", {"A": [("train", names), ("test", names)]})
    case = next(store.cases("test"))
    images = np.where(np.arange(3)[:, None, None, None] == 2, 0, case.images())
    write_case(store.root / "A" / case.record.case, case.record, images, case.brain(), case.lesion())
    first, second = Spy(), Spy()
    for spy in (first, second):
        score(store, {"a": Method(spy, "d")}, out=path, tasks=["T1->T2", *TASK], reporter=Reporter())
    found = {(r.task, r.protocol) for r in read_scores(path)}
    assert ("T1->T2", "slice-max") in found
    assert (*TASK, "slice-max") not in found
    assert (len(first.calls), len(second.calls)) == (2, 0)
    assert "interruption" not in capsys.readouterr().err


def test_only_a_line_feed_ends_a_row(run, path):
    name = "a\u2028b\x85c\rd"
    run({name: Spy()})
    before, spy = path.read_bytes(), Spy()
    run({name: spy})
    assert (spy.calls, path.read_bytes()) == ([], before)
    assert {r.method for r in read_scores(path)} == {name}


def test_other_weights_are_refused_or_replace(run, path):
    run({"a": Spy(0.5), "b": Spy()})
    with pytest.raises(UsageError, match="other weights"):
        run({"a": Method(Spy(0.2), "new")})
    run({"a": Method(Spy(0.2), "new")}, overwrite=True)
    assert {(r.method, r.digest) for r in read_scores(path)} == {("a", "new"), ("b", "d")}


@pytest.mark.parametrize("text", ["=run", " =run", "A=", "A=run,", ""])
def test_a_model_needs_a_name_and_a_folder(store, text):
    with pytest.raises(UsageError, match="expected a name and folders; write --model NAME=FOLDER"):
        methods_of([text], store)


@pytest.mark.parametrize(
    ("text", "name", "folders"),
    [
        ("plain", "FTN", ["plain"]),
        ("A=plain,other", "A", ["plain", "other"]),
        ("lr=0.1", "FTN", ["lr=0.1"]),
        ("./lr=0.1,b=1,2", "FTN", ["./lr=0.1,b=1,2"]),
        ("lr=0.1,plain", "FTN", ["lr=0.1", "plain"]),
        ("A=lr=0.1", "A", ["lr=0.1"]),
        ("A=lr=0.1,b=1,2", "A", ["lr=0.1,b=1,2"]),
        ("A=lr=0.1,plain", "A", ["lr=0.1", "plain"]),
    ],
)
def test_names_of_folders_may_hold_what_parts_them(store, tmp_path, monkeypatch, text, name, folders):
    monkeypatch.chdir(tmp_path)
    for place in ("plain", "other", "lr=0.1", "lr=0.1,b=1,2"):
        (tmp_path / place).mkdir()
    ftn = SimpleNamespace(card=SimpleNamespace(method="FTN"))  # what goes by no name goes by its method
    monkeypatch.setattr(Synthesizer, "load", lambda folder, device: ftn)
    monkeypatch.setattr(Method, "of", lambda models, folders, store: [*map(str, folders)])
    assert methods_of([text], store) == {name: [str(Path(folder)) for folder in folders]}


def test_folders_that_are_not_there_are_said_as_they_were_read(store):
    read = r"no folder 0\.1 for --model lr=0\.1 \(name lr, folders 0\.1\); expected model or run folders; correct it"
    with pytest.raises(BadInput, match=read):
        methods_of(["lr=0.1"], store)


def test_another_store_is_refused(run, path):
    run({"a": Spy()})
    meta_path = path.with_suffix(".meta.json")
    meta = json.loads(meta_path.read_text())
    assert meta["methods"] == {"a": "d"}
    assert meta["versions"]["torchmetrics"]
    meta_path.write_text(json.dumps(meta | {"store_digest": "other"}))
    with pytest.raises(UsageError, match="another state of the store"):
        run({"b": Spy()})
    run({"b": Spy()}, overwrite=True)
    assert {r.method for r in read_scores(path)} == {"b"}


def test_rows_of_another_fold_or_split_are_refused(store, run, path, quiet):
    first, second = (replace(store, fold=Fold(number, 2)) for number in (0, 1))
    score(first, {"a": Method(Spy(), "d")}, out=path, tasks=TASK, reporter=quiet)
    assert {r.case for r in read_scores(path)} == {"glioma0"}
    refused = "another state of the store, its split or fold"
    with pytest.raises(UsageError, match=refused):
        score(second, {"b": Method(Spy(), "d")}, out=path, tasks=TASK, reporter=quiet)
    with pytest.raises(UsageError, match=refused):
        run({"b": Spy()})
    score(second, {"b": Method(Spy(), "d")}, out=path, tasks=TASK, reporter=quiet, overwrite=True)
    assert {(r.method, r.case) for r in read_scores(path)} == {("b", "glioma1")}


def test_a_method_that_cannot_do_a_task_has_no_row(run, path):
    run({"a": Method(Spy(), "d", tasks={"glioma": ("T1->FLAIR",)})}, tasks=["T1->FLAIR", *TASK])
    assert {(r.dataset, r.task) for r in read_scores(path)} == {("glioma", "T1->FLAIR")}


def test_a_failing_case_is_reported_and_the_rest_done(run, path, quiet):
    def fails_once(images, sources, target, case):
        return np.full(images.shape[1:], np.nan if case.case == "glioma2" else 0.5, np.float32)

    outcome = run({"a": fails_once})
    assert [f.name for f in outcome.failures] == ["glioma/glioma2"]
    assert {r.case for r in read_scores(path)} == {"glioma3"}


def test_two_processes_write_the_same_rows(run, path, tmp_path):
    run({"a": half})
    run({"a": half}, out=tmp_path / "parallel.jsonl", jobs=2)
    assert sorted(path.read_text().splitlines()) == sorted((tmp_path / "parallel.jsonl").read_text().splitlines())


def half(images, sources, target, case):
    return 0.5 * images[0]


def test_nothing_to_do(run):
    with pytest.raises(NothingToDo, match="none with the modalities"):
        run({"a": Spy()}, tasks=["T1->DWI"])


def test_max_cases_is_per_dataset(store):
    assert [c.record.case for c in cases_of(store, "test", 1)] == ["glioma2", "stroke2"]


def test_reading_refuses_what_is_not_a_score(tmp_path):
    with pytest.raises(BadInput, match="no file"):
        read_scores(tmp_path / "none.jsonl")
    bad = tmp_path / "scores.jsonl"
    bad.write_text('{"method": "a"}\n')
    with pytest.raises(BadInput, match="one score per line"):
        read_scores(bad)
