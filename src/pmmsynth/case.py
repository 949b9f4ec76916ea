"""A case: one patient at one time point, with the files of the sequences that exist."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args
from unicodedata import normalize

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from pmmsynth.modality import ordered, parse_modality

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


def _names_a_folder(value: str) -> str:
    if not value or value.startswith(".") or not all(c.isalnum() or c in "._-" for c in value):
        if normalize("NFC", value) != value:
            raise ValueError(
                f"name {value!r} must be of composed letters (Unicode NFC, not NFD as from a Mac): rename it, as "
                "convmv does with --nfc"
            )
        raise ValueError(f"name {value!r} must be letters, digits, '.', '-' or '_'")
    if len(value.encode()) > 200:  # of the 255 that systems allow: there are temporary names beside it
        raise ValueError(f"name {value!r} must have at most 200 bytes")
    return value


FolderName = Annotated[str, AfterValidator(_names_a_folder)]
"""A name that is one folder, leads nowhere else and is not hidden."""


Extractor = Literal["deepbet", "hd-bet", "synthstrip"]
"""What makes the brain mask of a head with skull."""


@dataclass(frozen=True)
class Scans:
    """What has been done to scans already, and with what to do the rest; by default all of it has been done.

    Attributes:
        skull_stripped: Whether they are 0 outside the brain.
        registered: Whether their headers put all sequences of a case in one space.
        bias_field: Whether N4 is to take out a bias field.
        extractor: What finds the brain of a head with skull.
    """

    skull_stripped: bool = True
    registered: bool = True
    bias_field: bool = False
    extractor: Extractor = "deepbet"


READY = Scans()
"""Registered and skull-stripped: what scans are taken for unless somebody says otherwise."""
RAW = Scans(skull_stripped=False, registered=False)
"""Heads as they were scanned."""


class Case(BaseModel):
    """One line of the manifest. Paths are as found; nothing here reads a voxel.

    Attributes:
        dataset: Name of the dataset the case belongs to.
        id: Unique in its dataset; letters, digits, dot, dash and underscore (it names folders).
        subject: The patient. Two cases of one patient carry the same text, also across datasets.
        session: Time point of the patient, or None.
        split: train, val or test.
        images: Canonical modality name to file; at least one.
        brain: A given brain mask, or None.
        lesion: Lesion mask, or None.
        lesion_labels: What the mask's values mean ({1: "necrotic core", ...}); empty when unknown.
        remarks: What to know of how its files were found, such as which of two runs was taken.
        scans: What has been done to its scans already.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    id: FolderName
    subject: str
    session: str | None = None
    split: Split = "train"
    images: dict[str, Path]
    brain: Path | None = None
    lesion: Path | None = None
    lesion_labels: dict[int, str] = {}
    remarks: tuple[str, ...] = ()
    scans: Scans = READY

    @model_validator(mode="after")
    def _has_ordered_images(self) -> "Case":
        if not self.images:
            raise ValueError(f"case {self.id} of {self.dataset} has no image")
        named = {parse_modality(name): path for name, path in self.images.items()}
        if len(named) != len(self.images):
            raise ValueError(f"case {self.id} of {self.dataset} names a modality twice: {sorted(self.images)}")
        object.__setattr__(self, "images", {name: named[name] for name in ordered(named)})
        return self

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.images)

    @property
    def tissues(self) -> dict[int, str]:
        """What the mask's values mean if it tells several tissues apart, else nothing: it is a plain mask."""
        return self.lesion_labels if self.lesion and len(self.lesion_labels) > 1 else {}
