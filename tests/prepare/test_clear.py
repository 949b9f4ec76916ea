"""A new split or a withheld sequence holds for the whole store at once, also where the run does not come to its end."""

from contextlib import suppress
from pathlib import Path

import pytest
from prepare_phantoms import cohort, save_case

from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput
from pmmsynth.jobs import Outcome
from pmmsynth.manifest import Manifest
from pmmsynth.prepare import clear as clearing
from pmmsynth.prepare import pipeline, prepare
from pmmsynth.prepare.clear import clear
from pmmsynth.store import PreparedCase, Store

GLIOMA = 'name = "glioma"\nroot = "glioma"\nlayout = "brats"\n'
ONE_WAY = GLIOMA + 'split = {test = ["BraTS-GLI-00001-*"]}'
OTHER_WAY = GLIOMA + 'split = {test = ["BraTS-GLI-00002-*"]}'
QUIET = Reporter(quiet=True)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients with two sessions each."""
    root = tmp_path_factory.mktemp("scans")
    for number, name in enumerate(("00001-000", "00001-001", "00002-000", "00002-001")):
        save_case(root / "glioma" / f"BraTS-GLI-{name}", modalities=("t1", "flair"), seg=False, phase=number / 4)
    return root


@pytest.fixture
def store(scans: Path) -> Path:
    """With the first patient in test."""
    assert run(scans, ONE_WAY).exit_code == 0
    return scans / "store"


def run(scans: Path, table: str) -> Outcome[PreparedCase]:
    return prepare(cohort(scans, table), scans / "store", matrix=48, inplane_mm=3, reporter=QUIET)


def labels(store: Path) -> dict[str, tuple[str, str]]:
    return {case.record.case: (case.record.subject, case.record.split) for case in Store(store).cases()}


def split_of(test: str) -> dict[str, str]:
    cases = [f"BraTS-GLI-{patient}-{session}" for patient in ("00001", "00002") for session in ("000", "001")]
    return {case: "test" if test in case else "train" for case in cases}


def fail(images: object, masks: object) -> dict[str, str]:
    raise OSError(5, "Input/output error")


def test_a_new_split_holds_also_of_cases_that_the_machine_fails(scans, store, monkeypatch):
    assert {case: split for case, (_, split) in labels(store).items()} == split_of("00001")
    monkeypatch.setattr(pipeline, "digests_of", fail)
    assert len(run(scans, OTHER_WAY).failures) == 4
    assert {case: split for case, (_, split) in labels(store).items()} == split_of("00002")


def test_a_withheld_sequence_goes_also_where_the_machine_fails(scans, store, monkeypatch):
    monkeypatch.setattr(pipeline, "digests_of", fail)
    run(scans, ONE_WAY + '\nwithhold = ["FLAIR"]')
    assert [(c.record.split, c.record.modalities) for c in Store(store).cases()] == [("test", ("T1", "FLAIR"))] * 2


@pytest.mark.parametrize("last", range(8))
def test_stopped_while_it_relabels_the_splits_are_the_old_ones_or_refused(store, monkeypatch, last):
    """Four patients become two of two sessions, in other splits: four writes of who they are, then four of splits."""
    after = Manifest.read(store / "manifest.jsonl")
    old = {c.id: {"subject": c.id, "split": {"000": "test", "001": "train"}[c.id[-3:]]} for c in after.cases}
    before = Manifest(datasets=after.datasets, cases=tuple(c.model_copy(update=old[c.id]) for c in after.cases))
    digests = {"glioma": next(Store(store).cases()).record.settings}
    clear(store, before, digests)
    assert labels(store) == {c.id: (c.subject, c.split) for c in before.cases}
    written = []

    def write(path, value):
        if len(written) == last:
            raise KeyboardInterrupt
        written.append(path)
        honest(path, value)

    honest = clearing.write_json
    monkeypatch.setattr(clearing, "write_json", write)
    with pytest.raises(KeyboardInterrupt):
        clear(store, after, digests)
    with suppress(BadInput):
        found = {case: split for case, (_, split) in labels(store).items()}
        assert last != 4
        assert found in [{c.id: c.split for c in manifest.cases} for manifest in (before, after)]
    monkeypatch.undo()
    clear(store, after, digests)
    assert labels(store) == {c.id: (c.subject, c.split) for c in after.cases}
