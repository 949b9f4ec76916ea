"""Places that hold cases: their form is told, what is wrong is said."""

from pathlib import Path

import pytest

from model_phantoms import brain, save, save_case
from pmmsynth.case import Case
from pmmsynth.errors import BadInput, NothingToDo, UsageError
from pmmsynth.intake import find_cases
from pmmsynth.manifest import Manifest


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["sub-1/anat/sub-1_T2w", "sub-1/anat/sub-1_FLAIR", "sub-2/anat/sub-2_FLAIR"], {"sub-1": 2, "sub-2": 1}),
        (
            ["sub-1/anat/sub-1_T1w", *(f"derivatives/x/sub-1/anat/sub-1_{s}" for s in ("T2w", "FLAIR", "T1w"))],
            {"sub-1": 1},
        ),
        (["HGG/a/a_t1", "HGG/a/a_flair", "LGG/b/b_t1ce", "LGG/b/b_seg"], {"a": 2, "b": 1}),
        (["sub-1/flair", "sub-1/dwi", "sub-1/adc", "sub-1/msk"], {"sub-1": 3}),
        (["sub-1/ses-1/sub-1_ses-1_dwi", "sub-1/ses-1/sub-1_ses-1_adc"], {"sub-1_ses-1": 2}),
        (["images/a/t1", "images/a/flair", "labels/a/seg", "labels/a/brain_mask"], {"a": 2}),
        (["a/t1", "a/t2", "synthesized/sub-a/anat/sub-a_desc-synth_FLAIR"], {"a": 2}),
    ],
    ids=[
        "bids without T1",
        "bids with derivatives",
        "brats",
        "isles flat",
        "isles",
        "brats beside masks",
        "own output",
    ],
)
def test_the_form_of_a_folder_is_told(tmp_path, files, expected):
    for name in files:
        path = tmp_path / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert {c.id: len(c.images) for c in find_cases(tmp_path)} == expected


def test_places_without_cases(tmp_path):
    image = save(tmp_path / "scans/t1.nii.gz", brain())
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingToDo, match="found no case in"):
        find_cases(tmp_path / "empty")
    with pytest.raises(BadInput, match="nothing at"):
        find_cases(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"found one image, .*t1\.nii\.gz; expected a folder .*; use --input t1="):
        find_cases(image)
    with pytest.raises(UsageError, match="found --split test and the folder"):
        find_cases(tmp_path, "test")
    save_case(tmp_path / "people/Jane Doe")
    with pytest.raises(BadInput, match="people: id: name 'Jane Doe' must be letters"):
        find_cases(tmp_path / "people")


def test_two_files_for_one_sequence_are_named_not_passed_over(tmp_path):
    for name in ("a_t1", "b_t1", "flair"):
        save(tmp_path / f"case/{name}.nii.gz", brain())
    with pytest.raises(BadInput, match=r"t1 twice \(a_t1.nii.gz, b_t1.nii.gz\)|T1 twice"):
        find_cases(tmp_path)


@pytest.mark.parametrize("text", [b"\xff\xfe\x00", b"{", b"[]\n"])
def test_a_file_that_is_no_manifest(tmp_path, text):
    (tmp_path / "m.jsonl").write_bytes(text)
    with pytest.raises(BadInput, match=r"m\.jsonl, line 1"):
        find_cases(tmp_path / "m.jsonl")


def test_a_manifest_and_its_splits(tmp_path):
    case = Case(dataset="A", id="x", subject="A:x", split="val", images={"T1": Path("t1.nii.gz")})
    Manifest(datasets=("A",), cases=(case,)).write(tmp_path / "manifest.jsonl")
    assert find_cases(tmp_path / "manifest.jsonl", "val") == [case]
    with pytest.raises(NothingToDo, match="found no test case"):
        find_cases(tmp_path / "manifest.jsonl", "test")
    (tmp_path / "datasets.json").write_text("{}")
    with pytest.raises(BadInput, match=r"datasets\.json: KeyError"):
        find_cases(tmp_path / "manifest.jsonl")
