"""The cohort file (`cohorts.toml`): which folders are which datasets, and how their patients are split."""

import re
import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pmmsynth.case import SPLITS, Case, Extractor, Scans, Split
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.intake import bids, brats, isles, pattern
from pmmsynth.manifest import Manifest, build, first_message, split_patients
from pmmsynth.modality import ordered, parse_modality

Layout = Literal["brats", "isles", "bids", "dicom", "pattern"]
TAKEN = ("sheets", "quality", "converted")
"""Folders of a store that are no datasets."""
_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SplitRule(_Table):
    """Fractions of the patients (`val = 0.1, test = 0.2`), or glob patterns on case names for each split.

    With patterns, `train` may be left out: it is then everything else.
    """

    train: list[str] | None = None
    val: float | list[str] = 0.1
    test: float | list[str] = 0.2

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> "SplitRule":
        given = [getattr(self, name) for name in self.model_fields_set]
        if any(isinstance(v, list) for v in given):
            if any(isinstance(v, float) for v in given):
                raise ValueError("mixes fractions and patterns; use one kind")
            for name in {"val", "test"} - self.model_fields_set:
                object.__setattr__(self, name, [])
        elif (
            isinstance(self.val, float)
            and isinstance(self.test, float)
            and (min(self.val, self.test) < 0 or self.val + self.test >= 1)
        ):
            raise ValueError(f"val {self.val:g} and test {self.test:g} must be 0 or more and leave some for train")
        return self

    def of(self, case: str) -> Split | None:
        """The split whose patterns fit a case name; None when the rule is by fractions."""
        patterns: dict[Split, list[str]] = {}
        for split in SPLITS:
            value = getattr(self, split)
            if isinstance(value, float):
                return None
            patterns[split] = value or []
        fit: list[Split] = [s for s in SPLITS if any(fnmatchcase(case, p) for p in patterns[s])]
        if not fit and self.train is None:
            return "train"
        if len(fit) != 1:
            raise ValueError(f"case {case} fits the patterns of {' and '.join(fit) or 'no split'}; expected one split")
        return fit[0]


class DatasetTable(_Table):
    """One `[[dataset]]` of the cohort file.

    Attributes:
        name: What the dataset is called; also its folder in the store.
        root: Folder (or folders) with the cases, relative to the cohort file.
        layout: How the folder is laid out.
        image: For `pattern`: template with {case} and {modality}.
        lesion: For `pattern`: template of the lesion mask with {case}.
        aliases: For `pattern`: {spelling in the file name: modality}.
        ignore: For `pattern`: spellings that are not images.
        brain: For `pattern`: template of given brain masks with {case}; they replace the extractor.
        include, exclude: Glob patterns on case names; only these are taken, those are not.
        accept: Glob patterns on case names that are kept although their quality is too low.
        withhold: Modalities kept out of train and val cases and kept in test ones: a site that never acquired
            them, with the truth left for scoring. A train or val case with nothing else is left out.
        skull_stripped: Whether the scans are 0 outside the brain; if not, `extractor` makes a mask on the reference.
        registered: Whether headers put all sequences of a case in one space; if not, they are registered.
        bias_field: Whether to take out a bias field by N4.
        extractor: deepbet, hd-bet or synthstrip.
        slice_mm: Through-plane spacing to resample to; native when left out.
        lesion_labels: What the lesion mask's values mean, if not what the layout says.
        split: This dataset's own split.
    """

    name: str
    root: Path | list[Path]
    layout: Layout
    image: str | None = None
    brain: str | None = None
    lesion: str | None = None
    aliases: dict[str, str] = {}
    ignore: list[str] = []
    include: list[str] | None = None
    exclude: list[str] = []
    accept: list[str] = []
    withhold: list[str] = []
    skull_stripped: bool = True
    registered: bool = True
    bias_field: bool = False
    extractor: Extractor = "deepbet"
    slice_mm: float | None = Field(default=None, gt=0.1, lt=50)
    lesion_labels: dict[int, str] = {}
    split: SplitRule | None = None

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, value: str) -> str:
        if not _FOLDER_NAME.fullmatch(value) or value in TAKEN:
            raise ValueError(
                f"{value!r} must be letters, digits, '.', '-' or '_' (it names a folder), none of {', '.join(TAKEN)}"
            )
        return value

    @field_validator("withhold", "aliases")
    @classmethod
    def _names_modalities(cls, value: list[str] | dict[str, str]) -> list[str] | dict[str, str]:
        for name in value.values() if isinstance(value, dict) else value:
            try:
                parse_modality(name)
            except UsageError as error:
                raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _can_be_read(self) -> "DatasetTable":
        if self.layout == "pattern":
            if not self.image or "{case}" not in self.image or "{modality}" not in self.image:
                raise ValueError('layout "pattern" needs image = "..." with {case} and {modality}')
            for name in ("brain", "lesion"):
                if (template := getattr(self, name)) and "{case}" not in template:
                    raise ValueError(f"{name} needs {{case}}")
        elif self.image or self.brain or self.lesion or self.aliases or self.ignore:
            raise ValueError('image, brain, lesion, aliases and ignore belong to layout = "pattern"')
        return self

    def roots(self, base: Path) -> list[Path]:
        """Its folders; `base` is that of the cohort file."""
        return [(base / root).resolve() for root in (self.root if isinstance(self.root, list) else [self.root])]

    @property
    def scans(self) -> Scans:
        """What is left to do to the scans."""
        return Scans(self.skull_stripped, self.registered, self.bias_field, self.extractor)


class CohortFile(_Table):
    """A whole cohort file: datasets in the order that gives them their ids, seed and split for all."""

    datasets: list[DatasetTable] = Field(alias="dataset", min_length=1)
    seed: int = 0
    split: SplitRule = SplitRule()

    @model_validator(mode="after")
    def _names_differ(self) -> "CohortFile":
        names = [d.name for d in self.datasets]
        if len(set(names)) < len(names):
            raise ValueError(f"two datasets of one name among {', '.join(names)}")
        return self

    @classmethod
    def read(cls, path: Path) -> "CohortFile":
        """Read a TOML file. Raises BadInput with the key at fault and the nearest one that exists."""
        if not path.is_file():
            raise BadInput(f"no cohort file at {path}", "a TOML file with [[dataset]] tables", "check the path")
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
        except ValidationError as error:
            raise BadInput(f"{path}: {_explained(error)}", "a valid cohort file", "correct it") from error
        except (ValueError, OSError, RecursionError) as error:  # RecursionError: tables within tables within tables
            raise BadInput(f"{path}: {error}", "a TOML file", "correct it") from error


def read_cohorts(
    path: Path, *, converted: Path | None = None, only: Sequence[str] | None = None
) -> tuple[CohortFile, Manifest]:
    """Find the cases of every dataset of a cohort file and give each patient its split.

    Splits by pattern are settled first; then, dataset by dataset, the patients not yet placed are drawn by fraction.

    Args:
        path: The cohort file.
        converted: Where datasets of DICOM are as BIDS trees, each in a folder of its name.
        only: Names of the datasets to take; all if None.
    """
    cohorts = CohortFile.read(path)
    if only is not None:
        cohorts = cohorts.model_copy(update={"datasets": [d for d in cohorts.datasets if d.name in only]})
    try:
        found = {table.name: _cases_of(table, path.parent, converted) for table in cohorts.datasets}
        placed: dict[tuple[str, str], Split] = {}
        by_patient: dict[str, Split] = {}
        for table in cohorts.datasets:
            for case in found[table.name]:
                if split := (table.split or cohorts.split).of(case.id):
                    placed[case.dataset, case.id] = split
                    by_patient.setdefault(case.subject, split)
    except ValueError as error:  # includes pydantic's
        reason = first_message(error) if isinstance(error, ValidationError) else str(error)
        raise BadInput(f"{path}: {reason}", "a consistent cohort", "correct the cohort file or the folder") from error
    for table in cohorts.datasets:
        rule = table.split or cohorts.split
        if isinstance(rule.val, float) and isinstance(rule.test, float):
            subjects = {case.subject for case in found[table.name]}
            by_patient |= split_patients(subjects, by_patient, seed=cohorts.seed, val=rule.val, test=rule.test)
    cases = []
    for table in cohorts.datasets:
        for case in found[table.name]:
            split = placed.get((case.dataset, case.id), by_patient[case.subject])
            cases += _withheld(case.model_copy(update={"split": split}), table.withhold)
    return cohorts, build([t.name for t in cohorts.datasets], cases, str(path))


def _cases_of(table: DatasetTable, base: Path, converted: Path | None) -> list[Case]:
    """The cases of one dataset, sorted by name, before splitting."""
    cases: list[Case] = []
    for folder in [converted / table.name] if converted and table.layout == "dicom" else table.roots(base):
        if not folder.is_dir():
            raise BadInput(f"dataset {table.name}: no folder {folder}", "the folder of its cases", "correct root")
        cases += _find(table, folder)
    if table.include is not None:
        cases = [c for c in cases if any(fnmatchcase(c.id, p) for p in table.include)]
    cases = [c for c in cases if not any(fnmatchcase(c.id, p) for p in table.exclude)]
    if not cases:
        raise BadInput(
            f"dataset {table.name}: no case in {table.root} with layout {table.layout}",
            "at least one",
            "check root, layout and include",
        )
    present = ordered(m for c in cases for m in c.modalities)
    for name in table.withhold:
        if parse_modality(name) not in present:
            raise BadInput(
                f"dataset {table.name}: withhold names {name}", f"some of {', '.join(present)}", "correct withhold"
            )
    cases = [c.model_copy(update={"scans": table.scans}) for c in cases]
    if table.lesion_labels:
        cases = [c.model_copy(update={"lesion_labels": table.lesion_labels}) if c.lesion else c for c in cases]
    return sorted(cases, key=lambda c: c.id)


def _find(table: DatasetTable, root: Path) -> list[Case]:
    if table.layout == "brats":
        return brats.find(root, table.name)
    if table.layout == "isles":
        return isles.find(root, table.name)
    if table.layout == "bids":
        return bids.find(root, table.name)
    if table.layout == "dicom":  # the label is a digest of the patient's identifier, the same in every dataset
        return [c.model_copy(update={"subject": c.id.partition("_")[0]}) for c in bids.find(root, table.name)]
    return pattern.find(
        root,
        table.name,
        image=table.image or "",
        brain=table.brain,
        lesion=table.lesion,
        aliases=table.aliases,
        ignore=table.ignore,
    )


def _withheld(case: Case, withhold: Sequence[str]) -> list[Case]:
    """The case without what its site pretends not to have; nothing when that was all it had."""
    if case.split == "test" or not withhold:
        return [case]
    hidden = {parse_modality(name) for name in withhold}
    kept = {name: path for name, path in case.images.items() if name not in hidden}
    return [case.model_copy(update={"images": kept})] if kept else []


def _explained(error: ValidationError) -> str:
    """The first unknown key and the nearest known one, else the first problem: a missing key may be misspelt."""
    problem = next((p for p in error.errors() if p["type"] == "extra_forbidden"), None)
    if problem is None:
        return first_message(error)
    *above, key = problem["loc"]
    table = CohortFile if not above else SplitRule if above[-1] == "split" else DatasetTable
    names = [field.alias or name for name, field in table.model_fields.items()]
    near = get_close_matches(str(key), names, n=1, cutoff=0.5)
    meant = f"; did you mean {near[0]}?" if near else f"; known keys are {', '.join(names)}"
    return f"unknown key {'.'.join(str(p) for p in problem['loc'])}{meant}"
