"""Many cases through one model, written as BIDS derivatives."""

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from pmmsynth.atomic import only_writer, replacing, sweep, write_json
from pmmsynth.case import Case
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, NothingToDo, UsageError
from pmmsynth.infer.naming import case_folder, label, output_path, sidecar_path
from pmmsynth.infer.saved import SavedModel
from pmmsynth.infer.sidecar import preparation, sidecar
from pmmsynth.infer.synthesizer import Synthesizer
from pmmsynth.intake import UNKNOWN
from pmmsynth.intake.files import check_name, is_synthetic
from pmmsynth.jobs import Outcome, map_cases
from pmmsynth.manifest import first_message
from pmmsynth.modality import parse_modality
from pmmsynth.volume import MARK, digests_of, read_sequence, read_volume, write_volume


@dataclass(frozen=True)
class Written:
    """What became of one case: volumes written now, those that were there already, and what to know of the sources."""

    case: Case
    new: tuple[Path, ...]
    kept: tuple[Path, ...]
    remarks: tuple[str, ...] = ()


def case_of_inputs(inputs: Iterable[str], subject: str | None = None) -> Case:
    """A case from "t1=path" pairs; named after the first file unless `subject` says otherwise."""
    images: dict[str, Path] = {}
    for pair in inputs:
        name, equals, path = pair.partition("=")
        if not equals or not path:
            raise UsageError(f"found --input {pair}; expected MODALITY=PATH; write for example --input t1=t1.nii.gz")
        modality = parse_modality(name)
        check_name(Path(path))
        if is_synthetic(Path(path)):
            raise UsageError(
                f"found a synthetic image given as {modality}, {path}; expected an acquired one; leave it out"
            )
        if modality in images:
            raise UsageError(f"found {modality} twice; expected each modality once; leave one out")
        images[modality] = Path(path)
    if not images:
        raise UsageError("found no --input; expected at least one; write for example --input t1=t1.nii.gz")
    name = label(subject.removeprefix("sub-")) if subject else _name_of(*next(iter(images.items()))) or "unnamed"
    if not name:
        raise UsageError(f"found --subject {subject}; expected letters and digits; choose another label")
    try:
        return Case(dataset=UNKNOWN, id=name, subject=name, split="test", images=images)
    except ValidationError as error:
        raise UsageError(f"found {first_message(error)}; expected a short label; choose one with --subject") from error


def _name_of(modality: str, path: Path) -> str:
    """The patient in a file name: what stands before the sequence, or the folder when nothing does."""
    stem = re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)
    if found := re.match(r"(sub-[A-Za-z0-9]+(_ses-[A-Za-z0-9]+)?)(_|$)", stem):
        return found[1]
    words = re.split(r"[._=\s-]+", stem)
    before = next((words[:i] for i, word in enumerate(words) if _names(word, modality)), words)
    return label("".join(before)) or label(path.resolve().parent.name)


def _names(text: str, modality: str) -> bool:
    try:
        return parse_modality(text) == modality
    except UsageError:
        return False


def synthesize_cases(
    saved: SavedModel,
    cases: Sequence[Case],
    out: Path,
    *,
    dataset: str | None = None,
    targets: str = "missing",
    overwrite: bool = False,
    jobs: int = 1,
    cluster: str | None = None,
    reporter: Reporter,
) -> Outcome[Written]:
    """Write the wanted sequences of every case below `out`; what is there already is kept.

    Args:
        saved: The model.
        cases: From `find_cases` or `case_of_inputs`.
        out: Root of the derivatives.
        dataset: Style for all cases; None takes each case's own, from its manifest.
        targets: "missing", "all", or names separated by commas.
        overwrite: Write again what is there already.
        jobs: Cases at a time, each in a process with a model of its own.
        cluster: Address of a Dask scheduler whose workers do it instead; the device is one of theirs.
        reporter: Where to speak.

    Raises:
        BadInput: If the model is damaged or `out` not a place to write to.
        UsageError: If the dataset is not said anywhere or unknown to the model, the device is not here, or no scheduler
            answers.
        NothingToDo: If no case lacks a wanted sequence.
    """
    card = (replace(saved, device="cpu") if cluster else saved).load().card  # here first: one error, not one per case
    styles = {c.dataset for c in cases} if dataset is None else {dataset}
    for name in sorted(styles):
        if name == UNKNOWN:
            known = ", ".join(d.name for d in card.datasets)
            raise UsageError(
                f"found no --dataset; expected the one the patients belong to: {known}; choose one of them"
            )
        card.dataset(name)
    if targets not in ("missing", "all"):
        card.mask(tuple(parse_modality(t) for t in targets.split(",")))
    _same_names(cases)
    _check_place(out)
    place = out.absolute()  # a worker may run in another folder
    work = partial(_synthesize_case, saved=saved, out=place, dataset=dataset, targets=targets, overwrite=overwrite)
    outcome = map_cases(
        work,
        [_absolute(c) for c in cases],
        [c.id for c in cases],
        label="synthesize",
        jobs=jobs,
        cluster=cluster,
        reporter=reporter,
    )
    for written in outcome.results:
        for remark in written.remarks:
            reporter.remark(f"{written.case.id}: {remark}", case=written.case.id)
    new, kept = (sum(len(getattr(w, name)) for w in outcome.results) for name in ("new", "kept"))
    if not (new or kept or outcome.failures):
        raise NothingToDo(f"found all sequences in every case; expected one to lack {targets}; name --targets to make")
    reporter.say(f"{new} volumes written, {kept} kept, {len(outcome.failures)} cases failed: {out}", new=new, kept=kept)
    return outcome


def _absolute(case: Case) -> Case:
    images = {modality: path.absolute() for modality, path in case.images.items()}
    masks = {name: path and path.absolute() for name, path in (("brain", case.brain), ("lesion", case.lesion))}
    return case.model_copy(update={"images": images, **masks})


def _same_names(cases: Sequence[Case]) -> None:
    """Two cases must not write the same files."""
    seen: dict[Path, str] = {}
    for case in cases:
        path = output_path(Path(), case, "T1")
        if path in seen:
            raise BadInput(
                f"cases {seen[path]} and {case.dataset}/{case.id}: one output name {path.name}",
                "unique names",
                "rename one, or make them in two runs with two --out, from a manifest by the lines of one dataset each",
            )
        seen[path] = f"{case.dataset}/{case.id}"


def _check_place(out: Path) -> None:
    """Say that nothing can be written before the work rather than after."""
    place = next(p for p in (out.absolute(), *out.absolute().parents) if p.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise BadInput(f"{place}: not a folder one may write to", "room for the output", "choose another --out")


def _synthesize_case(
    case: Case, *, saved: SavedModel, out: Path, dataset: str | None, targets: str, overwrite: bool
) -> Written:
    model = replace(saved.load(), scans=case.scans)
    images = {m: p for m, p in case.images.items() if m in model.card.modalities}
    if not images:
        raise BadInput(
            f"{case.id}: only {', '.join(case.images)}",
            f"one of {', '.join(model.card.modalities)}",
            "use another model",
        )
    chosen = model.targets(tuple(images), targets)
    if not chosen:
        return Written(case, (), ())
    case = case.model_copy(update={"images": images})
    digests = digests_of(images, {"brain": case.brain})
    with only_writer(case_folder(out, case)):  # of other cases there may be others
        return _write(case, digests, chosen, model, out, dataset, overwrite)


def _write(
    case: Case,
    digests: dict[str, str],
    chosen: Sequence[str],
    model: Synthesizer,
    out: Path,
    dataset: str | None,
    overwrite: bool,
) -> Written:
    """Make the chosen targets that are not there, a volume and its sidecar, and see that the others are the same."""
    paths = {target: output_path(out, case, target) for target in chosen}
    there = [t for t in chosen if paths[t].exists() and not overwrite]
    missing = [t for t in chosen if t not in there]
    style, mask = dataset or case.dataset, digests.get("brain")
    for target in there:
        _check_same(paths[target], {m: digests[m] for m in case.images if m != target}, mask, model, style)
    remarks: dict[str, None] = {}
    if missing:
        volumes = {m: read_sequence(path) for m, path in case.images.items()}
        names = {m: path.name for m, path in case.images.items()}
        how = "by --dataset" if dataset else "by the manifest"
        brain = read_volume(case.brain) if case.brain else None
        for target, made in model.synthesize_volumes(volumes, style, missing, brain).items():
            _describe(out)
            sweep(paths[target].parent)
            with (
                replacing(paths[target]) as image,
                replacing(sidecar_path(paths[target])) as beside,
            ):  # beside comes first
                write_json(beside, sidecar(made, model, digests, names, how, mask))
                text = f"{MARK} {target} by pmmsynth {version('pmmsynth')}, not acquired"
                write_volume(image, made.volume.data, made.volume, text)
                paths[target].unlink(missing_ok=True)  # never an old image beside a new sidecar
            remarks |= dict.fromkeys(made.remarks)
    return Written(case, tuple(paths[t] for t in missing), tuple(paths[t] for t in there), tuple(remarks))


def _check_same(image: Path, digests: dict[str, str], mask: str | None, model: Synthesizer, dataset: str) -> None:
    """What is kept must be what would be made: the same sources under the same names, preparation, model and style."""
    wanted = (digests, preparation(model.scans, mask), model.card.digest, dataset)
    try:
        said = json.loads(sidecar_path(image).read_bytes())
        sources = {s["Name"]: s["SHA256"] for s in said["InputSequences"]}
        found = (sources, said["Preparation"], said["Model"]["Digest"], said["Dataset"]["Name"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        found, reason = None, f"no sidecar that says what it is ({type(error).__name__})"
    else:
        reason = "made from other sources, or prepared otherwise, by another model or in another style"
    if found != wanted:
        remedy = "if it may be another patient's, choose another --subject or --out; --overwrite replaces it"
        raise BadInput(f"{image}: {reason}", "the volume this command makes", remedy)


def _describe(out: Path) -> None:
    """`dataset_description.json` of a BIDS derivative, once."""
    path = out / "dataset_description.json"
    if not path.is_file():
        made_by = {"Name": "pmmsynth", "Version": version("pmmsynth")}
        description = {"Name": "Synthetic MRI sequences", "BIDSVersion": "1.10.0", "DatasetType": "derivative"}
        write_json(path, {**description, "GeneratedBy": [made_by]})
