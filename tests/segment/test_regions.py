"""Whole tumour, tumour core, enhancing tumour from the labels of either BraTS convention."""

import json

import numpy as np
import pytest

from pmmsynth.errors import BadInput
from pmmsynth.segment.regions import is_marked, regions_of
from pmmsynth.segment.slices import marked_cases
from pmmsynth.store import PreparedCase, Store, read_case
from segment_phantoms import MATRIX, make_segment_store, tumour


def labelled(store: Store, values: list[int], meaning: dict[int, str]) -> PreparedCase:
    """A case where these values lie in a row, and else nothing."""
    case = next(store.cases())
    labels = np.zeros_like(case.labels())
    middle = MATRIX // 2  # in the brain
    labels[0, middle, middle : middle + len(values)] = values
    np.save(case.folder / "labels.npy", labels[None])
    record = json.loads((case.folder / "case.json").read_text()) | {"lesion_labels": meaning}
    (case.folder / "case.json").write_text(json.dumps(record))
    return read_case(case.folder)


@pytest.mark.parametrize("enhancing", [4, 3])
def test_regions_by_hand(tmp_path, enhancing):
    meaning = {1: "necrotic core", 2: "oedema", enhancing: "enhancing"}
    case = labelled(make_segment_store(tmp_path, "A"), [0, 1, 2, enhancing], meaning)
    regions = regions_of(case, "glioma")[:, 0, MATRIX // 2, MATRIX // 2 :][:, :4]
    np.testing.assert_array_equal(regions, [[0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]])


def test_what_sticks_out_of_the_brain_does_not_count(tmp_path):
    store = make_segment_store(tmp_path, "A")
    case = next(store.cases())
    before = regions_of(case, "glioma")
    np.save(case.folder / "labels.npy", np.where(case.brain(), case.labels(), 4)[None].astype(np.uint8))
    np.testing.assert_array_equal(regions_of(case, "glioma"), before)
    np.save(case.folder / "masks.npy", np.stack([case.brain(), case.lesion() | ~case.brain()]))
    np.testing.assert_array_equal(regions_of(case, "lesion"), before[:1])


def test_a_value_of_the_other_convention_is_refused(tmp_path):
    meaning = {1: "necrotic core", 2: "oedema", 4: "enhancing"}
    case = labelled(make_segment_store(tmp_path, "A"), [1, 3], meaning)
    with pytest.raises(BadInput, match=r"value 3; expected 1 \(necrotic core\), 2 \(oedema\), 4 \(enhancing\)"):
        regions_of(case, "glioma")


def test_both_conventions_say_the_same(gliomas):
    """Cases A0 and B0 have one tumour, with labels 4 and 3."""
    old, new = (regions_of(read_case(gliomas.root / name / f"{name}0"), "glioma") for name in "AB")
    np.testing.assert_array_equal(old, new)
    tissue = tumour(0)[:-1]
    for found, tissues in zip(old, ([1, 2, 3], [1, 3], [3]), strict=True):
        np.testing.assert_array_equal(found[:-1], np.isin(tissue, tissues))
    assert (old[0] >= old[1]).all()
    assert (old[1] >= old[2]).all()
    np.testing.assert_array_equal(regions_of(read_case(gliomas.root / "A" / "A0"), "lesion")[0], old[0])
    np.testing.assert_array_equal(regions_of(read_case(gliomas.root / "A" / "A0"), "glioma", [3, 1]), old[:, [3, 1]])


def test_only_cases_whose_tissues_are_known_count(tmp_path, quiet, capsys):
    store = make_segment_store(tmp_path, "B", "plain")
    assert {c.record.dataset: is_marked(c.record, "glioma") for c in store.cases()} == {"B": True, "plain": False}
    assert all(is_marked(c.record, "lesion") for c in store.cases())
    names = [c.record.case for c in marked_cases(store, ["train"], "glioma", ["T1"], quiet)]
    assert names == ["B0"]
    with pytest.raises(BadInput, match="no case of test with T1, DWI and a mask for lesion"):
        marked_cases(store, ["test"], "lesion", ["T1", "DWI"], quiet)
