"""DICOM files of a known volume: classic or enhanced, as a scanner would write them."""

from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CLASSIC, ENHANCED = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
SPACING, THICKNESS = (2.0, 1.5), 4.0
ORIGIN = np.array([-40.0, -30.0, -20.0])
TURN = np.array([[1, 0, 0, 0, 0.8, 0.6]], float).ravel()
"""Row and column direction (LPS): an oblique axial plane."""
SHAPE = (12, 40, 32)
"""Slices, rows, columns."""


def voxels(shape=SHAPE, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 1000, shape, dtype=np.uint16)


def affine() -> np.ndarray:
    """RAS+, of (column, row, slice): what a reader must find."""
    matrix = np.eye(4)
    across, down = TURN[:3], TURN[3:]
    matrix[:3, 0], matrix[:3, 1] = across * SPACING[1], down * SPACING[0]
    matrix[:3, 2], matrix[:3, 3] = np.cross(across, down) * THICKNESS, ORIGIN
    return np.diag([-1.0, -1, 1, 1]) @ matrix


def place(k: int) -> list[float]:
    return list(ORIGIN + k * THICKNESS * np.cross(TURN[:3], TURN[3:]))


def header(sop: str, patient: str, study: str, series: str, number: int, description: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = sop, meta.MediaStorageSOPInstanceUID
    image.PatientID, image.PatientName, image.PatientBirthDate = patient, f"Name^{patient}", "19700101"
    image.StudyInstanceUID, image.SeriesInstanceUID, image.SeriesNumber = study, series, number
    image.Modality, image.Manufacturer, image.SeriesDescription = "MR", "SIEMENS", description
    image.StudyDate = image.SeriesDate = image.AcquisitionDate = "20200101"
    image.StudyTime = image.AcquisitionTime = "101010"
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    return image


def write_classic(
    folder: Path, volume: np.ndarray, description: str, *, number=1, patient="P1", study="1.2.3", order=None, **tags
) -> list[Path]:
    """One file a slice, named by a number that says nothing when `order` shuffles them; `tags` go into every file."""
    folder.mkdir(parents=True, exist_ok=True)
    series = f"{study}.{number}"
    paths = []
    for name, k in enumerate(range(len(volume)) if order is None else order):
        image = header(CLASSIC, patient, study, series, number, description)
        image.ImageType = ["ORIGINAL", "PRIMARY", "M"]
        image.InstanceNumber, image.SliceThickness, image.SpacingBetweenSlices = int(k) + 1, THICKNESS, THICKNESS
        image.ImagePositionPatient, image.ImageOrientationPatient = place(k), list(TURN)
        image.PixelSpacing, (image.Rows, image.Columns) = list(SPACING), volume.shape[1:3]
        image.EchoTime, image.RepetitionTime = 10, 500
        for key, value in tags.items():
            setattr(image, key, value)
        image.PixelData = volume[k].tobytes()
        paths.append(folder / f"{number}-{name:04d}.dcm")
        image.save_as(paths[-1])
    return paths


def write_diffusion(folder: Path, volume: np.ndarray, weighted: list[tuple[int, float]], *, number: int) -> None:
    """One raw series: for each b-value the volume times what it leaves."""
    for part, (b, share) in enumerate(weighted):
        times = {"EchoTime": 80, "RepetitionTime": 4000, "AcquisitionNumber": part + 1, "DiffusionBValue": float(b)}
        left = (volume * share).round().astype(np.uint16)
        paths = write_classic(folder / str(part), left, "ep2d_diff", number=number, **times)
        for path in paths:
            image = dcmread(path)
            image.InstanceNumber += part * len(volume)
            image.save_as(path)


def write_enhanced(path: Path, volume: np.ndarray, description: str, *, patient="P1", study="1.2.3", number=1) -> Path:
    """All slices in one file."""
    image = header(ENHANCED, patient, study, f"{study}.{number}", number, description)
    image.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    image.NumberOfFrames, (image.Rows, image.Columns) = len(volume), volume.shape[1:]
    image.SharedFunctionalGroupsSequence = Sequence(
        [
            group(
                PlaneOrientationSequence=group(ImageOrientationPatient=list(TURN)),
                PixelMeasuresSequence=group(
                    PixelSpacing=list(SPACING), SliceThickness=THICKNESS, SpacingBetweenSlices=THICKNESS
                ),
                MRTimingAndRelatedParametersSequence=group(RepetitionTime=9000.0),
                MREchoSequence=group(EffectiveEchoTime=100.0),
                MRModifierSequence=group(InversionTimes=[2500.0]),
            )
        ]
    )
    frames = []
    for k in range(len(volume)):
        content = group(StackID="1", InStackPositionNumber=k + 1, DimensionIndexValues=[1, k + 1])
        frames.append(group(PlanePositionSequence=group(ImagePositionPatient=place(k)), FrameContentSequence=content))
    image.PerFrameFunctionalGroupsSequence = Sequence(frames)
    image.PixelData = volume.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save_as(path)
    return path


def group(**values) -> Dataset:
    """A functional group; a group within is a sequence of one."""
    item = Dataset()
    for key, value in values.items():
        setattr(item, key, Sequence([value]) if isinstance(value, Dataset) else value)
    return item
