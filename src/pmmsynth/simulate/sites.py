"""The four sites: what each scans, with which protocol, on which grid, and how it stores the result.

Modalities, disease, slices and availability follow the paper's datasets; field strengths, times and noise are typical
clinical ones chosen to differ between sites.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pmmsynth.modality import ordered
from pmmsynth.simulate.contrast import Sequence
from pmmsynth.volume import Grid


@dataclass(frozen=True)
class Scan:
    """Where one person's brain is scanned: the middle of the brain in the world (mm) and the grid per modality."""

    centre: NDArray[np.float64]
    grids: Mapping[str, Grid]


@dataclass(frozen=True)
class Site:
    """One dataset's scanner, patients and habits.

    Attributes:
        name: Of the dataset; also selects the folder layout.
        disease: A key of `pathology.PAINTERS`.
        tesla: Field strength, 1.5 or 3.0.
        sequences: Protocol per modality; ADC names the diffusion sequence it is measured with.
        reference: The modality on whose grid the lesion is drawn.
        place: Draws the grids of one case.
        scale: Mean of the stored images in the brain.
        snr: Mean signal over the noise's standard deviation.
        bias: Standard deviation of the coil's log sensitivity.
        adc_unit: One stored unit of ADC in mm2/s.
        completeness: Chance that a case has a given modality (at least two always).
        lesion_labels: Lesion tissue to label in the mask; others are 1.
    """

    name: str
    disease: str
    tesla: float
    sequences: Mapping[str, Sequence]
    reference: str
    place: Callable[["Site", np.random.Generator], Scan]
    scale: float
    snr: float
    bias: float
    adc_unit: float
    completeness: float = 1.0
    lesion_labels: Mapping[str, int] = field(default_factory=dict)

    def available(self, rng: np.random.Generator) -> tuple[str, ...]:
        """The modalities of one case."""
        names = ordered(self.sequences)
        kept: list[str] = []
        while len(kept) < 2:
            kept = [name for name in names if rng.random() < self.completeness]
        return tuple(kept)


def axial(pixels: int, inplane_mm: float, slices: int, spacing_mm: float, tilt: float = 0.0, yaw: float = 0.0) -> Grid:
    """Axial slices around the world's origin.

    Args:
        pixels: Rows and columns.
        inplane_mm: Pixel size.
        slices: Number of slices.
        spacing_mm: From slice to slice; the slices touch.
        tilt: Turn about the left-right axis, degrees.
        yaw: Turn about the long axis, degrees.
    """
    a, b = np.radians([tilt, yaw])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_z @ np.diag([-inplane_mm, -inplane_mm, spacing_mm])
    shape = (pixels, pixels, slices)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def _thick_oblique(site: Site, rng: np.random.Generator) -> Scan:
    grid = axial(256, 0.9, 24, rng.choice([6.0, 6.5]), tilt=rng.normal(-8, 4), yaw=rng.normal(0, 2))
    return Scan(rng.normal(0, 3, 3), dict.fromkeys(site.sequences, grid))


def _thick(site: Site, rng: np.random.Generator) -> Scan:
    grid = axial(224, 1.0, 24, rng.choice([6.0, 6.6]))
    return Scan(rng.normal(0, 3, 3), dict.fromkeys(site.sequences, grid))


def _brats(site: Site, rng: np.random.Generator) -> Scan:
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[1, 3] = 239.0
    grid = Grid((240, 240, 155), affine)
    return Scan(np.array([-119.5, 119.5, 77.0]) + rng.normal(0, 1, 3), dict.fromkeys(site.sequences, grid))


def _isles(site: Site, rng: np.random.Generator) -> Scan:
    slices = int(rng.integers(25, 74))
    diffusion = axial(112, 2.0, slices, 148 / slices)
    flair = axial(256, 0.9, int(rng.integers(28, 40)), 4.5, tilt=rng.normal(-5, 2))
    return Scan(rng.normal(0, 3, 3), {"DWI": diffusion, "ADC": diffusion, "FLAIR": flair})


_TTG_DIFFUSION = Sequence(tr=4.5, te=0.085, b=1000)
_ISLES_DIFFUSION = Sequence(tr=5.5, te=0.075, b=1000)

SITES: dict[str, Site] = {
    site.name: site
    for site in (
        Site(
            "TTG",
            "glioma",
            3.0,
            {
                "T1": Sequence(tr=0.50, te=0.009),
                "T2": Sequence(tr=4.5, te=0.100),
                "T1C": Sequence(tr=0.50, te=0.009, gadolinium=True),
                "FLAIR": Sequence(tr=8.5, te=0.115, ti=2.45),
                "DWI": _TTG_DIFFUSION,
                "ADC": _TTG_DIFFUSION,
            },
            reference="T1",
            place=_thick_oblique,
            scale=420,
            snr=34,
            bias=0.07,
            adc_unit=1e-6,
        ),
        Site(
            "TTI",
            "inflammatory",
            1.5,
            {
                "T1": Sequence(tr=0.50, te=0.012),
                "T2": Sequence(tr=5.2, te=0.110),
                "FLAIR": Sequence(tr=9.0, te=0.125, ti=2.50),
                "ADC": Sequence(tr=5.0, te=0.095, b=800),
            },
            reference="T1",
            place=_thick,
            scale=900,
            snr=28,
            bias=0.10,
            adc_unit=1.0,
            completeness=0.75,
        ),
        Site(
            "BraTS",
            "glioma",
            3.0,
            {
                "T1": Sequence(tr=2.0, te=0.004, ti=1.10),
                "T2": Sequence(tr=3.6, te=0.095),
                "T1C": Sequence(tr=1.9, te=0.004, ti=1.05, gadolinium=True),
                "FLAIR": Sequence(tr=7.5, te=0.100, ti=2.25),
            },
            reference="T1",
            place=_brats,
            scale=1500,
            snr=30,
            bias=0.05,
            adc_unit=1.0,
            lesion_labels={"core": 1, "oedema": 2, "rim": 3},
        ),
        Site(
            "ISLES",
            "infarct",
            1.5,
            {"FLAIR": Sequence(tr=9.5, te=0.110, ti=2.60), "DWI": _ISLES_DIFFUSION, "ADC": _ISLES_DIFFUSION},
            reference="DWI",
            place=_isles,
            scale=180,
            snr=22,
            bias=0.08,
            adc_unit=1e-3,
        ),
    )
}
"""Dataset name -> site, in the paper's order."""
