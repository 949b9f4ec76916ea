"""How each dataset spells its folders and files, and the cohort file that tells `prepare`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import tomli_w
from numpy.typing import NDArray

from pmmsynth.atomic import replacing, replacing_folder, write_json, write_text
from pmmsynth.volume import Grid

COHORTS = "cohorts.toml"
"""What `prepare` reads."""


@dataclass(frozen=True)
class Layout:
    """Names below a dataset's folder; `{case}` stands for the case.

    Attributes:
        kind: The layout `prepare` is told ("brats", "isles", "bids", "pattern").
        case: Case name from the case's number.
        images: File per modality.
        lesion: File of the lesion mask.
        spelling: Further keys of the dataset's table in the cohort file.
        notes: Further files of the dataset, written as JSON.
    """

    kind: str
    case: str
    images: Mapping[str, str]
    lesion: str
    spelling: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def case_name(self, number: int) -> str:
        """Case `number` counts from 1."""
        return self.case.format(number)

    def image(self, root: Path, case: str, modality: str) -> Path:
        return root / self.images[modality].format(case=case)

    def mask(self, root: Path, case: str) -> Path:
        return root / self.lesion.format(case=case)

    def is_complete(self, root: Path, case: str) -> bool:
        """The case's own folder is written last and whole."""
        return (root / case).is_dir()


def _bids_note(name: str, kind: str) -> dict[str, Any]:
    return {"Name": name, "BIDSVersion": "1.9.0", "DatasetType": kind, "GeneratedBy": [{"Name": "pmmsynth simulate"}]}


LAYOUTS: dict[str, Layout] = {
    "TTG": Layout(
        kind="pattern",
        case="P{:04d}",
        images={
            name: f"{{case}}/{{case}}_{spelling}.nii.gz"
            for name, spelling in {
                "T1": "T1",
                "T2": "T2",
                "T1C": "T1CE",
                "FLAIR": "T2FLAIR",
                "DWI": "DWI",
                "ADC": "ADC",
            }.items()
        },
        lesion="{case}/{case}_lesion.nii.gz",
        spelling={
            "image": "{case}/{case}_{modality}.nii.gz",
            "lesion": "{case}/{case}_lesion.nii.gz",
            "lesion_labels": {"1": "lesion"},
        },
    ),
    "TTI": Layout(
        kind="bids",
        case="sub-{:03d}",
        images={
            "T1": "{case}/anat/{case}_T1w.nii.gz",
            "T2": "{case}/anat/{case}_T2w.nii.gz",
            "FLAIR": "{case}/anat/{case}_FLAIR.nii.gz",
            "ADC": "{case}/dwi/{case}_ADC.nii.gz",
        },
        lesion="derivatives/lesions/{case}/anat/{case}_label-lesion_mask.nii.gz",
        notes={
            "dataset_description.json": _bids_note("TTI (simulated)", "raw"),
            "derivatives/lesions/dataset_description.json": _bids_note("TTI lesions (simulated)", "derivative"),
        },
    ),
    "BraTS": Layout(
        kind="brats",
        case="BraTS-SIM-{:05d}-000",
        images={
            name: f"{{case}}/{{case}}-{suffix}.nii.gz"
            for name, suffix in {"T1": "t1n", "T2": "t2w", "T1C": "t1c", "FLAIR": "t2f"}.items()
        },
        lesion="{case}/{case}-seg.nii.gz",
    ),
    "ISLES": Layout(
        kind="isles",
        case="sub-strokecase{:04d}",
        images={
            "FLAIR": "{case}/ses-0001/anat/{case}_ses-0001_FLAIR.nii.gz",
            "DWI": "{case}/ses-0001/dwi/{case}_ses-0001_dwi.nii.gz",
            "ADC": "{case}/ses-0001/dwi/{case}_ses-0001_adc.nii.gz",
        },
        lesion="derivatives/{case}/ses-0001/{case}_ses-0001_msk.nii.gz",
    ),
}
"""Dataset name -> layout."""


@dataclass(frozen=True, eq=False)
class SimulatedCase:
    """All files of one case: per modality the voxels as stored and their grid, and the lesion mask with its grid."""

    images: Mapping[str, tuple[NDArray[np.generic], Grid]]
    lesion: tuple[NDArray[np.uint8], Grid]


def write_case(root: Path, layout: Layout, case: str, made: SimulatedCase) -> None:
    """Write one case, complete or absent: a mask kept apart first, the case's own folder last."""
    files = {layout.image(root, case, name).relative_to(root): value for name, value in made.images.items()}
    mask = layout.mask(root, case).relative_to(root)
    if mask.parts[0] == case:
        files[mask] = made.lesion
    else:
        with replacing(root / mask) as temporary:
            nib.save(_nifti(*made.lesion), temporary)
    with replacing_folder(root / case) as folder:
        for path, value in files.items():
            target = folder / path.relative_to(case)
            target.parent.mkdir(parents=True, exist_ok=True)
            nib.save(_nifti(*value), target)


def _nifti(data: NDArray[np.generic], grid: Grid) -> nib.Nifti1Image:
    """Values as they are, sform and qform both set to the grid."""
    image = nib.Nifti1Image(data, grid.affine)
    image.set_qform(grid.affine, code=1)
    image.set_sform(grid.affine, code=1)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"pmmsynth simulate: not a patient"
    return image


def write_cohorts(out: Path, datasets: list[str], *, overwrite: bool) -> bool:
    """Write `cohorts.toml`, one table per dataset, and each dataset's own notes.

    Returns:
        False if there is one that somebody changed: it is kept unless `overwrite`.
    """
    for name in datasets:
        for place, note in LAYOUTS[name].notes.items():
            write_json(out / name / place, note)
    path = out / COHORTS
    if path.is_file() and not overwrite and path.read_bytes().decode("utf-8", "replace") not in _possible():
        return False
    write_text(path, _cohorts(datasets))
    return True


def _possible() -> set[str]:
    """What this program writes, for any datasets."""
    names = list(LAYOUTS)
    return {_cohorts(list(some)) for count in range(len(names) + 1) for some in combinations(names, count)}


def _cohorts(datasets: list[str]) -> str:
    tables = [
        {"name": name, "root": name, "layout": LAYOUTS[name].kind}
        | dict(LAYOUTS[name].spelling)
        | {"skull_stripped": True, "registered": True}
        for name in datasets
    ]
    return tomli_w.dumps({"dataset": tables})
