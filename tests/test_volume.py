"""NIfTI in, checked at the door; NIfTI out, with the geometry of what it came from."""

import errno
import gzip
import os

import nibabel as nib
import numpy as np
import pytest

from pmmsynth import volume
from pmmsynth.errors import BadInput
from pmmsynth.volume import Grid, Volume, read_volume, write_volume

AFFINE = np.array([[-0.9, 0.05, 0, 90], [0.05, 0.9, 0, -100], [0, 0, 3, -40], [0, 0, 0, 1.0]])
AFFINE[:3, 0] *= 0.9 / np.linalg.norm(AFFINE[:3, 0])
DATA = np.random.default_rng(0).random((7, 8, 5)).astype(np.float32)


def put(path, data=DATA, affine=AFFINE, kind=nib.Nifti1Image):
    image = kind(data, None)
    image.header.set_sform(affine, 1)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_values_and_affine_as_written(tmp_path, name, kind):
    got = read_volume(put(tmp_path / name, kind=kind))
    np.testing.assert_array_equal(got.data, DATA)
    np.testing.assert_allclose(got.affine, AFFINE, atol=1e-5)
    np.testing.assert_allclose(got.grid.spacing, np.linalg.norm(AFFINE[:3, :3], axis=0), rtol=1e-5)


def test_slope_and_intercept_are_applied(tmp_path):
    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    nib.save(image, tmp_path / "a.nii")
    expected = np.asarray(nib.load(tmp_path / "a.nii").dataobj, np.float32)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii").data, expected)


def test_a_trailing_axis_of_one_is_dropped(tmp_path):
    assert read_volume(put(tmp_path / "a.nii.gz", DATA[..., None])).data.shape == (7, 8, 5)


def test_a_constant_mask_is_fine_when_asked_for(tmp_path):
    path = put(tmp_path / "a.nii.gz", np.zeros_like(DATA))
    assert not read_volume(path, constant_ok=True).data.any()
    with pytest.raises(BadInput, match="every voxel is 0"):
        read_volume(path)


SHEAR = np.diag([1.0, 1, 1, 1])
SHEAR[0, 1] = 0.3
BAD = {
    "missing": (lambda p: None, "a.nii", "no file"),
    "name": (lambda p: p.write_bytes(b"x"), "a.mha", "not a .nii"),
    "text": (lambda p: p.write_bytes(b"x" * 500), "a.nii", "not readable"),
    "gzip of text": (lambda p: p.write_bytes(gzip.compress(b"x" * 500)), "a.nii.gz", "not readable"),
    "empty": (lambda p: p.write_bytes(b""), "a.nii.gz", "not readable"),
    "plain under a gz name": (
        lambda p: p.write_bytes(put(p.with_name("b.nii")).read_bytes()),
        "a.nii.gz",
        "not readable",
    ),
    "nan": (lambda p: put(p, np.where(DATA > 0.9, np.nan, DATA)), "a.nii.gz", "NaN or infinite"),
    "infinite": (lambda p: put(p, np.where(DATA > 0.9, np.inf, DATA)), "a.nii.gz", "NaN or infinite"),
    "2-D": (lambda p: put(p, DATA[..., 0]), "a.nii.gz", "2-D"),
    "4-D": (lambda p: put(p, np.stack([DATA, DATA], -1)), "a.nii.gz", "4-D"),
    "sheared": (lambda p: put(p, affine=SHEAR), "a.nii.gz", "sheared"),
    "flat": (lambda p: put(p, affine=np.diag([1.0, 1, 0, 1])), "a.nii.gz", "voxel size"),
    "huge": (lambda p: put(p, affine=np.diag([1.0, 1, 900, 1])), "a.nii.gz", "voxel size"),
    "metres": (lambda p: put(p, affine=np.diag([0.001, 0.001, 0.006, 1])), "a.nii.gz", "whose unit may not be mm"),
    "complex": (lambda p: put(p, DATA.astype(np.complex64)), "a.nii.gz", "complex"),
    "colour": (
        lambda p: put(p, np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])),
        "a.nii.gz",
        "voxels of type",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_not_a_volume_is_refused_in_one_line(tmp_path, kind):
    make, name, found = BAD[kind]
    make(tmp_path / name)
    with pytest.raises(BadInput, match=found) as error:
        read_volume(tmp_path / name)
    assert "\n" not in str(error.value)
    assert name in str(error.value)


@pytest.mark.parametrize("cut", [10, 200, 400, 900])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_truncated_at_any_place(tmp_path, name, cut):
    path = put(tmp_path / name)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(BadInput, match="not readable"):
        read_volume(path)


def test_writing_keeps_both_forms_and_their_codes(tmp_path):
    image = nib.Nifti1Image(DATA, AFFINE)
    image.header.set_sform(AFFINE, 4)
    image.header.set_qform(AFFINE, 1)
    image.header.set_xyzt_units("mm", "sec")
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Jane Doe"))
    nib.save(image, tmp_path / "a.nii.gz")
    like = read_volume(tmp_path / "a.nii.gz")
    write_volume(tmp_path / "out" / "b.nii.gz", DATA * 2, like, "pmmsynth")
    got = nib.load(tmp_path / "out" / "b.nii.gz")
    np.testing.assert_array_equal(np.asarray(got.dataobj), DATA * 2)
    assert (int(got.header["sform_code"]), int(got.header["qform_code"])) == (4, 1)
    np.testing.assert_array_equal(got.header.get_sform(), image.header.get_sform())
    np.testing.assert_array_equal(got.header.get_qform(), image.header.get_qform())
    assert got.header.get_xyzt_units() == ("mm", "sec")
    assert not got.header.extensions
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["b.nii.gz"]


def test_a_volume_made_in_memory_keeps_its_affine(tmp_path):
    write_volume(tmp_path / "a.nii.gz", DATA, Volume(DATA, AFFINE), "x")
    np.testing.assert_allclose(nib.load(tmp_path / "a.nii.gz").affine, AFFINE, atol=1e-5)


def test_same_grid_has_a_tolerance():
    moved = AFFINE.copy()
    moved[0, 3] += 5e-4
    assert Grid((3, 3, 3), AFFINE).same_as(Grid((3, 3, 3), moved))
    assert not Grid((3, 3, 3), AFFINE).same_as(Grid((3, 3, 4), AFFINE))
    moved[0, 3] += 0.1
    assert not Grid((3, 3, 3), AFFINE).same_as(Grid((3, 3, 3), moved))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_what_one_may_not_read_is_not_called_damaged(tmp_path, monkeypatch, name):
    path = put(tmp_path / name)
    refused = PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    def denied(*_args, **_options):
        raise refused

    monkeypatch.setattr(type(path), "open", denied)  # root may read everything
    monkeypatch.setattr(gzip, "open", denied)
    with pytest.raises(BadInput) as caught:
        read_volume(path)
    assert caught.value.found == f"{path}: not readable ({refused})"
    assert caught.value.remedy == "check its permissions"


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ESTALE])
def test_a_failing_disk_is_no_fault_of_the_file_and_names_it(tmp_path, monkeypatch, name, number):
    path = put(tmp_path / name)

    def failing(*_args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(volume, "_voxels", failing)
    with pytest.raises(OSError, match=f"{os.strerror(number)}: '{path}'"):
        read_volume(path)


def test_too_little_memory_is_no_fault_of_the_file(tmp_path, monkeypatch):
    def failing(*_args):
        raise MemoryError("Unable to allocate 9 GiB")

    monkeypatch.setattr(volume, "_voxels", failing)
    with pytest.raises(MemoryError, match="9 GiB"):
        read_volume(put(tmp_path / "a.nii"))
