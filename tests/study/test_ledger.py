"""What was saved is there, what was submitted stays, what has ended has ended, and the log has all of it."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError

from no_room import files_up_to
from pmmsynth.study.ledger import (
    BLANK,
    NO_FINDINGS,
    NO_IMPRESSION,
    REPORTS,
    Closed,
    Draft,
    Incomplete,
    Ledger,
    Locked,
    NotKept,
    Overtaken,
)

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
FULL = Draft(findings="Mass in the left frontal lobe; ü\0", type="glioma", grade="high", impression="GBM", confidence=4)


class Clock:
    """Each look at it is a second later."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path, Clock()) as ledger:
        yield ledger


def test_a_draft_is_kept_whole_and_replaced(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.draft("a") is None
    first = Draft(findings="first")
    ledger.save("R1", "a", first)
    ledger.save("R1", "a", FULL, first.revision)
    with Ledger(tmp_path) as other:
        assert other.draft("a") == FULL
    assert ledger.submitted("R1") == {}


def test_a_text_that_began_from_an_older_one_replaces_nothing(ledger: Ledger) -> None:
    ledger.save("R1", "a", FULL)
    for change in (ledger.save, ledger.submit):
        for began in (BLANK, Draft("x").revision, "", "*"):
            with pytest.raises(Overtaken, match="newer text"):
                change("R1", "a", Draft("x", "glioma"), began)
    assert (ledger.draft("a"), ledger.reports()) == (FULL, [])
    ledger.save("R1", "a", FULL)  # sent again as no answer came
    ledger.save("R1", "a", Draft("x", "glioma"), FULL.revision)
    assert ledger.draft("a") == Draft("x", "glioma")
    assert [line.action for line in ledger.audit()] == ["save"] * 3


def test_revisions_tell_texts_apart() -> None:
    texts = [Draft(), FULL, *(Draft(**{name: "x"}) for name in ("findings", "type", "grade", "impression"))]
    texts += [Draft(findings="x "), Draft(findings="x\0"), Draft(confidence=1)]
    assert len({text.revision for text in texts}) == len(texts)
    assert Draft(findings="x").revision == Draft(findings="x").revision
    assert Draft().revision == BLANK


def test_a_submitted_report_is_locked(ledger: Ledger) -> None:
    ledger.submit("R1", "a", FULL)
    for change in (ledger.save, ledger.submit):
        with pytest.raises(Locked, match="was submitted"):
            change("R1", "a", Draft(findings="later"))
    ledger.save("R1", "b", Draft(findings="open"))
    assert ledger.draft("a") == FULL
    assert ledger.submitted("R1") == {"a": START + timedelta(seconds=1)}
    assert ledger.submitted("R2") == {}
    assert ledger.reports() == [("R1", "a", FULL, START + timedelta(seconds=1))]


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        (Draft(), NO_FINDINGS),
        (Draft(" \n", "glioma", "high", "GBM", 4), NO_FINDINGS),
        (Draft("Mass."), NO_IMPRESSION),
        (Draft("Mass.", grade="high", impression=" \t", confidence=4), NO_IMPRESSION),
    ],
)
def test_what_is_for_good_has_findings_and_an_impression(ledger: Ledger, lacking: Draft, words: str) -> None:
    ledger.save("R1", "a", FULL)
    with pytest.raises(Incomplete) as caught:
        ledger.submit("R1", "a", lacking, FULL.revision)
    assert str(caught.value) == words
    assert (ledger.draft("a"), ledger.reports()) == (FULL, [])
    for item, enough in (("b", Draft("Mass.", "glioma")), ("c", Draft("Mass.", impression="GBM"))):
        ledger.submit("R1", item, enough)
        assert ledger.draft(item) == enough


def test_reports_come_in_order_of_time(ledger: Ledger) -> None:
    for reader, item in (("R2", "z"), ("R1", "a"), ("R2", "b")):
        ledger.submit(reader, item, FULL)
    assert [(report.reader, report.item) for report in ledger.reports()] == [("R2", "z"), ("R1", "a"), ("R2", "b")]


def test_nothing_is_kept_after_the_end(ledger: Ledger, tmp_path: Path) -> None:
    ledger.save("R1", "a", FULL)
    assert ledger.closed is None
    with Ledger(tmp_path, lambda: START + timedelta(hours=1)) as other:  # as `close` beside a running server
        other.close_study()
    assert ledger.closed == START + timedelta(hours=1)
    for change in (ledger.save, ledger.submit):
        with pytest.raises(Closed, match="has ended"):
            change("R1", "a", Draft())
    ledger.close_study()
    assert ledger.closed == START + timedelta(hours=1)
    assert ledger.draft("a") == FULL
    assert ledger.reports() == []


def test_the_log_has_every_action_and_no_words(ledger: Ledger) -> None:
    ledger.log("R1", "sign in")
    ledger.save("R1", "a", FULL)
    ledger.submit("R1", "a", FULL)
    with pytest.raises(Locked):
        ledger.save("R1", "a", FULL)
    ledger.log("R2", "window", "b", "100 40")
    ledger.close_study()
    assert [line[1:] for line in ledger.audit()] == [
        ("R1", "sign in", "", ""),
        ("R1", "save", "a", ""),
        ("R1", "submit", "a", ""),
        ("R2", "window", "b", "100 40"),
        ("organiser", "close", "", ""),
    ]
    times = [line.when for line in ledger.audit()]
    assert times == sorted(times)
    assert ledger.last_seen() == {"R1": times[2], "R2": times[3], "organiser": times[4]}


def test_rows_for_good_cannot_be_changed_by_hand(ledger: Ledger, tmp_path: Path) -> None:
    ledger.submit("R1", "a", FULL)
    ledger.close_study()
    connection = sqlite3.connect(tmp_path / REPORTS)
    for table, column in (("actions", "who"), ("submissions", "at"), ("ends", "at"), ("drafts", "findings")):
        for change in (f"UPDATE {table} SET {column} = 'x'", f"DELETE FROM {table}"):
            with pytest.raises(sqlite3.IntegrityError, match="rows are for good"):
                connection.execute(change)
    connection.close()


def test_the_file_is_safe_against_power_cuts_and_strangers(ledger: Ledger) -> None:
    with ledger._engine.connect() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    assert settings == ["wal", 2, 1, 10_000]


def test_of_many_submissions_at_once_one_counts(ledger: Ledger) -> None:
    def submit(number: int) -> int | None:
        try:
            ledger.submit("R1", "a", Draft(str(number), "glioma"))
        except Locked:
            return None
        return number

    with ThreadPoolExecutor(8) as threads:
        won = [number for number in threads.map(submit, range(40)) if number is not None]
    assert len(won) == 1
    assert ledger.draft("a") == Draft(str(won[0]), "glioma")
    assert [line.action for line in ledger.audit()] == ["submit"]


def test_a_full_disk_keeps_what_was_there(ledger: Ledger) -> None:
    ledger.save("R1", "a", FULL)
    with files_up_to(1000), pytest.raises(NotKept, match="make room"):
        ledger.save("R1", "a", Draft(findings="x" * 20_000), FULL.revision)
    assert ledger.draft("a") == FULL
    ledger.save("R1", "a", Draft(findings="there is room again"), FULL.revision)
    assert ledger.draft("a") == Draft(findings="there is room again")
    assert [line.action for line in ledger.audit()] == ["save", "save"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotKept, match="expected room and permission"):
        Ledger(tmp_path / "nowhere")


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / REPORTS
    path.write_bytes(b"not reports" * 1000)
    with pytest.raises(
        NotKept, match=r"damaged \(file is not a database\); expected .*; take it from a backup"
    ) as caught:
        Ledger(tmp_path)
    assert caught.value.exit_code == 4
    path.unlink()
    with Ledger(tmp_path) as ledger:
        ledger.save("R1", "a", FULL)
    content = path.read_bytes()
    path.write_bytes(
        content[:4096] + b"\xff" * (len(content) - 4096)
    )  # all pages but the first, which names the tables
    for use in (lambda: ledger.draft("a"), lambda: ledger.save("R1", "a", FULL)):
        with Ledger(tmp_path) as ledger, pytest.raises(NotKept, match=r"damaged \(.*malformed\); .*from a backup"):
            use()


def test_what_the_file_itself_refuses_is_no_damage(ledger: Ledger) -> None:
    with pytest.raises(IntegrityError, match="FOREIGN KEY"), ledger._writing() as connection:
        connection.exec_driver_sql("INSERT INTO submissions VALUES ('unknown', 'now')")


@pytest.mark.parametrize("wrong", [{"findings": "x" * 20_001}, {"confidence": 6}, {"confidence": "3"}, {"score": 1}])
def test_drafts_refuse_to_be_wrong(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Draft(**wrong)  # type: ignore[arg-type]
