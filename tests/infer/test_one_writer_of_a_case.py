"""A case has one writer, an --out may have many; no volume is ever without its sidecar."""

from pathlib import Path

import pytest

from model_phantoms import make_model, save_case
from pmmsynth import atomic
from pmmsynth.atomic import only_writer
from pmmsynth.case import Case
from pmmsynth.console import Reporter
from pmmsynth.infer import SavedModel, synthesize_cases
from pmmsynth.infer.naming import sidecar_path


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> SavedModel:
    return SavedModel.find(make_model(tmp_path_factory.mktemp("writers") / "model"), "cpu", precision="float32")


@pytest.fixture
def case(tmp_path):
    """Makes a case of a name, which may have a session."""

    def make(name: str) -> Case:
        folder = save_case(tmp_path / "in" / name)
        images = {"T1": folder / "t1.nii.gz", "T2": folder / "t2.nii.gz"}
        return Case(dataset="A", id=name, subject=name, images=images)

    return make


def run(model, cases, out, **options):
    return synthesize_cases(model, cases, out, targets="flair", reporter=Reporter(quiet=True), **options)


def names(out: Path) -> set[str]:
    return {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}


@pytest.mark.parametrize(("name", "held"), [("sub-a", "sub-a"), ("sub-a_ses-1", "sub-a/ses-1")])
def test_what_another_process_writes_is_left_alone(model, case, tmp_path, monkeypatch, name, held):
    monkeypatch.setattr(atomic, "PATIENCE", 0.2)
    out = tmp_path / "out"
    anat = out / held / "anat"
    anat.mkdir(parents=True)
    (anat / ".writing-other.nii.gz").write_bytes(b"half")
    with only_writer(out / held):
        outcome = run(model, [case(name), case("b"), case("sub-a_ses-2")], out)
    (failure,) = outcome.failures
    assert failure.name == name
    assert failure.reason.startswith(f"found another process that writes to {out / held}; expected one at a time")
    assert [len(written.new) for written in outcome.results] == [1, 1]
    assert {n for n in names(out) if n.startswith(f"{held}/anat")} == {f"{held}/anat/.writing-other.nii.gz"}
    assert run(model, [case(name)], out).exit_code == 0
    assert len(list(anat.iterdir())) == 2


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_kill_between_the_two_leaves_no_image_alone_and_is_made_good(model, case, tmp_path, monkeypatch, overwrite):
    out, cases = tmp_path / "out", [case("a")]
    if overwrite:
        run(model, cases, out)
    replace = Path.replace

    def killed(temporary, place):
        replace(temporary, place)
        if Path(place).name.startswith("sub-a_"):
            raise KeyboardInterrupt  # the first of the two has its place

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        run(model, cases, out, overwrite=overwrite)
    monkeypatch.undo()
    assert names(out) - {"dataset_description.json"} == {"sub-a/anat/sub-a_desc-synth_FLAIR.json"}
    (written,) = run(model, cases, out).results
    assert sidecar_path(*written.new).is_file()
    assert run(model, cases, out).results[0].kept == written.new
