"""Headers, bytes and names at random: a volume, or one line that says what is wrong; no crash, warning or giant."""

import gzip
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pmmsynth.errors import BadInput, PmmsynthError
from pmmsynth.intake import read_cohorts
from pmmsynth.manifest import Manifest
from pmmsynth.volume import read_volume, write_volume
from sound_files import little_memory

FIXED = {"derandomize": True, "database": None, "deadline": None}
"""The same examples on every run."""
Result = TypeVar("Result")


def sound(kind: type[nib.Nifti1Image], values: str, order: str = "<", extended: bool = False) -> bytes:
    """A small file that is as it should be."""
    data = np.random.default_rng(0).integers(0, 99, (5, 6, 4)).astype(values)
    image = kind(data, np.diag([-2.0, 2, 5, 1]), kind.header_class(endianness=order))
    image.header.set_data_dtype(values)
    image.header.set_qform(image.affine, 1)
    if extended:
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Jane Doe"))
    return image.to_bytes()


SOUND = [
    sound(nib.Nifti1Image, "f4"),
    sound(nib.Nifti1Image, "i2", ">"),
    sound(nib.Nifti1Image, "u1", extended=True),
    sound(nib.Nifti2Image, "f8"),
    sound(nib.Nifti2Image, "i2", ">"),
]
EXTREMES = [
    *(0, 1, -1, 2, 3, 4, 5, 7, 8, 16, 32, 64, 77, 128, 512, 768, 1024, 1280, 1536, 2048, 2304),
    *(348, 352, 540, 544, 2**15 - 1, -(2**15), 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)),
    *(np.nan, np.inf, -np.inf, 1e-45, 1e-38, 1e-20, 0.5, -0.5, 1.5, 99.0, 1e4, 1e5, 1e20, 1e36, 3.4e38, -3.4e38, 1e300),
]
Field = tuple[float, float, float]
"""Which field and which of its entries, as shares of all, and the value."""


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A sound file with other fields, other bytes, an end that is missing or too many bytes."""
    content = draw(st.sampled_from(SOUND))
    share = st.floats(0, 1, exclude_max=True)
    for field in draw(st.lists(st.tuples(share, share, st.sampled_from(EXTREMES)), max_size=4)):
        content = with_field(content, field)
    changed = bytearray(content)
    for place, byte in draw(st.lists(st.tuples(share, st.integers(0, 255)), max_size=3)):
        changed[int(place * len(changed))] = byte
    cut = draw(st.just(len(changed)) | st.integers(0, len(changed)))
    return bytes(changed[:cut]) + draw(st.just(b"") | st.binary(max_size=9))


def with_field(content: bytes, field: Field) -> bytes:
    """One entry of one field set, as far as its type allows."""
    kind = nib.Nifti2Header if nib.Nifti2Header.may_contain_header(content) else nib.Nifti1Header
    header = kind(content[: kind.sizeof_hdr], check=False).structarr.copy()
    numbers = [name for name in header.dtype.names if header[name].dtype.kind in "iuf"]
    name = numbers[int(field[0] * len(numbers))]
    entries = np.atleast_1d(header[name]).copy()
    with np.errstate(all="ignore"):
        entries[int(field[1] * len(entries))] = np.array(field[2]).astype(entries.dtype)
    header[name] = entries.reshape(header[name].shape)
    return header.tobytes() + content[kind.sizeof_hdr :]


@st.composite
def packed(draw: st.DrawFn) -> tuple[str, bytes]:
    """With a name; in gzip that may be damaged itself."""
    content = draw(files())
    if draw(st.booleans()):
        return "a.nii", content
    zipped = bytearray(gzip.compress(content, 1, mtime=0))
    for place, byte in draw(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=1)):
        zipped[int(place * len(zipped))] = byte
    return "a.nii.gz", bytes(zipped)


def refusal_or(read: Callable[[], Result]) -> Result | PmmsynthError:
    """What is read, or the refusal, of one line."""
    try:
        return read()
    except PmmsynthError as error:
        refusal = error
    assert len(str(refusal).splitlines()) == 1
    return refusal


def check_volume(folder: Path, file: tuple[str, bytes], mask: bool) -> bool:
    """Whether it is a volume."""
    (folder / file[0]).write_bytes(file[1])
    with little_memory():
        volume = refusal_or(lambda: read_volume(folder / file[0], constant_ok=mask))
    if isinstance(volume, PmmsynthError):
        assert isinstance(volume, BadInput)
        assert file[0] in volume.found
        assert not re.search("memory|allocate", volume.found, re.IGNORECASE)
        return False
    assert volume.data.ndim == 3
    assert volume.data.dtype == np.float32
    assert np.isfinite(volume.data).all()
    np.testing.assert_array_equal(volume.affine[3], [0, 0, 0, 1])
    assert np.abs(np.linalg.det(volume.affine)) > 1e-10
    write_volume(folder / "again.nii.gz", volume.data, volume, "again")
    again = read_volume(folder / "again.nii.gz", constant_ok=mask)
    np.testing.assert_array_equal(again.data, volume.data)
    np.testing.assert_allclose(again.affine, volume.affine, rtol=1e-6, atol=1e-6)
    for code in ("sform_code", "qform_code"):
        assert again.header[code] == volume.header[code]
    return True


@settings(max_examples=400, **FIXED)
@given(packed(), st.booleans())
def test_a_file_is_a_volume_or_refused_in_a_line(tmp_path_factory, file, mask):
    with tempfile.TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as folder:
        check_volume(Path(folder), file, mask)


@pytest.mark.parametrize("content", SOUND, ids=range(len(SOUND)))
def test_the_files_it_begins_with_are_sound(tmp_path, content):
    assert check_volume(tmp_path, ("a.nii", content), False)
    assert check_volume(tmp_path, ("a.nii.gz", gzip.compress(content)), False)


WORDS = [
    *("sub-", "ses-", "sub-1", "ses-2", "t1", "T1w", "t1n", "t2", "flair", "dwi", "adc", "seg", "mask", "msk", "pet"),
    *(
        "_",
        "-",
        ".",
        "..",
        " ",
        "\n",
        "label-lesion",
        "anat",
        "derivatives",
        "desc-synth",
        "BraTS2021_",
        "{case}",
        "ce-",
    ),
]
LAYOUTS = {
    "brats": "",
    "isles": "",
    "bids": "",
    "pattern": 'image = "{case}/{modality}.nii.gz"\nlesion = "{case}/mask.nii.gz"',
}
name = st.lists(st.sampled_from(WORDS) | st.text(max_size=3), min_size=1, max_size=5).map(
    lambda words: "".join(words).replace("/", "").replace("\0", "")
)
places = st.tuples(st.lists(name, max_size=2), name, st.sampled_from([".nii", ".nii.gz", ".NII.GZ", ".nii.json"]))


@settings(max_examples=120, **FIXED)
@given(st.lists(places, min_size=1, max_size=5), st.sampled_from(sorted(LAYOUTS)))
def test_names_make_cases_or_are_refused_in_a_line(tmp_path_factory, files, layout):
    with tempfile.TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as place:
        root = Path(place)
        (root / "in").mkdir()
        for folders, stem, suffix in files:
            path = root.joinpath("in", *(f for f in folders if f not in ("", ".", "..")), stem + suffix)
            if not any(p.is_file() for p in path.parents):
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    path.touch()
        (root / "cohorts.toml").write_text(
            f'[[dataset]]\nname = "A"\nroot = "in"\nlayout = "{layout}"\n{LAYOUTS[layout]}'
        )
        manifest = refusal_or(lambda: read_cohorts(root / "cohorts.toml")[1])
        if isinstance(manifest, PmmsynthError):
            assert manifest.exit_code in (2, 4)
            return
        assert all(path.is_file() for case in manifest.cases for path in case.images.values())
        manifest.write(root / "manifest.jsonl")
        assert Manifest.read(root / "manifest.jsonl") == manifest
