"""Which files of a folder are read, and what cannot be."""

from pathlib import Path

import pytest

from pmmsynth.errors import BadInput
from pmmsynth.intake.files import volumes_under


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def found(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in volumes_under(root)]


def test_volumes_come_sorted_without_hidden_and_synthetic_ones(tmp_path):
    touch(tmp_path, "b/t1.nii", "a/T2.NII.GZ", "a/.t1.nii", ".c/t1.nii", "a/notes.txt", "b-1/t1.nii")
    touch(tmp_path, "b/sub-1_desc-synth_T1w.nii.gz", "b/desc-synth.nii", "b/sub-1_ce-gadolinium_desc-synth_T1w.nii")
    (tmp_path / "c/flair.nii.gz").mkdir(parents=True)  # prepare says that it is no file
    assert found(tmp_path) == ["a/T2.NII.GZ", "b/t1.nii", "b-1/t1.nii", "c/flair.nii.gz"]


def test_real_scans_whose_description_begins_like_that_of_synthetic_ones(tmp_path):
    names = [f"desc-synth/sub-1_desc-{tool}_T1w.nii.gz" for tool in ("synthseg", "synthstrip")]
    assert found(touch(tmp_path, *names)) == names


@pytest.mark.parametrize("place", ["", "b", "b/c"])
def test_a_folder_that_cannot_be_read_is_named(tmp_path, closed, place):
    touch(tmp_path, "a/t1.nii", "b/c/t1.nii")
    closed(tmp_path / place)
    with pytest.raises(BadInput) as error:
        found(tmp_path)
    assert error.value.found == f"the folder {tmp_path / place}: Permission denied"


def test_a_hidden_folder_need_not_be_readable(tmp_path, closed):
    touch(tmp_path, "a/t1.nii", ".trash/t1.nii")
    closed(tmp_path / ".trash")
    assert found(tmp_path) == ["a/t1.nii"]


def test_links_to_folders_are_followed(tmp_path):
    touch(tmp_path, "elsewhere/P1/scans/t1.nii", "elsewhere/P2/t1.nii", "in/P3/t1.nii")
    for number in (1, 2):
        (tmp_path / f"in/P{number}").symlink_to(f"../elsewhere/P{number}")
    assert found(tmp_path / "in") == ["P1/scans/t1.nii", "P2/t1.nii", "P3/t1.nii"]
    (tmp_path / "way").symlink_to("in")
    assert found(tmp_path / "way") == found(tmp_path / "in")


def test_a_folder_is_entered_once_and_by_its_own_name(tmp_path):
    touch(tmp_path, "in/b/t1.nii", "elsewhere/t1.nii")
    for link, target in {"a": "b", "b/up": "..", "in": "../in", "x": "../elsewhere", "y": "../elsewhere"}.items():
        (tmp_path / "in" / link).symlink_to(target)
    (tmp_path / "elsewhere/back").symlink_to("../in")
    (tmp_path / "in/itself").symlink_to("itself")
    assert found(tmp_path / "in") == ["b/t1.nii", "x/t1.nii"]


def test_a_link_to_a_folder_that_cannot_be_read_is_named(tmp_path, closed):
    touch(tmp_path, "elsewhere/t1.nii", "in/b/t1.nii")
    (tmp_path / "in/a").symlink_to("../elsewhere")
    closed(tmp_path / "in/a")
    with pytest.raises(BadInput, match=r"the folder .*/in/a: Permission denied"):
        found(tmp_path / "in")
