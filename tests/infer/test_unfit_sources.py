"""Sources that are no image, or not what they are given as: refused in one line before anything is written."""

import json
import os
import shutil
from pathlib import Path

import pytest

from model_phantoms import brain, make_model, save, save_case
from pmmsynth.case import Case, Scans
from pmmsynth.console import Reporter
from pmmsynth.infer import SavedModel, synthesize_cases
from pmmsynth.infer.naming import sidecar_path


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> SavedModel:
    return SavedModel.find(make_model(tmp_path_factory.mktemp("unfit") / "model"), "cpu", precision="float32")


@pytest.fixture
def case(tmp_path) -> Case:
    folder = save_case(tmp_path / "in")
    mask = save(tmp_path / "in/mask.nii.gz", (brain() > 0).astype("int16"))
    images = {m: folder / f"{m.lower()}.nii.gz" for m in ("T1", "T2")}
    return Case(dataset="A", id="a", subject="a", images=images, brain=mask)


def run(model, case, out, targets="flair"):
    return synthesize_cases(model, [case], out, targets=targets, reporter=Reporter())


def test_a_mask_of_a_sequence_that_is_no_source_is_refused_while_nothing_is_registered(model, case, tmp_path):
    """T1 from T2 would be cut by a mask that lies where T1 does."""
    raw = case.model_copy(update={"scans": Scans(registered=False)})
    (failure,) = run(model, raw, tmp_path / "out", targets="t1").failures
    assert "a brain mask of T1 to make T1 from T2; expected T1 among the sources" in failure.reason
    assert run(model, raw, tmp_path / "out", targets="flair").exit_code == 0
    assert run(model, case, tmp_path / "ready", targets="t1").exit_code == 0


def put_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def put_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("there", [False, True], ids=["nothing there", "volumes there"])
@pytest.mark.parametrize("which", ["t2", "mask"])
@pytest.mark.parametrize("put", [put_folder, put_pipe])
def test_folders_and_pipes_are_refused_whatever_is_there(model, case, tmp_path, put, which, there):
    out, path = tmp_path / "out", tmp_path / f"in/{which}.nii.gz"
    if there:
        assert run(model, case, out).exit_code == 0
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    put(path)
    outcome = run(model, case, out)
    assert outcome.exit_code == 4
    assert outcome.failures[0].reason == (
        f"found {path}: a folder, pipe or device; expected a NIfTI volume; check the path"
    )
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before


@pytest.mark.parametrize("targets", ["flair", "all"])
def test_one_image_given_as_two_sequences_is_refused(model, case, tmp_path, targets):
    shutil.copy(case.images["T1"], case.images["T2"])
    outcome = run(model, case, tmp_path / "out", targets)
    assert outcome.exit_code == 4
    assert outcome.failures[0].reason == (
        f"found {case.images['T2']}: T1 and T2 are one image; expected an image of each; give each its own file"
    )
    assert not (tmp_path / "out").exists()


def test_a_mask_that_is_one_of_the_sequences_is_no_second_sequence(model, case, tmp_path):
    assert run(model, case.model_copy(update={"brain": case.images["T1"]}), tmp_path / "out").exit_code == 0


def test_a_target_without_another_source_is_said_in_one_line(model, case, tmp_path, capsys):
    alone = case.model_copy(update={"images": {"T1": case.images["T1"]}})
    outcome = run(model, alone, tmp_path / "out", "t1,t2")
    assert outcome.exit_code == 4
    said = "a: found T1 as the only source of T1; expected another; give one more sequence"
    assert capsys.readouterr().err.splitlines() == [said]
    assert not (tmp_path / "out").exists()


LOST = "does not say how it lies (no sform, no qform)"


def test_a_source_that_does_not_say_how_it_lies_beside_one_that_does(model, case, tmp_path):
    path = save(case.images["T2"], brain("T2"), codes=(0, 0))
    outcome = run(model, case, tmp_path / "out")
    assert outcome.exit_code == 4
    assert outcome.failures[0].reason == (
        f"found {path}: T2 {LOST}; expected a header that does, beside other sequences; "
        "copy the header from the source, or export it again"
    )
    for codes in ((1, 0), (0, 1)):
        save(path, brain("T2"), codes=codes)
        assert run(model, case, tmp_path / f"out{codes[0]}").results[0].remarks == ()


def test_sources_none_of_which_says_how_it_lies_are_remarked_on(model, case, tmp_path, capsys):
    case = case.model_copy(update={"brain": None})
    for name, path in case.images.items():
        save(path, brain(name), codes=(0, 0))
    (written,) = run(model, case, tmp_path / "out").results
    said = json.loads(sidecar_path(*written.new).read_bytes())["Remarks"]
    assert said == [f"T1 {LOST}", f"T2 {LOST}"]
    assert capsys.readouterr().err.splitlines() == [f"a: {remark}" for remark in said]


def test_a_case_with_no_known_sequence_or_no_other_source(model, tmp_path):
    only = Case(dataset="A", id="swi", subject="s", images={"SWI": save(tmp_path / "swi.nii.gz", brain())})
    alone = Case(dataset="A", id="alone", subject="t", images={"FLAIR": save(tmp_path / "f.nii.gz", brain("FLAIR"))})
    outcome = synthesize_cases(
        model, [only, alone], tmp_path / "out", dataset="A", targets="flair", reporter=Reporter(quiet=True)
    )
    assert outcome.exit_code == 4
    assert "swi: only SWI; expected one of T1, T2, T1C, FLAIR, ADC" in outcome.failures[0].reason
    assert "found FLAIR as the only source of FLAIR" in outcome.failures[1].reason
    assert not (tmp_path / "out").exists()
