"""Tissues of the lesion come along: on the prepared grid, by the nearest voxel, with what their values mean."""

import json

import numpy as np
import pytest
from prepare_phantoms import SMALL, cohort, save, save_case

from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput
from pmmsynth.prepare import prepare
from pmmsynth.store import Store, read_case
from pmmsynth.train.run import data_digest

GLIOMA = 'name = "glioma"\nroot = "glioma"\nlayout = "brats"'


@pytest.fixture
def labelled(tmp_path):
    """One case of each BraTS convention with the same tissues in the same places, and one whose name tells none."""
    for name, enhancing in {"BraTS2021_00001": 4, "BraTS-GLI-00002-000": 3, "other": 3}.items():
        save_case(tmp_path / "glioma" / name, seg=False)
        mask = np.zeros(SMALL)
        mask[16:26, 18:30, 4:8] = 2
        mask[18:24, 20:26, 4:8] = enhancing
        mask[20:22, 22:24, 5:7] = 1
        save(tmp_path / "glioma" / name / "seg.nii.gz", mask)
    return cohort(tmp_path, GLIOMA, head="split = { val = 0.0, test = 0.0 }")


def run(path):
    prepare(path, path.parent / "store", matrix=48, inplane_mm=3, reporter=Reporter(quiet=True))
    return path.parent / "store" / "glioma"


def test_labels_are_kept_with_their_meaning(labelled):
    store = run(labelled)
    old, new, other = (read_case(store / n) for n in ("BraTS2021_00001", "BraTS-GLI-00002-000", "other"))
    assert old.record.lesion_labels == {1: "necrotic core", 2: "oedema", 4: "enhancing"}
    assert new.record.lesion_labels == {1: "necrotic core", 2: "oedema", 3: "enhancing"}
    counts = dict(zip(*np.unique(old.labels(), return_counts=True), strict=True))
    assert counts.pop(0) == old.labels().size - 10 * 12 * 4
    assert counts == {1: 2 * 2 * 2, 2: (10 * 12 - 6 * 6) * 4, 4: 6 * 6 * 4 - 8}
    np.testing.assert_array_equal(np.where(old.labels() == 4, 3, old.labels()), new.labels())
    np.testing.assert_array_equal(old.labels() > 0, old.lesion())
    assert other.record.lesion_labels == {}
    with pytest.raises(BadInput, match="labels"):
        other.labels()


def test_a_store_of_before_gets_its_labels_and_trains_on(labelled):
    """Its arrays stay the same to the byte, so a run begun on it goes on."""
    store = run(labelled)
    kept = Store(store.parent)
    digest = data_digest(kept)
    for folder in store.iterdir():
        record = json.loads((folder / "case.json").read_text())
        del record["lesion_labels"], record["labels_sha256"]
        (folder / "case.json").write_text(json.dumps(record))
        (folder / "labels.npy").unlink(missing_ok=True)
    assert data_digest(Store(store.parent)) == digest
    assert {c.record.case: c.record.lesion_labels for c in kept.cases()}["BraTS2021_00001"] == {}
    run(labelled)
    assert read_case(store / "BraTS2021_00001").labels().max() == 4
    assert data_digest(Store(store.parent)) == digest


@pytest.mark.parametrize(("value", "said"), [(1.7, "value 1.7"), (300, "value 300")])
def test_values_that_are_no_tissues_are_refused(labelled, value, said):
    """As an interpolated mask has them; a mask of one class may hold any."""
    for name in ("BraTS2021_00001", "other"):
        path = labelled.parent / "glioma" / name / "seg.nii.gz"
        mask = np.zeros(SMALL)
        mask[16:26, 18:30, 4:8] = 2
        mask[16, 18:30, 4:8] = value
        save(path, mask)
    done = prepare(labelled, labelled.parent / "store", matrix=48, inplane_mm=3, reporter=Reporter(quiet=True))
    (failure,) = done.failures
    assert failure.name == "glioma/BraTS2021_00001"
    assert said in failure.reason
    assert read_case(labelled.parent / "store/glioma/other").lesion().sum() == 10 * 12 * 4
