"""Make a reading study: the folder that is shown and, elsewhere, the key to it. The same call again goes on."""

import csv
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

from pydantic import ValidationError

from pmmsynth.atomic import only_writer, replacing, sweep, write_json
from pmmsynth.case import Split
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.evaluate.method import Method
from pmmsynth.infer import Synthesizer
from pmmsynth.learned import check_unknown
from pmmsynth.manifest import first_message
from pmmsynth.modality import KNOWN, Task
from pmmsynth.reading.reports import ALL
from pmmsynth.store import PreparedCase, Store
from pmmsynth.study.files import (
    IMAGES,
    KEY,
    ORGANISER,
    REQUEST,
    STUDY,
    TOKENS,
    Item,
    KeyRecord,
    Reader,
    Request,
    Shown,
    StudyRecord,
    read_key,
    read_request,
    read_study,
    token_digest,
)
from pmmsynth.study.form import Form
from pmmsynth.study.images import mean_levels, write_images
from pmmsynth.study.montage import write_montage
from pmmsynth.study.plan import MIN_CASES, plan
from pmmsynth.study.sets import SETS


@dataclass(frozen=True)
class Source:
    """What studies are made from.

    Attributes:
        cases: With all sequences.
        method: The model.
    """

    cases: Sequence[PreparedCase]
    method: Method

    @classmethod
    def of(cls, store: Store, model: Path, split: Split, reporter: Reporter) -> "Source":
        """Find them.

        Raises:
            BadInput: If there are too few cases with all sequences.
            UsageError: If the model cannot make what the sets need, or learned from one of the cases.
        """
        everyone = list(store.cases(split))
        cases = [case for case in everyone if set(KNOWN) <= set(case.record.modalities)]
        if len(cases) < MIN_CASES:
            raise BadInput(
                f"{len(cases)} of {len(everyone)} cases of {split} with {', '.join(KNOWN)} in {store.root}",
                f"at least {MIN_CASES}",
                "choose another --split, or prepare more cases",
            )
        if left := len(everyone) - len(cases):
            reporter.remark(f"{left} of {len(everyone)} cases of {split} lack sequences: left out", left_out=left)
        if len(cases) < len(SETS):
            reporter.remark(f"{len(cases)} cases: a sitting then lacks some of the {len(SETS)} sets", cases=len(cases))
        names = tuple(dict.fromkeys(case.record.dataset for case in cases))
        made_in_full = Synthesizer.load(model, precision="float32")  # bf16 has steps of its own, which would tell
        method = Method.of([made_in_full], [model], replace(store, only=names))
        check_unknown("the model", method.learned, cases, reporter)
        for task in (Task(shown.real, target) for shown in SETS for target in shown.synthesized):
            if unable := [name for name in names if not method.can(task, name)]:
                raise UsageError(
                    f"found a model that cannot do {task} in {unable[0]}; expected it; choose another model"
                )
        return cls(cases, method)

    @property
    def data(self) -> str:
        """SHA-256 over names and arrays of the cases."""
        lines = [f"{_name(case)} {sorted(case.record.arrays.items())}" for case in self.cases]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def create(
    source: Source,
    out: Path,
    key_folder: Path,
    *,
    readers: Sequence[str],
    title: str,
    washout_days: float,
    form: Form,
    seed: int | None,
    reporter: Reporter,
) -> StudyRecord:
    """Make the study, or finish one that was broken off, or find it finished.

    Args:
        source: Cases and model.
        out: Folder of the study.
        key_folder: What tells which images are real.
        readers: Codes of the radiologists.
        title: Shown to them.
        washout_days: Between the last report of a sitting and the first of the next.
        form: What they choose from.
        seed: Of all lots; drawn if None.
        reporter: Where to speak.

    Raises:
        UsageError: If the folders are taken, or hold a study made from something else, or another process makes one.
        BadInput: If a file of them is damaged.
    """
    _check_apart(out, key_folder)
    _check_readers(readers)
    with only_writer(out), only_writer(key_folder):  # two at once would keep one key and the images of the other
        _check_folders(out, key_folder)
        started = (key_folder / KEY).is_file()
        if seed is None:
            seed = read_request(key_folder).seed if started else secrets.randbits(64)
        try:
            request = Request(
                folder=str(out.resolve()),
                title=title,
                readers=tuple(readers),
                washout_days=washout_days,
                types=form.types,
                grades=form.grades,
                seed=seed,
                model=source.method.digest,
                data=source.data,
            )
        except ValidationError as error:
            raise UsageError(f"found {first_message(error)}; expected values a study can have; correct it") from error
        if started:
            _check_same(read_request(key_folder), request, out)
            sweep(key_folder)
            sweep(out)
        else:
            _write_key(key_folder, request, source)
        key = read_key(key_folder)
        _write_images(out, key, source, reporter)
        for case in source.cases:
            write_montage(key_folder, out, key, case, _name(case))
        return read_study(out) if (out / STUDY).is_file() else _write_study(out, key, request, source)


def _check_apart(out: Path, key_folder: Path) -> None:
    one, other = out.resolve(), key_folder.resolve()
    if one.is_relative_to(other) or other.is_relative_to(one):
        raise UsageError(
            f"found the key at {key_folder} and the study at {out}; expected neither inside the other; change --key"
        )


def _check_folders(out: Path, key_folder: Path) -> None:
    if (key_folder / KEY).is_file():
        if (out / STUDY).is_file():
            if read_study(out).id != read_key(key_folder).study:
                raise UsageError(
                    f"found the key of another study in {key_folder}; expected that of {out}; change --key"
                )
        elif (made := read_request(key_folder).folder) != str(out.resolve()):
            raise UsageError(f"found the key of the study in {made}; expected one of {out}; change --key, or --out")
        return
    if (out / STUDY).is_file():
        raise UsageError(f"found a study in {out} and no {KEY} in {key_folder}; expected its key; change --key")
    for folder in (out, key_folder):  # a kill may have left hidden files and the request
        if folder.is_dir() and any(p.name != REQUEST and not p.name.startswith(".") for p in folder.iterdir()):
            raise UsageError(f"found files in {folder}; expected a new folder; choose another")


def _check_readers(readers: Sequence[str]) -> None:
    if not readers or len(set(readers)) < len(readers) or {ORGANISER, ALL} & {*readers}:
        raise UsageError(
            f"found the readers {', '.join(readers) or '(none)'}; expected at least one, each once, none called "
            f"{ORGANISER} or {ALL}; give --reader A --reader B"
        )


def _check_same(there: Request, asked: Request, out: Path) -> None:
    """A study is finished as it was begun."""
    names = [name for name in Request.model_fields if name != "folder"]  # both may have been moved
    values = [(name, getattr(there, name), getattr(asked, name)) for name in names]
    if other := [f"{name} ({_brief(one)}, not {_brief(two)})" for name, one, two in values if one != two]:
        raise UsageError(
            f"found a study in {out} with another {' and '.join(other)}; expected the same; give that, or new folders"
        )


def _write_key(key_folder: Path, request: Request, source: Source) -> None:
    """Names come from the system's randomness, so that neither seed nor case nor set leads to them."""
    shown = [
        Shown(case=_name(case), set=each.name, real=each.real, synthesized=each.synthesized)
        for case in source.cases
        for each in SETS
    ]
    secrets.SystemRandom().shuffle(shown)
    key = KeyRecord(
        study=secrets.token_hex(8),
        images={secrets.token_hex(8): each for each in shown},
        model=request.model,
        seed=request.seed,
    )
    key_folder.mkdir(parents=True, exist_ok=True)
    key_folder.chmod(0o700)
    write_json(key_folder / REQUEST, request.model_dump(mode="json"))
    write_json(key_folder / KEY, key.model_dump(mode="json"))


def _write_images(out: Path, key: KeyRecord, source: Source, reporter: Reporter) -> None:
    """In the random order of the key, so that no order or number of the file system tells what is what."""
    missing = {name: shown for name, shown in key.images.items() if not (out / IMAGES / name).is_dir()}
    if not missing:
        return
    cases = {_name(case): case for case in source.cases}
    sets = {each.name: each for each in SETS}
    means = mean_levels(source.cases, KNOWN)
    with reporter.progress("images", len(key.images), len(key.images) - len(missing)) as advance:
        for name, shown in missing.items():
            case, by = cases[shown.case], source.method
            write_images(out / IMAGES / name, case, sets[shown.set], KNOWN, means, by)
            advance()


def _write_study(out: Path, key: KeyRecord, request: Request, source: Source) -> StudyRecord:
    """Tokens first, the study last: with it everything is there."""
    folders = {(shown.case, shown.set): name for name, shown in key.images.items()}
    tokens = {who: secrets.token_urlsafe(16) for who in (ORGANISER, *request.readers)}
    plans = plan(len(source.cases), len(SETS), len(request.readers), request.seed)
    readers = []
    for code, sittings in zip(request.readers, plans, strict=True):
        items = tuple(
            tuple(
                Item(id=secrets.token_hex(8), images=folders[_name(source.cases[place.case]), SETS[place.set].name])
                for place in sitting
            )
            for sitting in sittings
        )
        readers.append(Reader(code=code, token=token_digest(tokens[code]), sittings=items))
    record = StudyRecord(
        id=key.study,
        title=request.title,
        sequences=KNOWN,
        washout_days=request.washout_days,
        types=request.types,
        grades=request.grades,
        organiser=token_digest(tokens[ORGANISER]),
        readers=tuple(readers),
    )
    table = StringIO()
    csv.writer(table, lineterminator="\n").writerows([("who", "token"), *tokens.items()])
    with replacing(out / TOKENS) as temporary:
        temporary.chmod(0o600)
        temporary.write_text(table.getvalue(), encoding="utf-8")
    write_json(out / STUDY, record.model_dump(mode="json"))
    return record


def _name(case: PreparedCase) -> str:
    return f"{case.record.dataset}/{case.record.case}"


def _brief(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
