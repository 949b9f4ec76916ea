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
    touch(
        tmp_path, "b/t1.nii", "a/T2.NII.GZ", "a/.t1.nii", ".c/t1.nii", "a/notes.txt", "desc-synth/t1.nii", "b-1/t1.nii"
    )
    (tmp_path / "c/flair.nii.gz").mkdir(parents=True)  # prepare says that it is no file
    assert found(tmp_path) == ["a/T2.NII.GZ", "b/t1.nii", "b-1/t1.nii", "c/flair.nii.gz"]


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
