"""Folders, manifests, cohort files and DICOM -> the findings of every case, as a table or as JSON."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from pmmsynth.case import Case
from pmmsynth.check.findings import File, Findings, Look, look
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, NothingToDo
from pmmsynth.intake import CohortFile, find_cases, form_of, overlooked, read_cohorts
from pmmsynth.intake.convert import studies_under, usable
from pmmsynth.intake.dicom import holds_dicom
from pmmsynth.jobs import map_cases
from pmmsynth.modality import KNOWN, ordered

NAMES = {"bids": "BIDS name", "brats": "BraTS name", "isles": "ISLES name"}
"""How it is known which file is which sequence; of other layouts by their own name."""
NO_FILE = File(None, "", "")
WIDEST = 60
"""Characters of a place in the table; the end of a longer one is shown."""


def check(places: Sequence[Path], *, jobs: int = 1, reporter: Reporter) -> int:
    """Look at every case of these places and print one table, or when quiet what is wrong; nothing is written.

    Args:
        places: Folders of NIfTI or DICOM, manifests, cohort files.
        jobs: Cases at a time, in as many processes.
        reporter: Where to speak; as JSON one object per case, then one of the whole.

    Returns:
        0 if every case can be prepared, 5 if some cannot, 4 if none can, 70 if a fault of ours kept a case from being
        looked at.

    Raises:
        BadInput: If there is no such place, or a cohort is inconsistent.
        NothingToDo: If there is no case.
    """
    found: list[Findings] = []
    looks: list[Look] = []
    for place in places:
        tasks, dicom = _tasks(place, reporter)
        looks += tasks
        found += dicom
    outcome = map_cases(look, looks, [t.case.id for t in looks], label="check", jobs=jobs, reporter=reporter)
    found += outcome.results
    found += [Findings("", failure.name, (), problems=(failure.reason,)) for failure in outcome.failures]
    found = _across(found)
    if not found:
        raise NothingToDo("found no case; expected at least one; check the path")
    if reporter.as_json:
        for case in found:
            reporter.say(case.case, **asdict(case), is_bad=case.is_bad)
    elif reporter.quiet:
        for line in _wrong(found):
            reporter.warn(line)
    else:
        reporter.say("\n".join(_table(found)))
    bad = sum(case.is_bad for case in found)
    noted = sum(bool(case.remarks) and not case.is_bad for case in found)
    reporter.say(
        f"{len(found)} cases: {len(found) - bad} can be used ({noted} to be looked at), {bad} cannot",
        cases=len(found),
        bad=bad,
        noted=noted,
    )
    if outcome.exit_code == 70:
        return 70
    return 0 if not bad else 4 if bad == len(found) else 5


def _tasks(place: Path, reporter: Reporter) -> tuple[list[Look], list[Findings]]:
    """The cases of a place that are still to be looked at, and those of DICOM, whose headers are enough."""
    if place.suffix == ".toml":
        return _of_cohort(place, reporter)
    try:
        cases = find_cases(place)
    except NothingToDo:
        if place.is_dir() and (dicom := _of_dicom(place, "")):
            return [], dicom
        raise
    if place.is_dir() and holds_dicom(place):
        reporter.remark(f"found DICOM beside NIfTI in {place}, not looked at; name its own folder to look at it")
    _say_overlooked(place, cases, reporter)
    usual = ordered(m for c in cases for m in c.modalities)
    return [Look(c, _named_by(form_of(place)), usual) for c in cases], []


def _say_overlooked(root: Path, cases: Sequence[Case], reporter: Reporter) -> None:
    if left := overlooked(root, cases):
        reporter.remark(f"found {len(left)} volumes that no case takes, the first {left[0]}", overlooked=left)


def _of_cohort(path: Path, reporter: Reporter) -> tuple[list[Look], list[Findings]]:
    cohorts = CohortFile.read(path)
    dicom = [table for table in cohorts.datasets if table.layout == "dicom"]
    found = [f for table in dicom for root in table.roots(path.parent) for f in _of_dicom(root, table.name)]
    tables = {table.name: table for table in cohorts.datasets if table.layout != "dicom"}
    if not tables:
        return [], found
    _, manifest = read_cohorts(path, only=tuple(tables))
    for table in tables.values():
        if table.include is None and not table.exclude and not table.ignore:
            for root in table.roots(path.parent):
                _say_overlooked(root, [c for c in manifest.cases if c.dataset == table.name], reporter)
    usual: dict[str, tuple[str, ...]] = {
        name: ordered(m for c in manifest.cases if c.dataset == name for m in c.modalities) for name in tables
    }
    looks = [Look(case, _named_by(tables[case.dataset].layout), usual[case.dataset]) for case in manifest.cases]
    return looks, found


def _named_by(layout: str) -> str:
    return NAMES.get(layout, layout)


def _of_dicom(root: Path, dataset: str) -> list[Findings]:
    """One case for each study, by the headers of its series; none if this is no folder of DICOM."""
    if not holds_dicom(root):
        return []
    studies, broken = studies_under(root)
    found = []
    for study in studies:
        files = [
            File(
                series.modality,
                f"{series.files[0].parent} series {series.number} ({series.tags.description})",
                series.why,
                series.geometry,
                series.problem() if series.modality else None,
            )
            for series in study.series
        ]
        problems: list[str] = []
        notes: list[str] = []
        try:
            chosen, notes = usable(study.series)
            if not chosen:
                problems.append(f"no usable sequence; expected one of {', '.join(KNOWN)}; export the study again")
        except BadInput as error:
            problems.append(str(error).removeprefix("found "))
        # a series that is left out does not spoil the others
        files = [replace(f, problem=None, told_by=f"left out: {f.problem}") if f.problem else f for f in files]
        found.append(Findings(dataset, study.name, tuple(files), (), tuple(problems), tuple(notes)))
    if broken:
        problem = "not readable; expected DICOM; copy or export it again"
        found.append(Findings(dataset, "(unreadable)", tuple(File(None, str(p), "", problem=problem) for p in broken)))
    usual = ordered(f.sequence for c in found for f in c.files if f.sequence)
    return [replace(c, missing=tuple(m for m in usual if m not in {f.sequence for f in c.files})) for c in found]


def _across(found: Sequence[Findings]) -> list[Findings]:
    """With what only shows between cases: one image in two of them."""
    owners: dict[str, list[tuple[int, str]]] = defaultdict(list)
    names = Counter(_name(case) for case in found)
    for number, case in enumerate(found):
        for digest, place in {file.digest: file.place for file in case.files if file.digest}.items():
            owners[digest].append((number, _name(case) if names[_name(case)] == 1 else place))
    said = []
    for number, case in enumerate(found):
        shared = [owner for f in case.files for owner in owners.get(f.digest, ())]
        others = sorted({other: name for other, name in shared if other != number}.values())
        same = f"an image that {', '.join(others)} has too (one patient twice?); expected its own; exclude one of them"
        said.append(replace(case, problems=(*case.problems, same) if others else case.problems))
    return said


def _wrong(found: Sequence[Findings]) -> Iterable[str]:
    """Lines on what is wrong; of a case that a fault kept from being looked at there was one already."""
    for case in found:
        for file in case.files:
            if file.problem:
                yield f"{_name(case)}: found {file.place}: {file.problem}"
        yield from (f"{_name(case)}: found {text}" for text in case.problems if case.files)


def _table(found: Sequence[Findings]) -> Iterable[str]:
    """Rows of text: one for each file, then what is missing and wrong with its case."""
    rows = [("case", "sequence", "geometry", "told by", "file")]
    for case in found:
        name = _name(case)
        for file in case.files or (NO_FILE,):
            rows.append((name, file.sequence or "-", file.geometry or "-", file.told_by, _ending(file.place)))
            name = ""
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = iter(
        "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[4]]) for row in rows
    )
    yield next(lines)
    for case in found:
        for file in case.files or (NO_FILE,):
            yield next(lines)
            if file.problem:
                yield f"    WRONG: {file.problem}"
        if case.missing:
            yield f"    missing: {', '.join(case.missing)}"
        yield from (f"    WRONG: {text}" for text in case.problems)
        yield from (f"    look at: {text}" for text in case.remarks)


def _name(case: Findings) -> str:
    return f"{case.dataset}/{case.case}".removeprefix("/").removeprefix("(not said)/")


def _ending(place: str) -> str:
    return place if len(place) <= WIDEST else f"...{place[-WIDEST + 3 :]}"
