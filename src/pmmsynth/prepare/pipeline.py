"""Cohort file -> prepared store, case by case; only what is missing or has changed is done."""

import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from importlib.metadata import version
from pathlib import Path

from pmmsynth.atomic import only_writer, sweep, write_json
from pmmsynth.case import Case, Scans
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, NothingToDo, UsageError
from pmmsynth.intake import CohortFile, convert, read_cohorts
from pmmsynth.jobs import Failure, Outcome, check_jobs, map_cases
from pmmsynth.manifest import Manifest
from pmmsynth.modality import ordered
from pmmsynth.prepare.clear import SHEETS, clear, existing, remove_case
from pmmsynth.prepare.page import write_quality_page
from pmmsynth.prepare.pictures import pictures
from pmmsynth.prepare.quality import remarks, unfit
from pmmsynth.prepare.review import Review, read_review, review_path
from pmmsynth.prepare.sheet import contact_sheet
from pmmsynth.prepare.volumes import check_tissues, prepare_volumes
from pmmsynth.store import (
    FEWEST_PIXELS,
    MOST_PIXELS,
    RECORD,
    CaseRecord,
    DatasetRecord,
    GridRecord,
    PreparedCase,
    Store,
    StoreRecord,
    write_case,
)
from pmmsynth.volume import digests_of, read_sequence, read_volume

RECIPE = 4
"""Raised whenever the same input and settings come out differently: stores are then prepared again."""


CONVERTED = "converted"
"""Folder of the store with what was made of DICOM."""


@dataclass(frozen=True)
class Settings:
    """What decides how a case comes out, besides its files; `accept`: cases kept whatever their quality."""

    matrix: int
    inplane_mm: float
    slice_mm: float | None
    scans: Scans
    accept: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        text = json.dumps([RECIPE, self.matrix, self.inplane_mm, self.slice_mm, asdict(self.scans)])
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class _Done:
    case: PreparedCase
    is_new: bool


def prepare(
    cohort_path: Path,
    out: Path,
    *,
    matrix: int = 192,
    inplane_mm: float = 1.0,
    jobs: int = 1,
    cluster: str | None = None,
    overwrite: bool = False,
    reporter: Reporter,
) -> Outcome[PreparedCase]:
    """Prepare every case of a cohort file into the store `out`.

    A case is left alone when its files (by sha256) and the settings are those it was prepared with. Cases that are
    no longer in the cohort, or cannot be prepared any more, are removed from the store: what is in it is what the
    cohort file says. A store of other pixels is left alone. A killed run leaves whole cases only, and the same command
    goes on.

    Args:
        cohort_path: The cohort file.
        out: The store; made if absent. A folder with other things in it is refused.
        matrix: Pixels in plane.
        inplane_mm: Pixel size.
        jobs: Cases at a time, in as many processes.
        cluster: Address of a Dask scheduler whose workers do it instead.
        overwrite: Prepare every case again, and over a store of other pixels.
        reporter: Where to say what goes on.

    Returns:
        All cases of the store, and those that failed with one line each.

    Raises:
        BadInput: If the cohort file or a dataset cannot be read.
        UsageError: If a number is out of range, or `out` holds other things or cases of other pixels.
    """
    if not FEWEST_PIXELS <= matrix <= MOST_PIXELS or matrix % 4 or not 0.1 <= inplane_mm <= 10:
        raise UsageError(
            f"found matrix {matrix}, pixel {inplane_mm:g} mm; expected a multiple of 4 from {FEWEST_PIXELS} to "
            f"{MOST_PIXELS}, 0.1 to 10 mm; correct it"
        )
    check_jobs(jobs, cluster)
    if out.exists() and not (out / "store.json").is_file() and not _is_begun(out):
        raise UsageError(f"found {out} with other things in it; expected a store or no folder; choose another place")
    with only_writer(out):
        if not overwrite:
            _check_pixels(out, matrix, inplane_mm)
        return _prepare(cohort_path, out, matrix, inplane_mm, jobs, cluster, overwrite, reporter)


def _prepare(
    cohort_path: Path,
    out: Path,
    matrix: int,
    inplane_mm: float,
    jobs: int,
    cluster: str | None,
    overwrite: bool,
    reporter: Reporter,
) -> Outcome[PreparedCase]:
    unconverted = _convert(cohort_path, out, jobs, cluster, overwrite, reporter)
    cohorts, manifest = read_cohorts(cohort_path, converted=out.absolute() / CONVERTED)
    _write_tables(out, cohorts, manifest, matrix, inplane_mm)
    settings = {d.name: Settings(matrix, inplane_mm, d.slice_mm, d.scans, tuple(d.accept)) for d in cohorts.datasets}
    clear(out, manifest, {name: chosen.digest for name, chosen in settings.items()})
    outcome = map_cases(
        partial(_prepare_case, out=out.absolute(), settings=settings, overwrite=overwrite),
        manifest.cases,
        [f"{c.dataset}/{c.id}" for c in manifest.cases],  # also their folders
        label="prepare",
        jobs=jobs,
        cluster=cluster,
        reporter=reporter,
    )
    files = {f"{c.dataset}/{c.id}": [*c.images.values(), c.brain, c.lesion] for c in manifest.cases}
    for failure in outcome.failures:
        there = all(path.is_file() for path in files[failure.name] if path)  # they were, when the cases were listed
        if failure.is_input and there:  # what is in the store is of other files; else it may well be of these
            remove_case(out / failure.name)
    _note_failures(out, manifest, {failure.name: failure.reason for failure in outcome.failures})
    sweep(out)  # what lost processes left
    outcome = Outcome(outcome.results, (*unconverted, *outcome.failures))
    new = [done.case for done in outcome.results if done.is_new]
    chosen = {(c.dataset, c.id): c.remarks for c in manifest.cases}
    for case in new:
        for remark in (*chosen[case.record.dataset, case.record.case], *remarks(case.record.quality)):
            reporter.remark(f"{case.record.dataset}/{case.record.case}: {remark}", case=case.record.case)
    for text in _shared([done.case.record for done in outcome.results]):
        reporter.remark(text)
    for dataset in manifest.datasets:
        cases = [done.case for done in outcome.results if done.case.record.dataset == dataset]
        path = out / SHEETS / f"{dataset}.png"
        if cases and (not path.is_file() or any(c.record.dataset == dataset for c in new)):
            contact_sheet(cases, ordered(m for c in cases for m in c.record.modalities), path)
        write_quality_page(out, dataset)
    up_to_date = len(outcome.results) - len(new)
    text = f"{len(new)} prepared, {up_to_date} up to date, {len(outcome.failures)} failed: {out}"
    if not new and not outcome.failures:
        text = f"all {up_to_date} cases up to date: {out}"
    reporter.say(text, prepared=len(new), up_to_date=up_to_date, failed=len(outcome.failures))
    return Outcome(tuple(done.case for done in outcome.results), outcome.failures)


def _check_pixels(out: Path, matrix: int, inplane_mm: float) -> None:
    """Refuse to replace the cases of a store because an option was forgotten or mistaken."""
    try:
        record = Store(out).record
    except BadInput:  # none yet, or of a version whose cases are prepared again
        return
    if (record.matrix, record.inplane_mm) != (matrix, inplane_mm) and any(out.glob(f"*/*/{RECORD}")):
        raise UsageError(
            f"found --matrix {matrix} --inplane-mm {inplane_mm:g} for {out}, whose cases have --matrix {record.matrix} "
            f"--inplane-mm {record.inplane_mm:g}; expected the same; give those, another folder, or --overwrite to "
            "prepare all of them again"
        )


def _is_begun(folder: Path) -> bool:
    """Whether there is nothing in it yet but what a run converts before it knows the cases."""
    return folder.is_dir() and {path.name for path in folder.iterdir() if not path.name.startswith(".")} <= {CONVERTED}


def _convert(
    path: Path, out: Path, jobs: int, cluster: str | None, overwrite: bool, reporter: Reporter
) -> list[Failure]:
    """Bring the cohort's datasets of DICOM up to date as BIDS trees in the store; the studies that failed."""
    failures: list[Failure] = []
    tables = [table for table in CohortFile.read(path).datasets if table.layout == "dicom"]
    for place in (out / CONVERTED).glob("*/"):  # folders only
        if place.name not in {table.name for table in tables}:
            shutil.rmtree(place)
    for table in tables:
        place = out / CONVERTED / table.name
        there: set[Path] = set()
        before = len(failures)
        for root in table.roots(path.parent):
            try:
                done = convert(
                    root, place, jobs=jobs, cluster=cluster, overwrite=overwrite, others=there, reporter=reporter
                )
            except NothingToDo as error:
                found = f"dataset {table.name}: no DICOM series of MR in {root}"
                raise BadInput(found, "at least one", "check root and layout") from error
            failures += [replace(f, name=f"{table.name}/{f.name}") for f in done.failures]
            there |= {image for study in done.results for image in (*study.new, *study.kept)}
        if all(failure.is_input for failure in failures[before:]):
            for image in place.absolute().rglob("*.nii.gz"):
                if image not in there:  # of files that are no longer there
                    image.unlink()
    return failures


def _write_tables(out: Path, cohorts: CohortFile, manifest: Manifest, matrix: int, inplane_mm: float) -> None:
    """store.json first: it marks the folder as ours."""
    datasets = []
    for number, table in enumerate(cohorts.datasets):
        own = [c for c in manifest.cases if c.dataset == table.name]
        seen = [c for c in own if c.split == "train"] or own
        datasets.append(
            DatasetRecord(id=number, name=table.name, modalities=ordered(m for c in seen for m in c.modalities))
        )
    record = StoreRecord(
        matrix=matrix,
        inplane_mm=inplane_mm,
        modalities=ordered(m for d in datasets for m in d.modalities),
        datasets=tuple(datasets),
    )
    write_json(out / "store.json", record.model_dump(mode="json"))
    manifest.write(out / "manifest.jsonl")


def _shared(records: Sequence[CaseRecord]) -> list[str]:
    """What to say of images that two cases have: the patient may be in two splits."""
    first: dict[str, CaseRecord] = {}
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for record in records:
        for name in record.modalities:
            other = first.setdefault(record.inputs[name], record)
            if other is not record:
                found[f"{other.dataset}/{other.case}", f"{record.dataset}/{record.case}"].append(name)
    return [
        f"{one} and {other} share the image of {', '.join(names)}: one patient twice? exclude one"
        for (one, other), names in found.items()
    ]


def _note_failures(out: Path, manifest: Manifest, reasons: Mapping[str, str]) -> None:
    """Review the cases that failed before there was a picture of them."""
    for case in manifest.cases:
        if reason := reasons.get(f"{case.dataset}/{case.id}"):
            for path in filter(None, (*case.images.values(), case.brain, case.lesion)):
                reason = reason.replace(str(path), path.name)  # folders may tell more of a patient than the case does
            known = read_review(review_path(out, case.dataset, case.id))
            if known is None or known.failure != reason:
                Review(dataset=case.dataset, case=case.id, failure=reason).write(out)


def _prepare_case(case: Case, *, out: Path, settings: Mapping[str, Settings], overwrite: bool) -> _Done:
    folder = out / case.dataset / case.id
    chosen = settings[case.dataset]
    inputs = digests_of(case.images, {"brain": case.brain, "lesion": case.lesion})
    old = None if overwrite else existing(folder)
    review = None if overwrite else read_review(review_path(out, case.dataset, case.id))
    if review and (review.inputs, review.settings) == (inputs, chosen.digest):
        _judged(review, chosen, out)
        if old and (old.record.inputs, old.record.lesion_labels) == (inputs, case.tissues):
            return _Done(old, is_new=False)
    volumes = {name: read_sequence(path) for name, path in case.images.items()}
    lesion = read_volume(case.lesion, constant_ok=True) if case.lesion else None
    if lesion is not None and case.tissues:
        check_tissues(lesion)
    prepared = prepare_volumes(
        volumes,
        matrix=chosen.matrix,
        inplane_mm=chosen.inplane_mm,
        slice_mm=chosen.slice_mm,
        scans=chosen.scans,
        mask=read_volume(case.brain) if case.brain else None,
        lesion=lesion,
    )
    review = Review(
        dataset=case.dataset,
        case=case.id,
        reference=prepared.reference,
        quality=prepared.quality,
        pictures=pictures(prepared, volumes),
        inputs=inputs,
        settings=chosen.digest,
    )
    _judged(review, chosen, out)
    record = CaseRecord(
        dataset=case.dataset,
        case=case.id,
        subject=case.subject,
        session=case.session,
        split=case.split,
        modalities=prepared.modalities,
        reference=prepared.reference,
        native=GridRecord.of(prepared.native.grid),
        prepared=GridRecord.of(prepared.prepared),
        intensity=prepared.intensity,
        brain_fraction=tuple(prepared.brain.mean(axis=(1, 2)).tolist()),
        quality=prepared.quality,
        moves={name: matrix.tolist() for name, matrix in prepared.moves.items()},
        has_lesion=case.lesion is not None,
        lesion_labels=case.tissues,
        inputs=inputs,
        settings=chosen.digest,
        software=f"pmmsynth {version('pmmsynth')}",
    )
    labels = prepared.labels if case.tissues else None
    return _Done(write_case(folder, record, prepared.images, prepared.brain, prepared.lesion, labels), is_new=True)


def _judged(review: Review, settings: Settings, out: Path) -> None:
    """Write the review of a case with what was decided on it.

    Raises:
        BadInput: If it is not to be used and `accept` does not name it.
    """
    refusal = None
    if (reason := unfit(review.quality)) and not any(fnmatchcase(review.case, p) for p in settings.accept):
        refusal = BadInput(
            f"{review.dataset}/{review.case}: {reason}",
            "sequences that fit together",
            "look at it; leave the sequence out, or name the case in accept to keep it all the same",
        )
    review.model_copy(update={"failure": " ".join(str(refusal).split()) if refusal else None}).write(out)
    if refusal:
        raise refusal
