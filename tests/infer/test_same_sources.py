"""Which file is which sequence: a volume is kept only if each source had the name it has now."""

from pathlib import Path

import pytest

from model_phantoms import brain, make_model, save
from pmmsynth.console import Reporter
from pmmsynth.infer import SavedModel, case_of_inputs, synthesize_cases


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> SavedModel:
    return SavedModel.find(make_model(tmp_path_factory.mktemp("sources") / "model"), "cpu", precision="float32")


def run(model, inputs, out, **options):
    case = case_of_inputs(inputs, "1")
    return synthesize_cases(model, [case], out, dataset="A", targets="flair", reporter=Reporter(quiet=True), **options)


def test_a_volume_of_swapped_sources_is_not_kept_once_they_are_right(model, tmp_path: Path) -> None:
    t1, t2 = save(tmp_path / "a.nii.gz", brain("T1")), save(tmp_path / "b.nii.gz", brain("T2"))
    swapped, right, out = [f"t1={t2}", f"t2={t1}"], [f"t1={t1}", f"t2={t2}"], tmp_path / "out"
    ((image,),) = (written.new for written in run(model, swapped, out).results)
    wrong = image.read_bytes()
    outcome = run(model, right, out)
    assert outcome.exit_code == 4
    assert f"found {image}: made from other sources" in outcome.failures[0].reason
    assert "choose another --subject or --out; --overwrite replaces it" in outcome.failures[0].reason
    assert run(model, right, out, overwrite=True).results[0].new == (image,)
    assert image.read_bytes() != wrong
    assert run(model, right, out).results[0].kept == (image,)
