"""The layout of nnU-Net v2: names, channels, regions, and voxels where they were in the world."""

import json

import nibabel as nib
import numpy as np
import pytest

from model_phantoms import make_model
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.segment import nnunet
from pmmsynth.segment.nnunet import export_nnunet
from pmmsynth.store import read_case
from segment_phantoms import make_one_to_one, make_segment_store, tumour


def test_layout_and_description(gliomas, tmp_path, quiet):
    out = export_nnunet(gliomas, tmp_path / "Dataset501_Glioma", reporter=quiet)
    names = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    training, testing = ("A_A0", "A_A1", "A_A2", "B_B0"), ("A_A3", "A_A4", "B_B1")  # A2 is of val
    expected = {"dataset.json"}
    for kind, cases in (("Tr", training), ("Ts", testing)):
        expected |= {f"labels{kind}/{case}.nii.gz" for case in cases}
        expected |= {f"images{kind}/{case}_{channel:04d}.nii.gz" for case in cases for channel in range(4)}
    assert names == expected
    assert json.loads((out / "dataset.json").read_text()) == {
        "channel_names": {"0": "T1", "1": "T2", "2": "T1C", "3": "FLAIR"},
        "labels": {"background": 0, "whole tumour": [1, 2, 3], "tumour core": [2, 3], "enhancing tumour": [3]},
        "regions_class_order": [1, 2, 3],
        "numTraining": 4,
        "file_ending": ".nii.gz",
    }


def test_voxels_stay_where_they_were(gliomas, tmp_path, quiet):
    out = export_nnunet(gliomas, tmp_path / "out", reporter=quiet)
    case = read_case(gliomas.root / "A" / "A4")
    image = nib.load(out / "imagesTs" / "A_A4_0003.nii.gz")
    np.testing.assert_array_equal(image.affine, case.record.prepared.grid().affine)
    assert image.header.get_zooms() == (1, 1, 4)
    np.testing.assert_array_equal(np.asarray(image.dataobj).T, case.images()[3].astype(np.float32))
    labels = nib.load(out / "labelsTs" / "A_A4.nii.gz")
    np.testing.assert_array_equal(labels.affine, image.affine)
    assert labels.get_data_dtype() == np.uint8
    tissue = tumour(4) * case.brain()  # 1 necrotic core, 2 oedema, 3 enhancing; nested regions count 2, 1, 3
    np.testing.assert_array_equal(np.asarray(labels.dataobj).T, np.array([0, 2, 1, 3])[tissue])


def test_dropped_and_synthesized(gliomas, tmp_path, quiet):
    real = export_nnunet(gliomas, tmp_path / "real", reporter=quiet)
    dropped = export_nnunet(gliomas, tmp_path / "dropped", left_out="T2", reporter=quiet)
    model = make_model(tmp_path / "model")
    made = export_nnunet(gliomas, tmp_path / "made", left_out="T2", model=model, reporter=quiet)
    assert json.loads((dropped / "dataset.json").read_text())["channel_names"] == {"0": "T1", "1": "T1C", "2": "FLAIR"}
    assert (made / "dataset.json").read_text() == (real / "dataset.json").read_text()

    def read(folder, kind, name):
        return np.asarray(nib.load(folder / f"images{kind}" / f"{name}.nii.gz").dataobj)

    np.testing.assert_array_equal(read(dropped, "Ts", "B_B1_0001"), read(real, "Ts", "B_B1_0002"))
    np.testing.assert_array_equal(read(made, "Tr", "A_A0_0001"), read(real, "Tr", "A_A0_0001"))
    np.testing.assert_array_equal(read(made, "Ts", "B_B1_0000"), read(real, "Ts", "B_B1_0000"))
    assert np.abs(read(made, "Ts", "B_B1_0001") - read(real, "Ts", "B_B1_0001")).max() > 0.05

    said = {p.name: nib.load(p).header["descrip"].item().decode() for p in (made / "imagesTs").glob("B_B1_*")}
    assert said.pop("B_B1_0001.nii.gz") == "SYNTHETIC T2 by pmmsynth, not acquired; pmmsynth segment export"
    assert set(said.values()) == {"pmmsynth segment export"}
    headers = [nib.load(p).header for p in (made / "imagesTr").iterdir()]
    assert {h["descrip"].item().decode() for h in headers} == {"pmmsynth segment export"}, "training cases are real"


def test_a_plain_mask_is_one_label(tmp_path, quiet):
    store = make_segment_store(tmp_path / "store", "plain")
    out = export_nnunet(store, tmp_path / "out", target="lesion", reporter=quiet)
    said = json.loads((out / "dataset.json").read_text())
    assert said["labels"] == {"background": 0, "lesion": 1}
    assert "regions_class_order" not in said
    labels = np.asarray(nib.load(out / "labelsTs" / "plain_plain1.nii.gz").dataobj)
    assert np.unique(labels).tolist() == [0, 1]


def test_what_is_there_is_not_mixed_with(gliomas, tmp_path, quiet):
    out = export_nnunet(gliomas, tmp_path / "out", reporter=quiet)
    with pytest.raises(UsageError, match="expected a new folder"):
        export_nnunet(gliomas, out, left_out="T2", reporter=quiet)
    with pytest.raises(UsageError, match="--left-out missing"):
        export_nnunet(gliomas, tmp_path / "new", model=tmp_path, reporter=quiet)
    (out / "dataset.json").unlink()
    with pytest.raises(UsageError, match="expected a new folder"):  # somebody's own images, for all we know
        export_nnunet(gliomas, out, left_out="T2", reporter=quiet)
    assert len(list(out.glob("imagesTr/*_0003.nii.gz"))) == 4


def test_an_interrupted_export_leaves_nothing_to_the_next(gliomas, tmp_path, quiet, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(nnunet, "_description", killed)
        with pytest.raises(KeyboardInterrupt):
            export_nnunet(gliomas, out, reporter=quiet)
    assert len(list(out.glob("imagesTr/*_0003.nii.gz"))) == 4
    export_nnunet(gliomas, out, left_out="T2", reporter=quiet)
    assert sorted(path.name for path in out.iterdir() if path.is_file()) == ["dataset.json"]
    assert not list(out.glob("images*/*_0003.nii.gz")), "nothing of the interrupted one with four channels"
    assert len(list(out.glob("imagesTr/*_0002.nii.gz"))) == 4


def test_without_test_cases_all_are_for_training(gliomas, tmp_path, quiet, monkeypatch):
    """nnU-Net may cross-validate; a synthesized sequence, which test cases alone have, needs some."""
    cases = type(gliomas).cases
    monkeypatch.setattr(type(gliomas), "cases", lambda self, *a: (c for c in cases(self, *a) if a[0] != "test"))
    out = export_nnunet(gliomas, tmp_path / "out", reporter=quiet)
    assert json.loads((out / "dataset.json").read_text())["numTraining"] == 4
    assert not (out / "imagesTs").exists()
    with pytest.raises(BadInput, match="no case of test"):
        export_nnunet(gliomas, tmp_path / "made", left_out="T2", model=make_model(tmp_path / "model"), reporter=quiet)
    assert not (tmp_path / "made").exists()


def test_two_cases_of_one_name_are_refused(gliomas, tmp_path, quiet, monkeypatch):
    monkeypatch.setattr(nnunet, "_name", lambda case: "A_B_C")
    with pytest.raises(UsageError, match="two cases that would be A_B_C"):
        export_nnunet(gliomas, tmp_path / "out", reporter=quiet)
    assert not (tmp_path / "out").exists()


def test_a_model_that_cannot_is_refused_before_any_file(gliomas, tmp_path, quiet):
    one = make_one_to_one(tmp_path / "model")
    with pytest.raises(UsageError, match=r"does not do T1\+T1C\+FLAIR->T2"):
        export_nnunet(gliomas, tmp_path / "out", left_out="T2", model=one, reporter=quiet)
    assert not (tmp_path / "out").exists()


def test_damaged_arrays_are_not_exported(tmp_path, quiet):
    store = make_segment_store(tmp_path / "store", "B")
    case = read_case(store.root / "B" / "B1")
    np.save(case.folder / "images.npy", np.full_like(case.images(), 0.5))
    with pytest.raises(BadInput, match=r"B1/images.npy: not the bytes"):
        export_nnunet(store, tmp_path / "out", reporter=quiet)
    assert not (tmp_path / "out/dataset.json").exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [({"modalities": ("T1", "t1n")}, "T1 twice"), ({"device": "cpu"}, "--device cpu without --model")],
)
def test_what_makes_no_sense_is_refused(gliomas, tmp_path, quiet, asked, said):
    with pytest.raises(UsageError, match=said):
        export_nnunet(gliomas, tmp_path / "out", **asked, reporter=quiet)
