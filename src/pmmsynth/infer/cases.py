"""Many cases through one model: found in a folder or a manifest, written as BIDS derivatives."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from pmmsynth.atomic import sha256, write_json
from pmmsynth.case import Case, Split
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, NothingToDo, UsageError
from pmmsynth.infer.naming import label, output_path, sidecar_path
from pmmsynth.infer.sidecar import sidecar
from pmmsynth.infer.synthesizer import Synthesizer
from pmmsynth.intake import bids, brats, isles
from pmmsynth.jobs import Outcome, map_cases
from pmmsynth.manifest import Manifest
from pmmsynth.modality import parse_modality
from pmmsynth.volume import read_volume, write_volume

UNKNOWN = "(not said)"


@dataclass(frozen=True)
class Written:
    """What became of one case: volumes written now, and those that were there already."""

    case: Case
    new: tuple[Path, ...]
    kept: tuple[Path, ...]


def case_of_inputs(inputs: Iterable[str], subject: str | None = None) -> Case:
    """A case from "t1=path" pairs; named after the first file unless `subject` says otherwise."""
    images: dict[str, Path] = {}
    for pair in inputs:
        name, equals, path = pair.partition("=")
        if not equals or not path:
            raise UsageError(f"found --input {pair}; expected MODALITY=PATH; write for example --input t1=t1.nii.gz")
        modality = parse_modality(name)
        if modality in images:
            raise UsageError(f"found {modality} twice; expected each modality once; leave one out")
        images[modality] = Path(path)
    if not images:
        raise UsageError("found no --input; expected at least one; write for example --input t1=t1.nii.gz")
    first = next(iter(images.values()))
    stem = first.name.split(".")[0]
    plain = stem.lower() in {m.lower() for m in images} or parse_or_none(stem) in images
    name = label(subject or (first.resolve().parent.name if plain else stem.split("_")[0].removeprefix("sub-")))
    return Case(dataset=UNKNOWN, id=name or "case", subject=name or "case", split="test", images=images)


def parse_or_none(text: str) -> str | None:
    """The modality a text names, or None."""
    try:
        return parse_modality(text)
    except UsageError:
        return None


def find_cases(place: Path, split: Split | None = None) -> list[Case]:
    """Cases of a manifest file, or of a folder in BraTS, BIDS or ISLES form (the form that finds most images).

    Args:
        place: The file or folder.
        split: Of a manifest, only the cases of this split.

    Raises:
        BadInput: If there is no such place.
        NothingToDo: If the folder holds no case.
    """
    if place.is_file():
        return [c for c in Manifest.read(place).cases if split in (None, c.split)]
    if not place.is_dir():
        raise BadInput(f"nothing at {place}", "a folder of cases or a manifest.jsonl", "check the path")
    forms: list[list[Case]] = []
    for form in (brats, bids, isles):
        try:
            forms.append(form.find(place, UNKNOWN))
        except BadInput:
            continue
    best = max(forms, key=lambda cases: sum(len(c.images) for c in cases), default=[])
    if not best:
        raise NothingToDo(f"found no case in {place}; expected BraTS, BIDS or ISLES file names; use --input t1=path")
    return best


def synthesize_cases(
    model: Synthesizer,
    cases: Sequence[Case],
    out: Path,
    *,
    dataset: str | None = None,
    targets: str = "missing",
    overwrite: bool = False,
    reporter: Reporter,
) -> Outcome[Written]:
    """Write the wanted sequences of every case below `out`; what is there already is kept.

    Args:
        model: A loaded model.
        cases: From `find_cases` or `case_of_inputs`.
        out: Root of the derivatives.
        dataset: Style for all cases; None takes each case's own, from its manifest.
        targets: "missing", "all", or names separated by commas.
        overwrite: Write again what is there already.
        reporter: Where to speak.

    Raises:
        UsageError: If the dataset is not said anywhere or unknown to the model.
        NothingToDo: If no case lacks a wanted sequence.
    """
    styles = {c.dataset for c in cases} if dataset is None else {dataset}
    for name in sorted(styles):
        if name == UNKNOWN:
            known = ", ".join(d.name for d in model.card.datasets)
            raise UsageError(
                f"found no --dataset; expected the one the patients belong to: {known}; choose one of them"
            )
        model.card.dataset(name)
    if targets not in ("missing", "all"):
        model.card.mask(tuple(parse_modality(t) for t in targets.split(",")))
    _same_names(cases)
    work = partial(_synthesize_case, model=model, out=out, dataset=dataset, targets=targets, overwrite=overwrite)
    outcome = map_cases(work, cases, [c.id for c in cases], label="synthesize", jobs=1, reporter=reporter)
    new, kept = (sum(len(getattr(w, name)) for w in outcome.results) for name in ("new", "kept"))
    if not (new or kept or outcome.failures):
        raise NothingToDo(f"found all sequences in every case; expected one to lack {targets}; name --targets to make")
    reporter.say(f"{new} volumes written, {kept} kept, {len(outcome.failures)} cases failed: {out}", new=new, kept=kept)
    return outcome


def _same_names(cases: Sequence[Case]) -> None:
    """Two cases must not write the same files."""
    seen: dict[Path, str] = {}
    for case in cases:
        path = output_path(Path(), case, "T1")
        if path in seen:
            raise BadInput(
                f"cases {seen[path]} and {case.id}: one output name {path.name}", "unique names", "rename one"
            )
        seen[path] = case.id


def _synthesize_case(
    case: Case, *, model: Synthesizer, out: Path, dataset: str | None, targets: str, overwrite: bool
) -> Written:
    images = {m: p for m, p in case.images.items() if m in model.card.modalities}
    if not images:
        raise BadInput(
            f"{case.id}: only {', '.join(case.images)}",
            f"one of {', '.join(model.card.modalities)}",
            "use another model",
        )
    try:
        chosen = model.targets(tuple(images), targets)
    except UsageError as error:
        raise BadInput(f"{case.id}: {error}", "another source", "leave the case out") from error
    paths = {target: output_path(out, case, target) for target in chosen}
    kept = [t for t, p in paths.items() if p.is_file() and sidecar_path(p).is_file() and not overwrite]
    missing = [t for t in chosen if t not in kept]
    if missing:
        _describe(out)
        volumes = {m: read_volume(path) for m, path in images.items()}
        digests = {m: sha256(path) for m, path in images.items()}
        names = {m: path.name for m, path in images.items()}
        how = "by --dataset" if dataset else "by the manifest"
        for target, made in model.synthesize_volumes(volumes, dataset or case.dataset, missing).items():
            write_json(sidecar_path(paths[target]), sidecar(made, model, digests, names, how))
            text = f"SYNTHETIC {target} by pmmsynth {version('pmmsynth')}, not acquired"
            write_volume(paths[target], made.volume.data.astype(np.float32), made.volume, text)
    return Written(case, tuple(paths[t] for t in missing), tuple(paths[t] for t in kept))


def _describe(out: Path) -> None:
    """`dataset_description.json` of a BIDS derivative, once."""
    path = out / "dataset_description.json"
    if not path.is_file():
        made_by = {"Name": "pmmsynth", "Version": version("pmmsynth")}
        description = {"Name": "Synthetic MRI sequences", "BIDSVersion": "1.10.0", "DatasetType": "derivative"}
        write_json(path, {**description, "GeneratedBy": [made_by]})
