"""The list of all cases, and the rule that a patient stays in one split."""

import hashlib
import json
from codecs import BOM_UTF8
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from pmmsynth.atomic import write_text
from pmmsynth.case import SPLITS, Case, Split
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.modality import ordered


class Manifest(BaseModel):
    """Cases of one or more datasets; dataset ids are positions in `datasets`.

    Refuses to exist with a patient in two splits (within or across datasets), two cases of one name in a dataset,
    or an empty dataset: a `ValueError` says which.
    """

    model_config = ConfigDict(frozen=True)

    datasets: tuple[str, ...]
    cases: tuple[Case, ...]

    @model_validator(mode="after")
    def _holds_together(self) -> "Manifest":
        twice = [k for k, n in Counter((c.dataset, c.id) for c in self.cases).items() if n > 1]
        if twice:
            raise ValueError(f"found two cases named {twice[0][1]} in {twice[0][0]}; expected unique names; rename one")
        counts = Counter(c.dataset for c in self.cases)
        if set(counts) - set(self.datasets):
            raise ValueError(
                f"found cases of unlisted datasets {sorted(set(counts) - set(self.datasets))}; "
                "expected every dataset in datasets.json; list them"
            )
        empty = [name for name in self.datasets if not counts[name]]
        if empty:
            raise ValueError(f"found no case in dataset {empty[0]}; expected at least one; check its root and layout")
        splits: dict[str, set[Split]] = defaultdict(set)
        for case in self.cases:
            splits[case.subject].add(case.split)
        leaks = {s: v for s, v in splits.items() if len(v) > 1}
        if leaks:
            subject, where = next(iter(leaks.items()))
            raise ValueError(
                f"found patient {subject} in splits {', '.join(sorted(where))} ({len(leaks)} such "
                "patients); expected one split per patient; fix the split"
            )
        return self

    @property
    def modalities(self) -> tuple[str, ...]:
        """The union over all datasets (C), in order."""
        return ordered(m for c in self.cases for m in c.modalities)

    def coverage(self) -> dict[str, dict[str, int]]:
        """Dataset -> modality -> number of cases that have it."""
        table = {name: dict.fromkeys(self.modalities, 0) for name in self.datasets}
        for case in self.cases:
            for modality in case.modalities:
                table[case.dataset][modality] += 1
        return table

    def write(self, path: Path) -> None:
        """Write the cases as JSON lines and, beside them, `datasets.json` (order, coverage, cases per split)."""
        write_text(path, "".join(c.model_dump_json(exclude_defaults=True) + "\n" for c in self.cases))
        splits = {
            name: {s: sum(c.dataset == name and c.split == s for c in self.cases) for s in SPLITS}
            for name in self.datasets
        }
        table = [
            {"id": i, "name": name, "cases": splits[name], "coverage": self.coverage()[name]}
            for i, name in enumerate(self.datasets)
        ]
        write_text(path.parent / "datasets.json", json.dumps({"datasets": table}, indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Read what `write` wrote. Raises BadInput with the line at fault."""
        if not path.is_file():
            raise BadInput(f"no manifest at {path}", "a manifest.jsonl", "run pmmsynth prepare first")
        cases = []
        for number, line in enumerate(path.read_bytes().removeprefix(BOM_UTF8).splitlines(), 1):
            try:
                cases.append(Case.model_validate_json(line))
            except (ValidationError, UsageError) as error:  # UsageError: a modality of no name
                reason = first_message(error) if isinstance(error, ValidationError) else str(error)
                raise BadInput(f"{path}, line {number}: {reason}", "one case per line", "correct the line") from error
        if not cases:
            raise BadInput(f"{path}: no line", "a case in each", "prepare again")
        table = path.parent / "datasets.json"
        names = list(dict.fromkeys(c.dataset for c in cases))
        if table.is_file():  # of the whole, of which these may be some lines
            try:
                known = [row["name"] for row in json.loads(table.read_text(encoding="utf-8"))["datasets"]]
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise BadInput(
                    f"{table}: {type(error).__name__}: {error}", "the table beside a manifest", "prepare again"
                ) from error
            names = [name for name in known if name in names]
        return build(names, cases, str(path))


def build(datasets: Sequence[str], cases: Sequence[Case], origin: str) -> Manifest:
    """A Manifest, or BadInput naming `origin` when the cases do not hold together."""
    try:
        return Manifest(datasets=tuple(datasets), cases=tuple(cases))
    except ValidationError as error:
        raise BadInput(f"{origin}: {first_message(error)}", "a consistent list of cases", "see above") from error


def split_patients(
    subjects: Iterable[str], placed: Mapping[str, Split], *, seed: int, val: float, test: float
) -> dict[str, Split]:
    """The splits of one dataset's patients that are not yet in `placed`.

    Patients are ranked by a hash of seed and name, and the ranking is cut: the first for test, the next for val, so
    the numbers are exact and the result depends on no order of files. A split with a positive fraction gets at least
    one of three or more patients. Patients placed before (by another dataset) keep their split and count.
    """
    everyone = set(subjects)
    counts = Counter(placed[s] for s in everyone if s in placed)
    free = sorted(everyone - set(placed), key=lambda s: hashlib.sha256(f"{seed}:{s}".encode()).digest())
    least = int(len(everyone) >= 3)
    wanted = [max(round(len(everyone) * share), least * (share > 0)) for share in (test, val)]
    n_test = min(max(wanted[0] - counts["test"], 0), len(free))
    n_val = min(max(wanted[1] - counts["val"], 0), len(free) - n_test)
    return {s: "test" if i < n_test else "val" if i < n_test + n_val else "train" for i, s in enumerate(free)}


def first_message(error: ValidationError) -> str:
    """The first problem of a pydantic error in one line."""
    problem = error.errors()[0]
    place = ".".join(str(p) for p in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
