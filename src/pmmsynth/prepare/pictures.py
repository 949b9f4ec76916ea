"""Small pictures a person judges a case by: slices of every sequence, and registered ones before and after."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import replace
from io import BytesIO
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from scipy import ndimage

from pmmsynth.prepare.intensity import to_unit
from pmmsynth.prepare.resample import resample
from pmmsynth.prepare.volumes import Prepared
from pmmsynth.store import Frozen
from pmmsynth.volume import Grid, Volume

SHARES = (0.2, 0.5, 0.8)
"""Of the brain's volume below the low, middle and high slice."""
BRIGHTEST = 0.5
"""Shown white: twice the mean of the brain."""
QUALITY = 85
PLANE_MM = 1.0
"""Pixels of the planes before and after registration, whatever the store's."""
MARGIN_MM, HEAD_MM = 5.0, 20.0
"""Shown around the brain, and around it where a head is."""
LINE_MM = 1.0
"""About the width of an outline."""
BRAIN, LESION = (70, 200, 255), (255, 120, 40)

Base64 = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/=]+$")]


class Pictures(Frozen):
    """Pictures in base64, radiological: the patient's left on the right; nose, or in coronal planes vertex, up.

    Attributes:
        slices: Per modality: low, middle and high axial slice side by side, as in the store; JPEG.
        outline: Of brain and lesion, to be laid over them; PNG.
        before: Per registered modality: an axial and a coronal plane of the file where its header puts it; JPEG.
        after: The same where it was moved to.
        head_outline: Of the reference's brain in these planes; PNG. None if nothing was registered.
    """

    slices: dict[str, Base64]
    outline: Base64
    before: dict[str, Base64] = Field(default_factory=dict)
    after: dict[str, Base64] = Field(default_factory=dict)
    head_outline: Base64 | None = None


def pictures(prepared: Prepared, volumes: Mapping[str, Volume]) -> Pictures:
    """Draw a case.

    Args:
        prepared: The case.
        volumes: What it was prepared from, as read.
    """
    chosen = np.searchsorted(np.cumsum(prepared.brain.sum(axis=(1, 2))) / prepared.brain.sum(), SHARES)
    low, high = _box(prepared, MARGIN_MM)
    low = np.maximum(low, 0)

    def cut(array: NDArray[Any]) -> NDArray[Any]:
        return np.hstack(list(array[chosen, low[1] : high[1], low[0] : high[0]]))

    drawn = Pictures(
        slices={name: _jpeg(cut(image)) for name, image in zip(prepared.modalities, prepared.images, strict=True)},
        outline=_outlines(cut(prepared.brain), cut(prepared.lesion), float(prepared.prepared.spacing[0])),
    )
    if not prepared.moves:
        return drawn
    planes = _planes(prepared, int(chosen[1]))
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    for name, move in prepared.moves.items():
        volume, intensity = volumes[name], prepared.intensity[name]
        moved = replace(volume, affine=move @ volume.affine)
        for place, shown in ((before, volume), (after, moved)):
            place[name] = _jpeg(to_unit(_cut(shown.data, shown.grid, planes), intensity))
    brain = _cut(prepared.native_brain.astype(np.float32), prepared.native.grid, planes) > 0.5
    lines = _outlines(brain, np.zeros_like(brain), PLANE_MM)
    return drawn.model_copy(update={"before": before, "after": after, "head_outline": lines})


def _planes(prepared: Prepared, middle: int) -> tuple[Grid, Grid]:
    """An axial and a coronal plane through the brain, the first axis runs to the left."""
    affine, spacing = prepared.prepared.affine, prepared.prepared.spacing
    low, high = _box(prepared, HEAD_MM)
    wide, deep, tall = ((high - low) * spacing / PLANE_MM).astype(int).tolist()
    step = PLANE_MM / spacing
    axial = np.diag([step[0], step[1], 1, 1])
    axial[:3, 3] = low[0], low[1], middle
    coronal = np.diag([step[0], step[1], -step[2], 1])
    coronal[:3, 3] = low[0], (low[1] + high[1]) / 2, high[2]
    return Grid((wide, deep, 1), affine @ axial), Grid((wide, 1, tall), affine @ coronal)


def _cut(data: NDArray[np.float32], source: Grid, planes: Iterable[Grid]) -> NDArray[np.float32]:
    """The planes of a volume side by side."""
    cut = [resample(data, source, plane).reshape([n for n in plane.shape if n > 1]).T for plane in planes]
    height = max(len(one) for one in cut)
    return np.hstack([np.pad(one, (((height - len(one)) // 2, (height - len(one) + 1) // 2), (0, 0))) for one in cut])


def _box(prepared: Prepared, margin_mm: float) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """First voxel and one beyond the last around the brain and a margin, in the axis order of the prepared grid."""
    brain = np.argwhere(prepared.brain)[:, ::-1]
    margin = np.rint(margin_mm / prepared.prepared.spacing).astype(int)
    return brain.min(axis=0) - margin, brain.max(axis=0) + 1 + margin


def _jpeg(unit: NDArray[np.float32]) -> str:
    return _encoded(Image.fromarray((np.clip(unit / BRIGHTEST, 0, 1) * 255).astype(np.uint8)), "JPEG", quality=QUALITY)


def _outlines(brain: NDArray[np.bool_], lesion: NDArray[np.bool_], mm: float) -> str:
    """Lines along the edges of two masks with pixels of `mm`, transparent elsewhere."""
    times = max(1, round(mm / LINE_MM))
    lines = np.zeros([times * n for n in brain.shape], np.uint8)
    for colour, mask in ((1, brain), (2, lesion)):
        finer = ndimage.zoom(mask.astype(np.float32), times, order=1, grid_mode=True, mode="grid-constant") > 0.5
        lines[finer & ~ndimage.binary_erosion(finer)] = colour
    image = Image.fromarray(lines).convert("P")
    image.putpalette([0, 0, 0, *BRAIN, *LESION])
    return _encoded(image, "PNG", transparency=0, bits=2)


def _encoded(image: Image.Image, kind: str, **options: int) -> str:
    buffer = BytesIO()
    image.save(buffer, kind, optimize=True, **options)
    return base64.b64encode(buffer.getvalue()).decode()
