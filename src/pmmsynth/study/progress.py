"""Where a reader stands: the one place that decides what may be seen now."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pmmsynth.study.files import Item, Reader, StudyRecord
from pmmsynth.study.ledger import Ledger


@dataclass(frozen=True)
class Progress:
    """Where a reader stands.

    Attributes:
        sitting: The one that is on or comes next, from 1; the last one when all are done.
        sittings: How many there are.
        done: Reports submitted, over all sittings.
        total: Reports to be written, over all sittings.
        current: The only item the reader may see now, if any.
        opens: When the next sitting opens, while it has not.
        finished: Whether all reports are submitted.
        closed: Whether the study has ended.
    """

    sitting: int
    sittings: int
    done: int
    total: int
    current: Item | None
    opens: datetime | None
    finished: bool
    closed: bool


def progress(record: StudyRecord, ledger: Ledger, reader: Reader, now: datetime) -> Progress:
    """Items come one at a time, in their order; a sitting opens when the wash-out after the one before is over."""
    submitted = ledger.submitted(reader.code)
    closed = ledger.closed is not None
    opens = current = None
    number = len(reader.sittings)
    for number, sitting in enumerate(reader.sittings, 1):
        if current := next((item for item in sitting if item.id not in submitted), None):
            if number > 1 and current == sitting[0]:
                before = max(submitted[item.id] for item in reader.sittings[number - 2])
                opens = before + timedelta(days=record.washout_days)
            break
    finished = current is None
    waits = opens is not None and now < opens
    return Progress(
        sitting=number,
        sittings=len(reader.sittings),
        done=len(submitted),
        total=len(reader.items),
        current=None if waits or closed else current,
        opens=opens if waits and not closed else None,
        finished=finished,
        closed=closed,
    )
