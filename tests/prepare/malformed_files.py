"""Cases with one malformed file each, made from sound ones, and the words each is refused with."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from prepare_phantoms import SMALL, SMALL_AFFINE, beside, phantom, save

BRAIN = phantom(SMALL, SMALL_AFFINE).data
VOXELS = BRAIN.size
HEADER = 352
"""Bytes before the voxels of what `save` writes."""

Spoil = Callable[[Path], object]
"""Changes one file of a case folder with t1, t2 and seg, all .nii.gz."""


def packed(change: Callable[[bytes], bytes], name: str = "t2.nii.gz") -> Spoil:
    """The file as it lies on the disk."""
    return lambda folder: _put(folder / name, change((folder / name).read_bytes()))


def plain(change: Callable[[bytes], bytes], name: str = "t2.nii.gz") -> Spoil:
    """What is in the gzip file."""
    return packed(lambda content: gzip.compress(change(gzip.decompress(content)), mtime=0), name)


def header(*, order: str = "<", **fields: object) -> Spoil:
    """Other fields of the header, of those with many entries some by position, whatever sense they make."""

    def change(content: bytes) -> bytes:
        start = nib.Nifti1Header(content[:348], check=False).as_byteswapped(order).structarr.copy()
        for name, value in fields.items():
            for place, entry in value.items() if isinstance(value, dict) else [((), value)]:
                start[name][place] = entry
        return start.tobytes() + content[348:]

    return plain(change)


def voxels(change: Callable[[NDArray[np.float32]], NDArray[np.generic]], name: str = "t2.nii.gz") -> Spoil:
    """Other values in a file that is sound."""
    return lambda folder: save(folder / name, change(BRAIN.copy()))


def placed(name: str = "t2.nii.gz", **entries: float) -> Spoil:
    """Other entries of the affine, by row and column: placed(r03=500)."""
    affine = SMALL_AFFINE.copy()
    for place, value in entries.items():
        affine[int(place[1]), int(place[2])] = value
    return lambda folder: save(folder / name, BRAIN, affine)


def instead(make: Callable[[Path], object], name: str = "t2.nii.gz") -> Spoil:
    """Something else in the place of the file."""

    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return spoil


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _with(value: float, count: int = 1) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    def change(data: NDArray[np.float32]) -> NDArray[np.float32]:
        data.reshape(-1)[VOXELS // 2 : VOXELS // 2 + count] = value
        return data

    return change


def _z_scored(data: NDArray[np.float32]) -> NDArray[np.float32]:
    brain = data > 0
    return np.where(brain, (data - data[brain].mean()) / data[brain].std(), 0).astype(np.float32)


def _typed(kind: object) -> Spoil:
    return lambda folder: nib.save(nib.Nifti1Image(np.ones(SMALL, kind), SMALL_AFFINE), folder / "t2.nii.gz")


def _image(header: nib.Nifti1Header) -> nib.Nifti1Image:
    header.set_sform(SMALL_AFFINE, 1)
    header.set_data_dtype(np.float32)
    return (nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image)(BRAIN, None, header)


def _long(folder: Path) -> None:
    """Thirty thousand slices of 7 x 7, and a reference, so that each would be prepared at full size."""
    data = np.zeros((7, 7, 30_000))
    data[2:5, 2:5] = 1 + np.indices((3, 3, 30_000)).sum(0) % 7
    save(folder / "t1.nii.gz", data, np.diag([15.0, 15, 0.005, 1]))


def _doubled(content: bytes) -> bytes:
    """A second volume that the header does not speak of."""
    return content + content[HEADER:]


def _in_two(content: bytes) -> bytes:
    """The same, as two files of gzip end to end."""
    return b"".join(gzip.compress(part) for part in (gzip.decompress(content)[:999], gzip.decompress(content)[999:]))


FAR = SMALL_AFFINE.copy()
FAR[1, 3] += 400
OTHER = phantom(SMALL, SMALL_AFFINE, centre=beside(0, 50, 0)).data
HTML = b"<!DOCTYPE html><html><head><title>404 Not Found</title></head></html>" * 20
DICOM = bytes(128) + b"DICM" + bytes(2000)

BYTES: dict[str, tuple[Spoil, str]] = {
    "empty": (packed(lambda b: b""), r"not readable \(ends after 0 of 348 bytes of header\)"),
    "cut-in-gzip-header": (packed(lambda b: b[:6]), r"not readable \(Compressed file ended"),
    "cut-in-header": (packed(lambda b: b[:60]), r"not readable \(Compressed file ended"),
    "cut-in-voxels": (packed(lambda b: b[: len(b) // 2]), r"not readable \(Compressed file ended"),
    "cut-last-byte": (packed(lambda b: b[:-1]), r"not readable \(Compressed file ended"),
    "cut-before-gzip": (plain(lambda b: b[:-1]), rf"ends after {HEADER + 4 * VOXELS - 1} of {HEADER + 4 * VOXELS} by"),
    "cut-before-gzip-in-header": (plain(lambda b: b[:200]), "ends after 200 of 348 bytes of header"),
    "header-only": (plain(lambda b: b[:HEADER]), rf"ends after {HEADER} of {HEADER + 4 * VOXELS} bytes"),
    "wrong-checksum": (packed(lambda b: b[:-8] + bytes(4) + b[-4:]), r"not readable \(CRC check failed"),
    "wrong-length": (packed(lambda b: b[:-4] + bytes(4)), r"not readable \(Incorrect length of data"),
    "flipped-bit": (packed(lambda b: b[:3000] + bytes([b[3000] ^ 1]) + b[3001:]), r"not readable \("),
    "garbage-after-gzip": (packed(lambda b: b + b"garbage"), r"not readable \(Not a gzipped file \(b'ga'\)"),
    "two-images-in-one": (packed(lambda b: b + b), "goes on after its"),
    "twice-the-voxels": (plain(_doubled), "goes on after its"),
    "bomb-of-zeros": (plain(lambda b: b + bytes(2**26)), "goes on after its"),
    "bomb-of-ones": (plain(lambda b: b + b"\1" * 2**26), "goes on after its"),
    "not-gzip": (packed(gzip.decompress), r"not readable \(Not a gzipped file \(b'\\\\\\x01'\)"),
    "gzip-in-gzip": (packed(gzip.compress), "does not begin with the header of a single NIfTI file"),
    "html": (packed(lambda b: HTML), r"not readable \(Not a gzipped file \(b'<!'\)"),
    "dicom": (packed(lambda b: DICOM), r"not readable \(Not a gzipped file"),
    "zipped-dicom": (plain(lambda b: DICOM), "does not begin with the header"),
    "noise": (plain(lambda b: np.random.default_rng(0).bytes(len(b))), "does not begin with the header"),
}
HEADERS: dict[str, tuple[Spoil, str]] = {
    "magic-of-nothing": (header(magic=b"abc"), "does not begin with the header"),
    "magic-of-a-pair": (header(magic=b"ni1"), "does not begin with the header of a single NIfTI file"),
    "magic-of-nifti-2": (header(magic=b"n+2"), "does not begin with the header"),
    "sizeof-0": (header(sizeof_hdr=0), "does not begin with the header"),
    "sizeof-of-nifti-2": (header(sizeof_hdr=540), "does not begin with the header"),
    "order-of-size-other-than-of-rest": (header(sizeof_hdr=0x5C010000), "says it has 768 axes"),
    "order-of-header-other-than-of-voxels": (header(order=">"), r"NaN or infinite voxels|values up to"),
    "no-axes": (header(dim={0: 0}), "says it has 0 axes"),
    "eight-axes": (header(dim={0: 8}), "says it has 8 axes"),
    "negative-axes": (header(dim={0: -3}), "says it has -3 axes"),
    "two-axes": (header(dim={0: 2}), r"2-D, shape \(40, 44\)"),
    "four-axes": (header(dim={0: 4, 3: 6, 4: 2}), r"4-D, shape \(40, 44, 6, 2\)"),
    "five-axes": (header(dim={0: 5, 3: 6, 4: 1, 5: 2}), r"5-D, shape \(40, 44, 6, 1, 2\)"),
    "width-0": (header(dim={1: 0}), r"no voxels, shape \(0, 44, 12\)"),
    "negative-width": (header(dim={1: -40}), r"no voxels, shape \(-40, 44, 12\)"),
    "two-negative-dims": (header(dim={1: -40, 2: -44}), r"no voxels, shape \(-40, -44, 12\)"),
    "freesurfer-width": (header(dim={1: -1, 2: 1, 3: 1}, glmin=2**31 - 1), "says it has 2147483647 voxels"),
    "dims-without-end": (header(dim={1: 32767, 2: 32767, 3: 32767}), "says it has 35181150961663 voxels"),
    "two-gigabytes": (header(dim={1: 800, 2: 800, 3: 800}), r"ends after \d+ of 2048000352 bytes"),
    "one-slice-more": (header(dim={3: 13}), r"ends after \d+ of \d+ bytes"),
    "one-slice-less": (header(dim={3: 11}), "goes on after its"),
    "type-0": (header(datatype=0), "data code 0 not supported"),
    "type-unknown": (header(datatype=77), "data code 77 not recognized"),
    "type-wider": (header(datatype=64, bitpix=64), r"ends after \d+ of \d+ bytes"),
    "type-narrower": (header(datatype=4, bitpix=16), "goes on after its"),
    "complex": (_typed(np.complex64), "voxels of type complex64"),
    "colour": (_typed([("R", "u1"), ("G", "u1"), ("B", "u1")]), "voxels of type"),
    "offset-negative": (header(vox_offset=-352), "says its voxels begin at byte -352"),
    "offset-0": (header(vox_offset=0), "says its voxels begin at byte 0"),
    "offset-nan": (header(vox_offset=np.nan), "says its voxels begin at byte nan"),
    "offset-without-end": (header(vox_offset=1e30), r"says its voxels begin at byte 1e\+30"),
    "offset-in-voxels": (header(vox_offset=4000), r"ends after \d+ of \d+ bytes"),
    "synthetic": (header(descrip=b"SYNTHETIC T2 by pmmsynth"), r"t2\.nii\.gz: a synthetic image, as its header says"),
    "slope-infinite": (header(scl_slope=np.inf), "says its values are scaled by inf"),
    "intercept-nan": (header(scl_slope=2, scl_inter=np.nan), "Valid slope but invalid intercept nan"),
    "slope-beyond-float": (header(scl_slope=3e38), rf"{np.count_nonzero(BRAIN)} NaN or infinite voxels"),
    "slope-to-the-edge": (header(scl_slope=1e36), r"values up to 1\.\d+e\+38"),
    "slope-next-to-0": (header(scl_slope=1e-44), r"values up to \d\.\d*e-42"),
    "sform-of-no-kind": (header(sform_code=77), "says sform_code 77, which means nothing"),
    "qform-of-no-kind": (header(sform_code=0, qform_code=-1), "says qform_code -1, which means nothing"),
    "pixdim-0": (header(sform_code=0, pixdim={2: 0}), r"says its voxels measure \[\d\.0, 0\.0, \d\.0\] mm"),
    "pixdim-negative": (header(sform_code=0, pixdim={2: -1}), r"says its voxels measure \[\d\.0, -1\.0, \d\.0\] mm"),
    "pixdim-nan": (header(sform_code=0, pixdim={2: np.nan}), r"says its voxels measure \[\d\.0, nan, \d\.0\] mm"),
    "pixdim-huge": (header(sform_code=0, pixdim={2: 1e20}), r"voxel size \[\d\.0, 1.*, \d\.0\] mm"),
    "pixdim-infinite": (header(sform_code=0, qform_code=1, pixdim={2: np.inf}), r"voxel size .* mm; expected"),
    "quaternion-too-long": (header(sform_code=0, qform_code=1, quatern_b=1.5), r"w2 should be positive, but is -1\.25"),
    "quaternion-nan": (header(sform_code=0, qform_code=1, quatern_b=np.nan), r"voxel size \[nan, nan, nan\] mm"),
}
VALUES: dict[str, tuple[Spoil, str]] = {
    "one-nan": (voxels(_with(np.nan)), ": 1 NaN or infinite voxels"),
    "all-nan": (voxels(lambda data: data * np.nan), rf": {VOXELS} NaN or infinite voxels"),
    "infinite": (voxels(_with(-np.inf, 3)), ": 3 NaN or infinite voxels"),
    "constant": (voxels(lambda data: np.full(SMALL, 3.0)), "every voxel is 3; expected an image"),
    "zeros": (voxels(lambda data: np.zeros(SMALL)), "every voxel is 0; expected an image"),
    "negative": (voxels(lambda data: -data - 1), r"t2\.nii\.gz: 100% of the brain below 0, normalized before\?"),
    "negative-reference": (voxels(lambda data: -data - 1, "t1.nii.gz"), r"t1\.nii\.gz: next to empty"),
    "z-scored-reference": (
        voxels(_z_scored, "t1.nii.gz"),
        r"t1\.nii\.gz: \d\d% of the brain below 0, normalized before\?",
    ),
    "z-scored": (voxels(_z_scored), r"t2\.nii\.gz: \d\d% of the brain below 0, normalized before\?"),
    "left-or-right": (
        header(sform_code=1, qform_code=1, pixdim={0: -1.0}),
        "says by its sform that left is where its qform says right is",
    ),
    "one-voxel": (voxels(lambda data: data[:1, :1, :1] + 1), "every voxel is 1"),
    "one-bright-voxel": (voxels(lambda data: _with(1)(data * 0), "t1.nii.gz"), "next to empty"),
    "next-to-infinite": (voxels(_with(3e38)), r"values up to 3e\+38"),
    "next-to-nothing": (voxels(lambda data: data * np.float32(1e-40)), r"values up to 1\.\d+e-38"),
    "without-background": (voxels(lambda data: data + 1, "t1.nii.gz"), "no background"),
    "other-patient": (voxels(lambda data: OTHER), "do not look like one patient"),
    "thirty-thousand-slices": (_long, r"t1\.nii\.gz: 30000 slices; expected at most 2048"),
}
GEOMETRY: dict[str, tuple[Spoil, str]] = {
    "zero-column": (placed(r00=0, r10=0, r20=0), r"voxel size \[0\.0, 3\.0, 6\.0\] mm"),
    "equal-columns": (placed(r01=-3, r11=0), "sheared affine"),
    "sheared": (placed(r01=1.2), r"sheared affine \(axes off a right angle by 0\.37"),
    "sform-nan": (placed(r22=np.nan), r"voxel size \[3\.0, 3\.0, nan\] mm"),
    "origin-nan": (placed(r03=np.nan), r"first voxel at \[nan, .* mm"),
    "origin-infinite": (placed(r03=-np.inf), r"first voxel at \[-inf, .* mm"),
    "origin-far": (placed(r03=1e30), r"first voxel at .* mm; expected within 10000 mm"),
    "voxels-of-meters": (placed(r22=900), r"voxel size \[3\.0, 3\.0, 900\.0\] mm"),
    "no-overlap": (placed(r13=SMALL_AFFINE[1, 3] + 400), "no overlap between the two"),
}
PLACES: dict[str, tuple[Spoil, str]] = {
    "folder": (instead(Path.mkdir), r"t2\.nii\.gz: a folder, pipe or device; expected a NIfTI volume"),
    "pipe": (instead(os.mkfifo), r"t2\.nii\.gz: a folder, pipe or device"),
    "device": (instead(lambda path: path.symlink_to("/dev/zero")), r"t2\.nii\.gz: a folder, pipe or device"),
    "broken-link": (instead(lambda path: path.symlink_to("nowhere.nii.gz")), r"no file at .*t2\.nii\.gz"),
    "link-to-itself": (instead(lambda path: path.symlink_to(path.name)), r"no file at .*t2\.nii\.gz"),
    "link-to-folder": (instead(lambda path: path.symlink_to(path.parent)), r"a folder, pipe or device"),
}
LESIONS: dict[str, tuple[Spoil, str]] = {
    "lesion-cut": (packed(lambda b: b[:100], "seg.nii.gz"), r"seg\.nii\.gz: not readable"),
    "lesion-nan": (voxels(_with(np.nan), "seg.nii.gz"), r"seg\.nii\.gz: 1 NaN"),
    "lesion-everywhere": (voxels(lambda data: np.ones(SMALL), "seg.nii.gz"), r"seg\.nii\.gz: every voxel is 1"),
    "lesion-elsewhere": (lambda folder: save(folder / "seg.nii.gz", BRAIN, FAR), r"nothing of it lies in .*t1"),
    "lesion-a-pipe": (instead(os.mkfifo, "seg.nii.gz"), r"seg\.nii\.gz: a folder, pipe or device"),
}
BRAINS: dict[str, tuple[Spoil, str]] = {
    "brain-cut": (packed(lambda b: b[:100], "brain.nii.gz"), r"brain\.nii\.gz: not readable"),
    "brain-empty": (voxels(lambda data: data * 0, "brain.nii.gz"), r"brain\.nii\.gz: every voxel is 0"),
    "brain-everywhere": (voxels(lambda data: np.ones(SMALL), "brain.nii.gz"), r"brain\.nii\.gz: every voxel is 1"),
    "brain-negative": (voxels(lambda data: -data, "brain.nii.gz"), r"nothing of it lies in .*t1"),
    "brain-elsewhere": (lambda folder: save(folder / "brain.nii.gz", BRAIN, FAR), r"nothing of it lies in"),
}
SOUND: dict[str, Spoil] = {
    "two-gzip-members": packed(_in_two),
    "padded-gzip": packed(lambda b: b + bytes(512)),
    "padded-voxels": plain(lambda b: b + bytes(512)),
    "big-endian": lambda folder: nib.save(_image(nib.Nifti1Header(endianness="big")), folder / "t2.nii.gz"),
    "nifti-2": lambda folder: nib.save(_image(nib.Nifti2Header()), folder / "t2.nii.gz"),
    "bitpix-0": header(bitpix=0),
    "slope-0": header(scl_slope=0, scl_inter=5),
    "slope-nan": header(scl_slope=np.nan, scl_inter=np.nan),
    "pixdim-of-no-use": header(pixdim={0: 0, 1: np.nan, 2: 0, 3: -1}),
    "quaternion-of-no-use": header(qform_code=1, quatern_b=np.nan),
    "axes-of-1": header(dim={0: 7, 4: 1, 5: 1, 6: 1, 7: 1}),
    "extension-that-is-none": plain(lambda b: b[:348] + b"\1\0\0\0" + b[352:]),
    "unit-of-no-kind": header(xyzt_units=255, intent_code=-1),
}
"""What says odd things that decide nothing: the values are what they were."""
MALFORMED = BYTES | HEADERS | VALUES | GEOMETRY | PLACES | LESIONS
"""By the name of the case."""
