"""Labels in impressions, and how well the labels of one set of reports agree with those of the reference."""

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pmmsynth.errors import BadInput
from pmmsynth.reading.agreement import kappa
from pmmsynth.reading.bootstrap import Array, Estimate, estimate, ratio
from pmmsynth.reading.reports import ALL, Report, Study

MACRO, MICRO = "macro", "micro"
LONGEST_ITEM = 3
"""Words of an item in a negated list, a term counting as one; what is longer says something of its own."""


class Negation(BaseModel):
    """Words and phrases that take a label back or do not, see labels.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    before: list[str] = []
    lacks: list[str] = []
    anything: list[str] = []
    concludes: list[str] = []
    after: list[str] = []
    together: list[str] = ["and", "or"]
    ends: list[str] = []
    ignored: list[str] = []
    joins: list[Annotated[str, Field(pattern=r"[^\W_]")]] = ["or", "nor"]


class LabelFile(BaseModel):
    """A file of labels as it is written: every label with its further terms."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alone: list[str] = []
    labels: dict[str, list[str]] = Field(min_length=1)
    negation: Negation = Negation()


class Labels:
    """Finds labels in a text.

    Example:
        Labels.read().find("Glioblastoma; no metastases.") == {"glioblastoma"}
    """

    def __init__(self, source: LabelFile) -> None:
        self.names = list(source.labels)
        if totals := {ALL, MACRO, MICRO} & {*self.names}:
            raise ValueError(f"a label called {min(totals)}, which stands for totals over labels")
        self._alone = {*source.alone}
        if unknown := self._alone - {*self.names}:
            raise ValueError(f"{min(unknown)!r} under alone is no label")
        self._kinds: dict[str, tuple[str, str]] = {}
        terms = [("label", name, [name, *more]) for name, more in source.labels.items()]
        found = source.negation.model_dump(exclude={"joins", "together"})
        terms += [(kind, "", phrases) for kind, phrases in found.items()]
        for kind, name, phrases in terms:
            for phrase in phrases:
                if not (term := _without_commas(_plain(phrase))):
                    raise ValueError(f"an empty term of {name or kind}")
                if self._kinds.setdefault(term, (kind, name)) != (kind, name):
                    raise ValueError(f"{phrase!r} under {name or kind} and {' '.join(self._kinds[term]).strip()}")
        self._pattern = _any_of(_plain(phrase) for _, _, phrases in terms for phrase in phrases)
        self._tokens = re.compile(f"{self._pattern.pattern}|,")
        self._negating = _any_of(map(_plain, source.negation.before))
        self._concluding = _any_of(map(_plain, source.negation.concludes))
        self._joins = _any_of(map(_plain, source.negation.joins))
        self._together = {*map(_plain, source.negation.together)}

    @classmethod
    def read(cls, path: Path | None = None) -> "Labels":
        """Read a file, or the one that comes with the package. Raises BadInput with what is wrong in it."""
        try:
            text = (path or files("pmmsynth.reading").joinpath("labels.toml")).read_text(encoding="utf-8")
            return cls(LabelFile.model_validate(tomllib.loads(text)))
        except ValidationError as error:
            first = error.errors()[0]
            raise BadInput(
                f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}", "a file of labels", "correct it"
            ) from error
        except (ValueError, OSError, RecursionError) as error:
            raise BadInput(f"{path}: {error}", "a file of labels in TOML", "correct it or the path") from error

    def find(self, text: str) -> set[str]:
        """The labels of a text that are not negated; those that stand alone, only where there is no other."""
        sentences = re.split(r"[;\n；。]|\.(?!\d)", text)
        found = {name for sentence in sentences for name in self._affirmed(_plain(sentence))}
        return found - self._alone or found

    def _affirmed(self, sentence: str) -> list[str]:
        affirmed: list[str] = []
        clause = 0  # how many were affirmed before it
        last = 0  # how many before those that an "excluded" here would take back
        end = 0  # of the last affirmed
        negated = ""  # or by what: before, lacks
        named = False  # any label, affirmed or not
        for match in self._tokens.finditer(sentence):
            kind, name = self._kinds.get(_without_commas(match[0]), ("comma", ""))
            if kind == "label":
                named = True
                if not negated:
                    if sentence[end : match.start()].strip() not in self._together:
                        last = len(affirmed)
                    affirmed.append(name)
                    end = match.end()
                if self._negating.match(match[0]):  # "no abnormality suspicious for metastasis"
                    negated = "before"
            elif kind in ("before", "lacks"):
                negated = kind
            elif kind == "anything" and negated:
                negated = "before"
            elif kind == "ends" or (kind == "concludes" and negated == "lacks"):
                negated = ""
            elif kind == "after":
                del affirmed[max(last, clause) :]
            elif kind == "comma":
                clause = len(affirmed)
                if not ((named or negated == "before") and self._is_list(sentence[match.end() :])):
                    negated = ""
        return affirmed

    def _is_list(self, rest: str) -> bool:
        """Whether what follows a comma goes on with a list: short items, none a conclusion, up to a word that joins."""
        for part in rest.split(","):
            item, *last = self._joins.split(part.strip(), maxsplit=1)
            if len(self._pattern.sub("term", item).split()) > LONGEST_ITEM or self._concluding.match(item):
                return False
            if last:
                return True
        return False


@dataclass(frozen=True)
class LabelScore:
    """How the impressions of a set agree with the reference on one label, or on all (`macro`, `micro`).

    Attributes:
        set: The set of images.
        reader: A reader, or `all`: the counts of all readers together.
        label: The label; `macro`: the mean over labels the reference has; `micro`: of the sums over all labels.
        tp: Reports with the label in both.
        fp: In the set alone.
        fn: In the reference alone.
        precision: NaN where nothing was to divide; as 0 in the mean over labels.
        recall: NaN for labels the reference does not have.
        f1: The same, with its interval over cases.
        unlabelled: Impressions without any label among those compared, of the set and of the reference.
    """

    set: str
    reader: str
    label: str
    tp: int
    fp: int
    fn: int
    precision: float
    recall: float
    f1: Estimate
    unlabelled: int


def found_labels(study: Study, labels: Labels) -> dict[Report, set[str] | None]:
    """The labels of every report; None for an empty impression."""
    return {r: labels.find(r.impression) if r.impression else None for r in study.reports.values()}


def label_scores(
    study: Study,
    found: dict[Report, set[str] | None],
    names: Sequence[str],
    name: str,
    readers: Sequence[str],
    who: str,
) -> list[LabelScore]:
    """Rows of the labels that occur, then `macro` and `micro`: the set `name` against the same readers' reference."""
    counts: dict[str, Array] = {}
    unlabelled = 0
    for case in study.cases:
        for reader in readers:
            reports = [study.reports.get((reader, case, s)) for s in (study.reference, name)]
            truth, given = (found[r] if r else None for r in reports)
            if truth is not None and given is not None:
                row = [(n in truth and n in given, n in given - truth, n in truth - given) for n in names]
                counts[case] = counts.get(case, 0) + np.array(row, dtype=np.float64)
                unlabelled += [truth, given].count(set())
    if not counts or not names:
        return []
    stacked = np.array(list(counts.values()))  # case, label, (tp, fp, fn)
    parts = {label: stacked[:, [i]] for i, label in enumerate(names) if stacked[:, i].any()}
    parts |= {MACRO: stacked, MICRO: stacked.sum(axis=1, keepdims=True)}
    return [_row(name, who, label, part, unlabelled) for label, part in parts.items()]


def _row(name: str, who: str, label: str, counts: Array, unlabelled: int) -> LabelScore:
    """One row; `macro` averages over the labels of `counts`, any other has one label."""

    def averaged(weights: Array, figure: int = 2) -> Array:
        """Precision, recall or F1 (0, 1, 2): the mean over labels the reference has; a precision of 0 / 0 is 0."""
        tp, fp, fn = np.moveaxis(np.tensordot(weights, counts, axes=1), 2, 0)  # each: resample, label
        divisor = (tp + fp, tp + fn, tp + (fp + fn) / 2)[figure]
        present = tp + fn > 0
        return ratio((ratio(tp, divisor, 0.0) * present).sum(axis=1), present.sum(axis=1).astype(np.float64))

    once = np.ones((1, len(counts)))
    precision, recall = (float(averaged(once, figure)[0]) for figure in (0, 1))
    tp, fp, fn = counts.sum(axis=(0, 1)).astype(int).tolist()
    if label != MACRO:
        precision = tp / (tp + fp) if tp + fp else float("nan")
    return LabelScore(name, who, label, tp, fp, fn, precision, recall, estimate(averaged, len(counts)), unlabelled)


@dataclass(frozen=True)
class LabelAgreement:
    """Kappa of the readers on one label, or on all labels together, in one set."""

    set: str
    label: str
    kappa: Estimate


def label_agreement(
    study: Study, found: dict[Report, set[str] | None], names: Sequence[str], name: str
) -> list[LabelAgreement]:
    """Of the cases of which all readers of the set wrote an impression: the labels that have a kappa, then `all`."""
    readers = [r for r in study.readers if any((r, case, name) in study.reports for case in study.cases)]
    ratings = []
    for case in study.cases:
        reports = [study.reports.get((reader, case, name)) for reader in readers]
        given = [found[r] if r else None for r in reports]
        if all(g is not None for g in given):
            ratings.append([[label in (g or ()) for g in given] for label in names])
    if len(readers) < 2 or not ratings or not names:
        return []
    array = np.array(ratings, dtype=bool)
    rows = [LabelAgreement(name, label, kappa(array[:, [i]])) for i, label in enumerate(names)]
    return [*(row for row in rows if not np.isnan(row.kappa.value)), LabelAgreement(name, ALL, kappa(array))]


def _any_of(terms: Iterable[str]) -> re.Pattern[str]:
    """Whole words, the longest term first, a comma in it or none; of no terms, nothing."""
    longest = (re.escape(term).replace(",", ",?") for term in sorted(terms, key=lambda term: (-len(term), term)))
    return re.compile(rf"(?<!\w)(?:{'|'.join(longest) or '(?!)'})(?!\w)")


def _plain(text: str) -> str:
    """Small letters, hyphens and brackets as spaces, single spaces and none before a comma."""
    return re.sub(r" ?[,，] ?", ", ", " ".join(re.sub(r"[-‐‑–_()\[\]]", " ", text.casefold()).split())).strip(" ,")


def _without_commas(term: str) -> str:
    return term.replace(",", "")
