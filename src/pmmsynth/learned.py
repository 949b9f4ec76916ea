"""What a model learned from, told by its images: it is never scored on a patient it knows."""

from collections.abc import Iterable, Mapping, Sequence

from pmmsynth.case import Split
from pmmsynth.console import Reporter
from pmmsynth.errors import UsageError
from pmmsynth.store import CaseRecord, PreparedCase

Learned = Mapping[Split, Sequence[str]]
"""Split -> the images of its cases, by the first DIGITS of their sha256."""

DIGITS = 16
BEFORE: Mapping[Split, Sequence[Split]] = {"train": (), "val": ("train",), "test": ("train", "val")}
"""What a case must not have been to the model, by what it is to be scored as."""


def images_of(record: CaseRecord) -> frozenset[str]:
    """The images of a case; masks do not count, two patients may have the same empty one."""
    return frozenset(record.inputs[name][:DIGITS] for name in record.modalities if name in record.inputs)


def learned_from(cases: Iterable[PreparedCase]) -> dict[Split, tuple[str, ...]]:
    """What a card says of the cases a model is trained and validated on."""
    found: dict[Split, set[str]] = {}
    for case in cases:
        found.setdefault(case.record.split, set()).update(images_of(case.record))
    return {split: tuple(sorted(images)) for split, images in sorted(found.items())}


def together(parts: Iterable[Learned | None]) -> Learned | None:
    """What several models learned from; None if one of them does not say."""
    whole: dict[Split, tuple[str, ...]] = {}
    for part in parts:
        if part is None:
            return None
        for split, images in part.items():
            whole[split] = tuple(sorted({*whole.get(split, ()), *images}))
    return whole


def knows(learned: Learned, record: CaseRecord, splits: Iterable[Split]) -> bool:
    """Whether an image of the case was among those of these splits."""
    return any(not images_of(record).isdisjoint(learned.get(split, ())) for split in splits)


def check_unknown(name: str, learned: Learned | None, cases: Sequence[PreparedCase], reporter: Reporter) -> None:
    """See that a model is asked for nothing it learned from; cases of split train are what they say they are.

    Raises:
        UsageError: If it knows one of the cases, whatever store, split or fold they had then.
    """
    if learned is None:
        reporter.remark(f"{name} does not say what it learned from: whether it knows these cases cannot be told")
        return
    known = [case.record for case in cases if knows(learned, case.record, BEFORE[case.record.split])]
    if known:
        first = f"{known[0].dataset}/{known[0].case}"
        raise UsageError(
            f"found {len(known)} of {len(cases)} cases among those {name} learned from, the first {first}; expected "
            "none; choose a model trained without them, such as that of their --fold, or another --split"
        )
