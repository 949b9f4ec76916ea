"""MRI sequences by name (T1, T2, T1C, FLAIR, DWI, ADC) and synthesis tasks ("T1+T2->FLAIR")."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from pmmsynth.errors import UsageError

KNOWN = ("T1", "T2", "T1C", "FLAIR", "DWI", "ADC")
"""The paper's modalities in the paper's order; further names follow them alphabetically."""

ALIASES = {
    "T1": ("t1", "t1w", "t1n", "t1-weighted"),
    "T2": ("t2", "t2w", "t2-weighted"),
    "T1C": ("t1c", "t1ce", "t1gd", "t1post", "t1km", "t1wce", "ce-gadolinium_t1w"),
    "FLAIR": ("flair", "t2f", "t2flair", "t2-flair"),
    "DWI": ("dwi", "trace", "b1000"),
    "ADC": ("adc",),
}
"""Spellings met in the public datasets; comparison ignores case."""

_BY_ALIAS = {alias: name for name, aliases in ALIASES.items() for alias in aliases}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")


def parse_modality(text: str) -> str:
    """The canonical name of a modality: a known alias, or any further plain name in upper case.

    Raises:
        UsageError: If `text` is not a name (letters and digits, starting with a letter).
    """
    known = _BY_ALIAS.get(text.strip().lower())
    if known:
        return known
    if not _NAME.fullmatch(text.strip()):
        raise UsageError(
            f"found modality {text!r}; expected one of {', '.join(KNOWN)} or another plain name "
            "of letters and digits; check the spelling"
        )
    return text.strip().upper()


def parse_modalities(texts: Iterable[str]) -> tuple[str, ...]:
    """Canonical names, in the order given. Raises UsageError if one is no name, or there twice."""
    names = tuple(map(parse_modality, texts))
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"found {twice[0]} twice; expected each sequence once; leave one out")
    return names


def check_modalities(names: Sequence[str]) -> None:
    """Raise ValueError unless these are canonical names, at least one and none twice."""
    if not names or len(set(names)) < len(names):
        raise ValueError(f"names no modality, or one twice: {', '.join(names)}")
    for name in names:
        if not _NAME.fullmatch(name) or _BY_ALIAS.get(name.lower(), name.upper()) != name:
            raise ValueError(f"{name!r} is not the canonical name of a modality")


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Unique names, the known ones first in the paper's order, then the rest alphabetically."""
    unique = set(names)
    return tuple(n for n in KNOWN if n in unique) + tuple(sorted(unique - set(KNOWN)))


@dataclass(frozen=True)
class Task:
    """One synthesis task: which modalities are given and which one is wanted.

    Example:
        >>> str(Task.parse("t2+t1->flair"))
        'T1+T2->FLAIR'
    """

    sources: tuple[str, ...]
    target: str

    def __post_init__(self) -> None:
        sources = ordered(parse_modality(s) for s in self.sources)
        target = parse_modality(self.target)
        if not sources or target in sources:
            raise UsageError(
                f"found task {'+'.join(sources)}->{target}; expected at least one source and a "
                "target that is not among them; write for example T1+T2->FLAIR"
            )
        object.__setattr__(self, "sources", sources)
        object.__setattr__(self, "target", target)

    @classmethod
    def parse(cls, text: str) -> "Task":
        """Read "T1+T2->FLAIR" (spaces and case do not matter)."""
        left, arrow, right = text.partition("->")
        if not arrow:
            raise UsageError(f"found task {text!r}; expected SOURCES->TARGET; write for example T1+T2->FLAIR")
        return cls(tuple(left.split("+")), right)

    def __str__(self) -> str:
        return f"{'+'.join(self.sources)}->{self.target}"


def source_sets(modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """Every non-empty subset, small ones first: 62 proper ones and the full one for six modalities."""
    return [s for n in range(1, len(modalities) + 1) for s in combinations(ordered(modalities), n)]


def all_tasks(modalities: Sequence[str]) -> list[Task]:
    """Every task these modalities allow: each source set with each target outside it."""
    return [Task(s, t) for s in source_sets(modalities) for t in ordered(modalities) if t not in s]
