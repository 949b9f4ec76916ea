"""What happens in a reading study, in one SQLite file: drafts, submitted reports, its end, a log of every action."""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, NamedTuple

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    func,
    insert,
    select,
)
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError

from pmmsynth.errors import PmmsynthError
from pmmsynth.study.files import ORGANISER

REPORTS = "reports.sqlite"
LONGEST_TEXT = 20_000
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
NO_FINDINGS = "Findings are missing."
NO_IMPRESSION = "An impression is missing: choose a type or write it."


class Locked(PmmsynthError):
    """The report was submitted and stays as it is."""

    def __init__(self) -> None:
        super().__init__("found a report that was submitted; expected one that is open; go on with the next")


class Closed(PmmsynthError):
    """The study has ended."""

    def __init__(self) -> None:
        super().__init__("found a study that has ended; expected one that is open; ask the organiser")


class Overtaken(PmmsynthError):
    """The draft is no longer the one that the text began from."""

    def __init__(self) -> None:
        super().__init__("found a newer text than this page began from; expected none; choose between the two")


class Incomplete(PmmsynthError):
    """The report lacks what none can do without; the message says what."""


class NotKept(PmmsynthError):
    """The file cannot be written: no room, no permission, another process holds it for too long, or it is damaged."""

    exit_code = 4


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class Draft:
    """A report as far as it is written.

    Attributes:
        findings: Free text.
        type: Diagnosis, one of the study's; empty while none is chosen.
        grade: One of the study's; empty while none is chosen.
        impression: Free text.
        confidence: From 1 to 5; 0 while not given.
    """

    findings: Text = ""
    type: Text = ""
    grade: Text = ""
    impression: Text = ""
    confidence: Annotated[int, Field(ge=0, le=5)] = 0

    @property
    def revision(self) -> str:
        """Follows from the text alone, and tells it from every other."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()

    @property
    def missing(self) -> str:
        """What a report cannot do without and this one lacks, in words; empty if nothing."""
        if not self.findings.strip():
            return NO_FINDINGS
        return "" if self.type or self.impression.strip() else NO_IMPRESSION


BLANK = Draft().revision
"""Of a report that nobody has begun."""


class Submitted(NamedTuple):
    """A report that is final."""

    reader: str
    item: str
    draft: Draft
    when: datetime


class Action(NamedTuple):
    """A line of the log."""

    when: datetime
    who: str
    action: str
    item: str
    detail: str


_tables = MetaData()
_drafts = Table(
    "drafts",
    _tables,
    Column("item", String, primary_key=True),
    Column("reader", String, nullable=False, index=True),
    *(Column(name, String, nullable=False) for name in ("findings", "type", "grade", "impression")),
    Column("confidence", Integer, nullable=False),
)
_submissions = Table(
    "submissions",
    _tables,
    Column("item", ForeignKey("drafts.item"), primary_key=True),
    Column("at", String, nullable=False),
)
_ends = Table("ends", _tables, Column("at", String, primary_key=True))
_actions = Table(
    "actions",
    _tables,
    Column("number", Integer, primary_key=True),
    Column("at", String, nullable=False),
    *(Column(name, String, nullable=False) for name in ("who", "action", "item", "detail")),
    sqlite_autoincrement=True,
)
_FOR_GOOD = {
    **{(table.name, change): "" for table in (_submissions, _ends, _actions) for change in ("UPDATE", "DELETE")},
    ("drafts", "UPDATE"): "WHEN OLD.item IN (SELECT item FROM submissions)",
    ("drafts", "DELETE"): "WHEN OLD.item IN (SELECT item FROM submissions)",
}
"""What the file itself refuses, whoever opens it."""


def utc_now() -> datetime:
    """The clock of this machine."""
    return datetime.now(UTC)


class Ledger:
    """The file `reports.sqlite` of a study; several threads and processes may use it at once.

    What a method wrote is on the disk when it returns, together with its line in the log, or it raises and nothing is.

    Args:
        folder: Of the study. The file is made if it is missing.
        now: The clock.
    """

    def __init__(self, folder: Path, now: Callable[[], datetime] = utc_now) -> None:
        self._now = now
        self._turn = Lock()  # threads queue for it; SQLite alone would have them try again after ever longer waits
        self._engine = create_engine(f"sqlite:///{folder / REPORTS}", connect_args={"timeout": 10})
        event.listen(self._engine, "connect", _prepare)
        with self._writing() as connection:
            _tables.create_all(connection)
            for (table, change), when in _FOR_GOOD.items():
                connection.exec_driver_sql(
                    f"CREATE TRIGGER IF NOT EXISTS no_{change.lower()}_of_{table} BEFORE {change} ON {table} {when} "
                    "BEGIN SELECT RAISE(ABORT, 'rows are for good'); END"
                )

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close_connections()

    def close_connections(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def draft(self, item: str) -> Draft | None:
        """What was saved or submitted last, if anything."""
        with self._reading() as connection:
            return _draft(connection, item)

    def save(self, reader: str, item: str, draft: Draft, began: str = BLANK) -> None:
        """Keep a draft in the place of the one it began from, of that revision.

        Raises Locked, Closed, Overtaken or NotKept.
        """
        with self._writing() as connection:
            self._keep(connection, reader, item, draft, began)
            self._note(connection, reader, "save", item)

    def submit(self, reader: str, item: str, draft: Draft, began: str = BLANK) -> None:
        """Keep a report for good. Raises Incomplete too, else as `save`."""
        with self._writing() as connection:
            self._keep(connection, reader, item, draft, began)
            if draft.missing:
                raise Incomplete(draft.missing)
            connection.execute(insert(_submissions).values(item=item, at=self._now().isoformat()))
            self._note(connection, reader, "submit", item)

    def submitted(self, reader: str) -> dict[str, datetime]:
        """The items a reader has submitted, and when."""
        query = select(_submissions).join(_drafts).where(_drafts.c.reader == reader)
        with self._reading() as connection:
            return {row.item: datetime.fromisoformat(row.at) for row in connection.execute(query)}

    def reports(self) -> list[Submitted]:
        """All that were submitted, in order of time."""
        query = select(_drafts, _submissions.c.at).join(_submissions).order_by(_submissions.c.at, _drafts.c.item)
        with self._reading() as connection:
            rows = connection.execute(query).mappings().all()
        return [
            Submitted(
                row["reader"],
                row["item"],
                Draft(**{name: row[name] for name in Draft.__dataclass_fields__}),
                datetime.fromisoformat(row["at"]),
            )
            for row in rows
        ]

    @property
    def closed(self) -> datetime | None:
        """When the study ended, if it has."""
        with self._reading() as connection:
            return _end(connection)

    def close_study(self) -> None:
        """End the study: from now on nothing is saved, also by a server that is running. Raises NotKept."""
        with self._writing() as connection:
            if _end(connection) is None:
                connection.execute(insert(_ends).values(at=self._now().isoformat()))
                self._note(connection, ORGANISER, "close")

    def log(self, who: str, action: str, item: str = "", detail: str = "") -> None:
        """Add a line to the log; never a token, never words of a report. Raises NotKept."""
        with self._writing() as connection:
            self._note(connection, who, action, item, detail)

    def audit(self) -> list[Action]:
        """The log, in order."""
        query = select(_actions).order_by(_actions.c.number)
        with self._reading() as connection:
            return [
                Action(datetime.fromisoformat(row.at), row.who, row.action, row.item, row.detail)
                for row in connection.execute(query)
            ]

    def last_seen(self) -> dict[str, datetime]:
        """When everybody who ever did something did so last."""
        query = select(_actions.c.who, func.max(_actions.c.at)).group_by(_actions.c.who)
        with self._reading() as connection:
            return {who: datetime.fromisoformat(at) for who, at in connection.execute(query)}

    def _keep(self, connection: Connection, reader: str, item: str, draft: Draft, began: str) -> None:
        if _end(connection) is not None:
            raise Closed
        if connection.execute(select(_submissions.c.at).where(_submissions.c.item == item)).one_or_none():
            raise Locked
        if (_draft(connection, item) or Draft()).revision not in (began, draft.revision):
            raise Overtaken
        values: dict[str, Any] = {"reader": reader, **asdict(draft)}
        statement = upsert(_drafts).values(item=item, **values)
        connection.execute(statement.on_conflict_do_update(index_elements=["item"], set_=values))

    def _note(self, connection: Connection, who: str, action: str, item: str = "", detail: str = "") -> None:
        line = Action(self._now(), who, action, item, detail)._asdict()
        connection.execute(insert(_actions).values(at=line.pop("when").isoformat(), **line))

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """Each query sees all that was written before it."""
        with _telling_what_cannot_be(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """One writer at a time; all of it or nothing."""
        with _telling_what_cannot_be(), self._turn, self._engine.begin() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions begin where _writing says
    for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {setting}")


def _draft(connection: Connection, item: str) -> Draft | None:
    wanted = [_drafts.c[name] for name in Draft.__dataclass_fields__]
    row = connection.execute(select(*wanted).where(_drafts.c.item == item)).one_or_none()
    return None if row is None else Draft(**row._mapping)


def _end(connection: Connection) -> datetime | None:
    at = connection.execute(select(func.min(_ends.c.at))).scalar()
    return None if at is None else datetime.fromisoformat(at)


@contextmanager
def _telling_what_cannot_be() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        raise NotKept(
            f"found {REPORTS} that cannot be written or read ({error.orig}); expected room and permission; make room"
        ) from error
    except IntegrityError:
        raise
    except DatabaseError as error:
        raise NotKept(
            f"found {REPORTS} that is damaged ({error.orig}); expected the reports of the study; take it from a backup"
        ) from error
