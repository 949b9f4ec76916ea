"""Labels of an impression: the diagnoses it names and does not take back, by a list that a person can edit."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pmmsynth.errors import BadInput
from pmmsynth.reading.reports import ALL

MACRO, MICRO = "macro", "micro"
UNLISTED = ""
"""Stands for a diagnosis without a label."""
LONGEST_ITEM, LONGEST_LIST = 3, 20
"""Words of an item in a negated list, a term counting as one (what is longer says something of its own), and items."""
ENDS_A_SENTENCE = re.compile(r"[;\n\r!?…；。]|\.(?!\d)")
ALONE = re.compile(r"(?<!\S)[-‐-―−]+(?!\S)")  # a dash between blanks
JOINING = re.compile(r"[-‐-―−_()\[\]]")
MARK = re.compile(r" ?[,，:：] ?")


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
    """A file of labels as it is written, see labels.toml: every label with its further terms, and how to read texts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alone: list[str] = []
    unlisted: list[str] = []
    plural: str = ""
    skipped: list[str] = []
    general: dict[str, list[str]] = {}
    labels: dict[str, list[str]] = Field(min_length=1)
    spelling: dict[str, list[str]] = {}
    negation: Negation = Negation()


class Labels:
    """Finds labels in a text.

    Example:
        Labels.read().find("Glioblastoma; no metastases.") == {"glioblastoma"}
    """

    def __init__(self, source: LabelFile) -> None:
        self.names = list(source.labels)
        if totals := {ALL, MACRO, MICRO, UNLISTED} & {*self.names}:
            raise ValueError(f"a label called {min(totals)}, which stands for totals over labels or for none")
        self._alone = {*source.alone}
        self._general = {name: {*narrower} for name, narrower in source.general.items()}
        for place, names in (("alone", self._alone), ("general", {*self._general}.union(*self._general.values()))):
            if unknown := names - {*self.names}:
                raise ValueError(f"{min(unknown)!r} under {place} is no label")
        self._plain = read = _Wording(source)
        self._kinds: dict[str, tuple[str, str]] = {}
        for kind, name, phrase in _terms(source):
            if not (term := read(phrase)):
                raise ValueError(f"an empty term of {name or kind}")
            if self._kinds.setdefault(_unmarked(term), (kind, name)) != (kind, name):
                taken = " ".join(self._kinds[_unmarked(term)]).strip()
                raise ValueError(f"{phrase!r} under {name or kind} and {taken}")
        labels = _with_plurals([read(phrase) for kind, _, phrase in _terms(source) if kind == "label"], source.plural)
        for term, one in labels.items():
            self._kinds.setdefault(_unmarked(term), self._kinds[_unmarked(one)])
        self._labels = _any_of(labels)
        self._pattern = _any_of([*labels, *(read(phrase) for kind, _, phrase in _terms(source) if kind != "label")])
        self._tokens = re.compile(f"{self._pattern.pattern}|[,:]")
        self._negating = _any_of(map(read, source.negation.before))
        self._concluding = _any_of(map(read, source.negation.concludes))
        self._joins = _any_of(map(read, source.negation.joins))
        self._together = {*map(read, source.negation.together)}

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
        """The labels of a text that are not taken back.

        Those that stand alone only where nothing else is found, general ones only without one that is narrower.
        """
        found = {name for sentence in ENDS_A_SENTENCE.split(text) for name in self._affirmed(self._plain(sentence))}
        found = found - self._alone or found
        return {name for name in found if not found & self._general.get(name, set())} - {UNLISTED}

    def _affirmed(self, sentence: str) -> list[str]:
        affirmed: list[str] = []
        clause = 0  # how many were affirmed before it
        last = 0  # how many before those that an "excluded" here would take back
        end = 0  # of the last affirmed
        negated = ""  # or by what: before, lacks
        named = False  # any label, affirmed or not
        before, place = "", 0  # the last token: its kind and where it ends
        for match in self._tokens.finditer(sentence):
            kind, name = self._kind(match, sentence)
            adjacent = not sentence[place : match.start()].strip()
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
                # an answer reaches over the mark before it: "lymphoma: none"
                answers = adjacent and before in (",", ":") and _ends_clause(sentence[match.end() :])
                del affirmed[last if answers else max(last, clause) :]
            elif kind == ",":
                clause = len(affirmed)
                if not ((named or negated == "before") and self._is_list(sentence[match.end() :])):
                    negated = ""
            elif kind == ":":
                clause = len(affirmed)
                if not (adjacent and before in ("before", "lacks")):  # "negative for: infarct"
                    negated = ""
            before, place = kind, match.end()
        return affirmed

    def _kind(self, match: re.Match[str], sentence: str) -> tuple[str, str]:
        """What a token is where it stands: "absent infarct", "infarct absent", "unlikely glioma", "glioma unlikely"."""
        term, rest = _unmarked(match[0]), sentence[match.end() :]
        kind, name = self._kinds.get(term, (match[0], ""))
        if kind == "before" and _ends_clause(rest, ","):
            return "after", ""
        if kind == "after" and self._labels.match(rest.lstrip(" " if sentence[: match.start()] else " :")):
            return "before", ""
        return kind, name

    def _is_list(self, rest: str) -> bool:
        """Whether what follows a comma goes on with a list: short items, none a conclusion, up to a word that joins."""
        for part in rest.partition(":")[0].split(",", LONGEST_LIST)[:LONGEST_LIST]:
            item, *last = self._joins.split(part.strip(), maxsplit=1)
            if len(self._pattern.sub("term", item).split()) > LONGEST_ITEM or self._concluding.match(item):
                return False
            if last:
                return True
        return False


class _Wording:
    """A text in the words of the file: small letters, one blank between words, commas and colons as the only marks.

    Hyphens and brackets are blanks, a dash between blanks is a colon; words to skip are gone, spellings are one.
    """

    def __init__(self, source: LabelFile) -> None:
        self._skipped = _any_of(map(_simple, source.skipped))
        forms: dict[str, str] = {}
        for one, variants in source.spelling.items():
            for form in variants:
                if forms.setdefault(self._without(_simple(form)), _simple(one)) != _simple(one):
                    raise ValueError(f"{form!r} under {one} and {forms[self._without(_simple(form))]}")
        if not all([*map(_simple, source.skipped), *forms, *forms.values()]):
            raise ValueError("an empty word under skipped or spelling")
        self._forms = {_unmarked(form): forms[one] for form, one in _with_plurals(forms, source.plural).items()}
        self._spelled = _any_of(_with_plurals(forms, source.plural))

    def __call__(self, text: str) -> str:
        return self._spelled.sub(lambda found: self._forms[_unmarked(found[0])], self._without(_simple(text)))

    def _without(self, text: str) -> str:
        kept = " ".join(self._skipped.sub(" ", text).split())
        return re.sub(r" ?([,:])(?: ?[,:])*", r"\1", kept).strip(" ,:")


def _terms(source: LabelFile) -> Iterator[tuple[str, str, str]]:
    """Of what kind, of which label, a word or phrase."""
    for name, more in source.labels.items():
        yield from (("label", name, phrase) for phrase in (name, *more))
    yield from (("label", UNLISTED, phrase) for phrase in source.unlisted)
    for kind, phrases in source.negation.model_dump(exclude={"joins", "together"}).items():
        yield from ((kind, "", phrase) for phrase in phrases)


def _with_plurals(terms: Iterable[str], plural: str) -> dict[str, str]:
    """Every term by itself and by its plural; what is a term itself stays that."""
    terms = list(terms)
    return {term + plural.casefold(): term for term in terms} | {term: term for term in terms}


def _any_of(terms: Iterable[str]) -> re.Pattern[str]:
    """Whole words, the longest term first, a comma or colon in place of its comma or none; of no terms, nothing."""
    longest = (re.escape(term).replace(",", "[,:]?") for term in sorted(terms, key=lambda term: (-len(term), term)))
    return re.compile(rf"(?<!\w)(?:{'|'.join(longest) or '(?!)'})(?!\w)")


def _simple(text: str) -> str:
    """Small letters, straight apostrophes, a dash between blanks as a colon, others and brackets as blanks."""
    straight = re.sub("[’ʼ‘]", "'", text.casefold().replace("\u00ad", ""))
    return MARK.sub(lambda mark: f"{':' if mark[0].strip() in ':：' else ','} ", _spaced(straight)).strip(" ,:")


def _spaced(text: str) -> str:
    return " ".join(JOINING.sub(" ", ALONE.sub(" : ", text)).split())


def _ends_clause(rest: str, marks: str = ",:") -> bool:
    return not rest.strip() or rest.lstrip()[0] in marks


def _unmarked(term: str) -> str:
    return term.replace(",", "").replace(":", "")
