"""Folder layouts as they are downloaded, made of empty files in a temporary folder."""

import gzip
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pmmsynth.errors import BadInput
from pmmsynth.intake import bids, brats, isles, pattern

TO_2021 = {1: "necrotic core", 2: "oedema", 4: "enhancing"}
SINCE_2023 = {1: "necrotic core", 2: "oedema", 3: "enhancing"}


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


NAMINGS = {
    "2018": (
        "HGG/Brats18_TCIA01_201_1/Brats18_TCIA01_201_1_{}.nii.gz",
        "t1 t1ce t2 flair seg",
        ("BraTS-TCIA01_201", "1", TO_2021),
    ),
    "2019": (
        "LGG/BraTS19_2013_0_1/BraTS19_2013_0_1_{}.nii.gz",
        "t1 t1ce t2 flair seg",
        ("BraTS-2013_0", "1", TO_2021),
    ),
    "2020 unpacked": (
        "BraTS20_Training_001/BraTS20_Training_001_{}.nii",
        "t1 t1ce t2 flair seg",
        ("BraTS20_Training_001", None, TO_2021),
    ),
    "2021": ("BraTS2021_00000/BraTS2021_00000_{}.nii.gz", "t1 t1ce t2 flair seg", ("BraTS-GLI-00000", "000", TO_2021)),
    "2023": (
        "BraTS-GLI-00000-001/BraTS-GLI-00000-001-{}.nii.gz",
        "t1n t1c t2w t2f seg",
        ("BraTS-GLI-00000", "001", SINCE_2023),
    ),
    "2023 metastases": (
        "BraTS-MET-00110-000/BraTS-MET-00110-000-{}.nii.gz",
        "t1n t1c t2w t2f seg",
        ("BraTS-MET-00110", "000", SINCE_2023),
    ),
    "plain": ("TCGA-DU-7294/{}.nii.gz", "t1 t1c t2 flair seg", ("TCGA-DU-7294", None, {})),
}


@pytest.mark.parametrize("naming", NAMINGS)
def test_brats(tmp_path, naming):
    template, names, (subject, session, labels) = NAMINGS[naming]
    touch(tmp_path, *(template.format(n) for n in names.split()), "survival.csv", template.format("brainmask"))
    (case,) = brats.find(tmp_path, "glioma")
    assert case.id == Path(template).parent.name
    assert (case.subject, case.session, case.lesion_labels) == (subject, session, labels)
    assert case.modalities == ("T1", "T2", "T1C", "FLAIR")
    t1, t2, t1c, flair = (
        {"T1": ("t1", "t1n"), "T2": ("t2", "t2w"), "T1C": ("t1ce", "t1c"), "FLAIR": ("flair", "t2f")}[m]
        for m in case.modalities
    )
    for path, spellings in zip(case.images.values(), (t1, t2, t1c, flair), strict=True):
        assert path in {tmp_path / template.format(s) for s in spellings}
    assert case.lesion == tmp_path / template.format("seg")


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("brats-gli-00001-000", ("BraTS-GLI-00001", "000")),
        ("BRATS2021_00001", ("BraTS-GLI-00001", "000")),
        ("brats19_WashU_S036_1", ("BraTS-WASHU_S036", "1")),
        ("BraTS19_WASHU_S036_1", ("BraTS-WASHU_S036", "1")),
    ],
)
def test_brats_a_patient_is_one_in_any_spelling(name, patient):
    assert brats.identity(name) == patient


def test_brats_absent_sequences_and_the_odd_name_of_2020(tmp_path):
    touch(tmp_path, "BraTS20_Training_355/BraTS20_Training_355_t1.nii", "BraTS20_Training_355/W39_1998.09.19_Segm.nii")
    touch(tmp_path, "Brats18_CBICA_AAA_1/Brats18_CBICA_AAA_1_flair.nii.gz", "only_mask/seg.nii.gz", "x/._t1.nii.gz")
    one, other = brats.find(tmp_path, "g")
    assert (one.modalities, one.lesion.name) == (("T1",), "W39_1998.09.19_Segm.nii")
    assert (other.modalities, other.lesion, other.lesion_labels) == (("FLAIR",), None, {})


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("T1", ("a_t1.nii.gz", "b_t1.nii.gz")),
        ("T1", ("C_t1.nii", "C_t1.nii.gz")),
        ("seg", ("C_seg.nii", "C_seg.nii.gz")),
    ],
)
def test_brats_two_files_for_one_sequence(tmp_path, name, files):
    touch(tmp_path, *(f"C/{file}" for file in files), "C/C_t2.nii.gz")
    with pytest.raises(BadInput) as error:
        brats.find(tmp_path, "g")
    assert error.value.found == f"{name} twice: {tmp_path / 'C' / files[0]} and {tmp_path / 'C' / files[1]}"


@pytest.mark.parametrize("above", ["", "rawdata/"])
def test_isles_as_released(tmp_path, above):
    sub = "sub-strokecase0003/ses-0001"
    name = "sub-strokecase0003_ses-0001"
    touch(
        tmp_path,
        f"{above}{sub}/dwi/{name}_dwi.nii.gz",
        f"{above}{sub}/dwi/{name}_adc.nii.gz",
        f"{above}{sub}/anat/{name}_FLAIR.nii.gz",
        f"derivatives/{sub}/{name}_msk.nii.gz",
    )
    (case,) = isles.find(tmp_path, "stroke")
    assert (case.id, case.subject, case.session) == (name, "stroke:sub-strokecase0003", "ses-0001")
    assert case.modalities == ("FLAIR", "DWI", "ADC")
    assert case.lesion == tmp_path / f"derivatives/{sub}/{name}_msk.nii.gz"
    assert case.lesion_labels == {1: "infarct"}


def test_isles_flat(tmp_path):
    touch(tmp_path, *(f"sub-strokecase0009/{n}.nii.gz" for n in ("dwi", "adc", "flair", "seg")), "case1/dwi.nii.gz")
    other, case = isles.find(tmp_path, "stroke")
    assert (case.id, case.modalities, case.lesion.name) == (
        "sub-strokecase0009",
        ("FLAIR", "DWI", "ADC"),
        "seg.nii.gz",
    )
    assert (other.id, other.modalities, other.lesion) == ("case1", ("DWI",), None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("P1/scans/dwi.nii.gz", "P2/scans/flair.nii.gz"),
        ("P1/scans/dwi.nii.gz", "P2/scans/seg.nii.gz"),
        ("P1/ses-1/dwi.nii.gz", "P2/ses-1/dwi.nii.gz"),
        ("siteA/sub-1/dwi.nii.gz", "siteB/sub-1/anat/flair.nii.gz"),
        ("siteA/sub-1/ses-1/dwi.nii.gz", "siteB/sub-1/ses-2/dwi.nii.gz"),
        ("derivatives/sub-1/ses-1/dwi.nii.gz", "rawdata/sub-1/ses-1/dwi.nii.gz"),
    ],
)
def test_isles_two_folders_are_never_one_case(tmp_path, one, other):
    touch(tmp_path, one, other)
    with pytest.raises(BadInput) as error:
        isles.find(tmp_path, "stroke")
    folders = [tmp_path.joinpath(*Path(file).parts[:2]) for file in (one, other)]
    assert error.value.found == f"{folders[0].name} twice: {folders[0]} and {folders[1]}"


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("DWI", ("case/a_dwi.nii.gz", "case/b_dwi.nii.gz")),
        ("ADC", ("sub-1/adc.nii.gz", "sub-1/dwi/adc.nii.gz")),
        ("FLAIR", ("sub-1/ses-1/flair.nii", "sub-1/ses-1/flair.nii.gz")),
        ("seg", ("derivatives/sub-1/sub-1_msk.nii.gz", "sub-1/brain_mask.nii.gz")),
    ],
)
def test_isles_two_files_for_one_sequence(tmp_path, name, files):
    touch(tmp_path, *files, *(["sub-1/dwi.nii.gz"] if name == "seg" else []))
    with pytest.raises(BadInput) as error:
        isles.find(tmp_path, "stroke")
    assert error.value.found == f"{name} twice: {tmp_path / files[0]} and {tmp_path / files[1]}"


def test_isles_masks_without_images_are_left_alone(tmp_path):
    touch(
        tmp_path, "derivatives/sub-1/sub-1_msk.nii.gz", "sub-2/dwi.nii.gz", "a/masks/seg.nii.gz", "b/masks/seg.nii.gz"
    )
    assert [(c.id, c.lesion) for c in isles.find(tmp_path, "stroke")] == [("sub-2", None)]


def test_bids(tmp_path):
    touch(
        tmp_path,
        "sub-01/ses-a/anat/sub-01_ses-a_run-2_T1w.nii.gz",
        "sub-01/ses-a/anat/sub-01_ses-a_run-1_T1w.nii.gz",
        "sub-01/ses-a/anat/sub-01_ses-a_ce-gadolinium_T1w.nii.gz",
        "sub-01/ses-a/anat/sub-01_ses-a_FLAIR.nii.gz",
        "sub-01/ses-a/anat/sub-01_ses-a_desc-synth_T2w.nii.gz",
        "sub-01/ses-b/anat/sub-01_ses-b_T2w.nii.gz",
        "sub-02/anat/sub-02_T1w.nii.gz",
        "sub-02/dwi/sub-02_ADC.nii.gz",
        "sub-02/dwi/sub-02_trace.nii.gz",
        "sub-02/func/sub-02_task-rest_bold.nii.gz",
        "derivatives/lesions/sub-02/anat/sub-02_label-lesion_mask.nii.gz",
        "derivatives/lesions/sub-02/anat/sub-02_label-brain_mask.nii.gz",
        "derivatives/pmmsynth/sub-02/anat/sub-02_desc-synth_FLAIR.nii.gz",
        "derivatives/other/sub-02/anat/sub-02_T2w.nii.gz",
    )
    for name, shape in (("sub-01/ses-b/dwi/sub-01_ses-b", (4, 4, 4)), ("sub-01/ses-a/dwi/sub-01_ses-a", (4, 4, 4, 7))):
        path = tmp_path / f"{name}_dwi.nii.gz"
        path.parent.mkdir(parents=True)
        nib.save(nib.Nifti1Image(np.zeros(shape, np.float32), np.eye(4)), path)
    cases = {c.id: c for c in bids.find(tmp_path, "site")}
    assert {i: c.modalities for i, c in cases.items()} == {
        "sub-01_ses-a": ("T1", "T1C", "FLAIR"),  # the 4-D series is not an image
        "sub-01_ses-b": ("T2", "DWI"),
        "sub-02": ("T1", "DWI", "ADC"),
    }
    assert cases["sub-01_ses-a"].images["T1"].name == "sub-01_ses-a_run-1_T1w.nii.gz"
    assert cases["sub-02"].images["DWI"].name == "sub-02_trace.nii.gz"
    assert cases["sub-02"].lesion.name == "sub-02_label-lesion_mask.nii.gz"
    assert {c.subject for c in cases.values()} == {"site:sub-01", "site:sub-02"}


@pytest.mark.parametrize(
    ("one", "other", "folders"),
    [
        ("siteA/sub-01/anat/sub-01_T1w", "siteB/sub-01/anat/sub-01_T1w", ("siteA/sub-01", "siteB/sub-01")),
        ("siteA/sub-01/anat/sub-01_T1w", "siteB/sub-01/dwi/sub-01_ADC", ("siteA/sub-01", "siteB/sub-01")),
        ("a/sub-01/ses-1/anat/sub-01_ses-1_T1w", "b/sub-01/ses-2/anat/sub-01_ses-2_T1w", ("a/sub-01", "b/sub-01")),
        ("sub-01/ses-1/anat/sub-01_T1w", "sub-01/ses-2/anat/sub-01_T1w", ("sub-01/ses-1", "sub-01/ses-2")),
    ],
    ids=["one sequence", "two sequences", "sessions", "sessions not named"],
)
def test_bids_two_folders_are_never_one_subject(tmp_path, one, other, folders):
    touch(tmp_path, f"{one}.nii.gz", f"{other}.nii.gz")
    with pytest.raises(BadInput) as error:
        bids.find(tmp_path, "site")
    assert error.value.found == f"sub-01 twice: {tmp_path / folders[0]} and {tmp_path / folders[1]}"


def test_bids_sessions_and_masks_of_one_tree_below_other_folders(tmp_path):
    touch(
        tmp_path,
        *(f"rawdata/sub-01/ses-{s}/anat/sub-01_ses-{s}_T1w.nii.gz" for s in "ab"),
        "rawdata/sub-01/ses-a/dwi/sub-01_ses-a_ADC.nii.gz",
        "derivatives/lesions/sub-01/ses-a/anat/sub-01_ses-a_label-lesion_mask.nii.gz",
        "derivatives/n4/sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz",
        "sourcedata/sub-01/ses-a/anat/sub-01_ses-a_T2w.nii.gz",
    )
    one, other = bids.find(tmp_path, "site")
    assert (one.id, one.modalities, one.lesion.parts[-6]) == ("sub-01_ses-a", ("T1", "ADC"), "derivatives")
    assert (other.id, other.modalities, other.lesion) == ("sub-01_ses-b", ("T1",), None)


def test_bids_of_several_lesion_masks_one_is_taken_and_said(tmp_path):
    """A case of two masks would else lose a lesion in silence."""
    masks = [f"derivatives/l/sub-01/anat/sub-01_desc-lesion{n}_mask.nii.gz" for n in (10, 2)]
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", *masks)
    (case,) = bids.find(tmp_path, "site")
    assert case.lesion == tmp_path / masks[1]
    assert case.remarks == (
        "lesion mask: sub-01_desc-lesion2_mask.nii.gz taken, left sub-01_desc-lesion10_mask.nii.gz",
    )


@pytest.mark.parametrize(
    ("image", "masks", "taken"),
    [
        ("", ["space-MNI152_label-lesion", "space-T1w_label-lesion"], "space-T1w_label-lesion"),
        ("", ["space-orig_label-lesion", "label-lesion"], "label-lesion"),
        ("", ["space-MNI152_label-lesion"], None),
        ("space-MNI152_", ["label-lesion", "space-MNI152_label-lesion"], "space-MNI152_label-lesion"),
    ],
)
def test_bids_a_lesion_mask_lies_in_the_space_of_the_images(tmp_path, image, masks, taken):
    names = [f"sub-01_{mask}_mask.nii.gz" for mask in masks]
    touch(tmp_path, f"sub-01/anat/sub-01_{image}T1w.nii.gz", *(f"derivatives/l/sub-01/anat/{n}" for n in names))
    (case,) = bids.find(tmp_path, "site")
    assert (case.lesion.name if case.lesion else None) == (f"sub-01_{taken}_mask.nii.gz" if taken else None)
    assert case.lesion_labels == ({1: "lesion"} if taken else {})
    elsewhere = [f"lesion mask: {n} left, the images are in another space" for n in names if "MNI" in n and not image]
    assert [remark for remark in case.remarks if "another space" in remark] == elsewhere


@pytest.mark.parametrize("spoil", ["pipe", "dims", "gzip"])
def test_bids_leaves_a_malformed_dwi_for_prepare_to_name(tmp_path, spoil):
    path = tmp_path / "sub-1/dwi/sub-1_dwi.nii.gz"
    path.parent.mkdir(parents=True)
    if spoil == "pipe":
        os.mkfifo(path)
    else:
        content = bytearray(nib.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4)).to_bytes())
        content[40:48] = bytes.fromhex("0300 ffff ffff ffff")
        zipped = gzip.compress(content)
        path.write_bytes(zipped if spoil == "dims" else zipped[:10] + b"\xff" * 20)
    assert [c.images for c in bids.find(tmp_path, "g")] == [{"DWI": path}]


def test_upper_case_names_are_found(tmp_path):
    touch(tmp_path, "a/A_T1.NII.GZ", "a/A_T2.Nii")
    assert [c.modalities for c in brats.find(tmp_path, "g")] == [("T1", "T2")]


def test_pattern(tmp_path):
    touch(tmp_path, *(f"p1/p1_{n}.nii.gz" for n in ("t1", "T2w", "post", "seg", "brainmask")), "p2/p3_t1.nii.gz")
    (case,) = pattern.find(
        tmp_path,
        "x",
        image="{case}/{case}_{modality}.nii.gz",
        lesion="{case}/{case}_seg.nii.gz",
        aliases={"POST": "T1C"},
        ignore=["brainmask"],
    )
    assert (case.id, case.subject, case.modalities) == ("p1", "x:p1", ("T1", "T2", "T1C"))
    assert case.lesion.name == "p1_seg.nii.gz"


def test_pattern_with_a_further_modality(tmp_path):
    touch(tmp_path, "pd/a.nii.gz", "t1/a.nii.gz", "t1/b.nii.gz")
    one, other = pattern.find(tmp_path, "x", image="{modality}/{case}.nii.gz", aliases={"pd": "PD"})
    assert (one.modalities, other.modalities) == (("T1", "PD"), ("T1",))


@pytest.mark.parametrize("spelling", ["t1x", "brainmask", "t-2", "123"])
def test_pattern_refuses_an_unknown_modality(tmp_path, spelling):
    touch(tmp_path, f"a/{spelling}.nii.gz")
    with pytest.raises(BadInput, match=f"unknown modality name '{spelling}'.*aliases"):
        pattern.find(tmp_path, "x", image="{case}/{modality}.nii.gz")
