"""What a reader may see: one item at a time, in order, after the wash-out, until the study ends."""

from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pmmsynth.study.ledger import Draft, Ledger
from pmmsynth.study.progress import progress
from study_phantoms import make_study

REPORT = Draft("No lesion.", "normal")
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize("washout_days", [0.0, 14.0, 0.5])
def test_a_reader_goes_through_the_whole_study(tmp_path: Path, washout_days: float) -> None:
    record = make_study(tmp_path / "study", tmp_path / "key", washout_days=washout_days)
    washout = timedelta(days=washout_days)
    now = START
    with Ledger(tmp_path / "study", lambda: now) as ledger:
        first, second = record.readers

        def stands() -> tuple[object, ...]:
            return astuple(progress(record, ledger, first, now))

        for number, sitting in enumerate(first.sittings, 1):
            for place, item in enumerate(sitting):
                done = 4 * (number - 1) + place
                assert stands() == (number, 4, done, 16, item, None, False, False)
                ledger.submit("R1", item.id, REPORT)
                now += timedelta(minutes=10)
            last = now - timedelta(minutes=10)
            if number < 4 and washout:
                for wait in (timedelta(0), washout - timedelta(microseconds=1)):
                    now = last + wait
                    assert stands() == (number + 1, 4, 4 * number, 16, None, last + washout, False, False)
            now = last + washout
        assert stands() == (4, 4, 16, 16, None, None, True, False)
        assert progress(record, ledger, second, now).done == 0
        assert progress(record, ledger, second, now).current == second.sittings[0][0]


def test_after_a_sitting_has_begun_it_stays_open(tmp_path: Path) -> None:
    """Also for a clock that was put back."""
    record = make_study(tmp_path / "study", tmp_path / "key")
    now = START
    with Ledger(tmp_path / "study", lambda: now) as ledger:
        reader = record.readers[0]
        for item in reader.sittings[0]:
            ledger.submit("R1", item.id, REPORT)
        now = START + timedelta(days=14)
        ledger.submit("R1", reader.sittings[1][0].id, REPORT)
        now = START
        assert progress(record, ledger, reader, now).current == reader.sittings[1][1]


def test_the_wash_out_counts_from_the_last_report(tmp_path: Path) -> None:
    record = make_study(tmp_path / "study", tmp_path / "key")
    now = START
    with Ledger(tmp_path / "study", lambda: now) as ledger:
        reader = record.readers[0]
        for item in reader.sittings[0]:
            ledger.submit("R1", item.id, REPORT)
            now += timedelta(days=3)
        assert progress(record, ledger, reader, now).opens == START + timedelta(days=3 * 3 + 14)


def test_nothing_is_shown_after_the_end(tmp_path: Path) -> None:
    record = make_study(tmp_path / "study", tmp_path / "key")
    with Ledger(tmp_path / "study", lambda: START) as ledger:
        ledger.submit("R1", record.readers[0].items[0].id, REPORT)
        ledger.close_study()
        assert astuple(progress(record, ledger, record.readers[0], START)) == (1, 4, 1, 16, None, None, False, True)
