"""The record of a run: whole rows come back as they were added, all else is left out."""

from pathlib import Path

import pytest

from pmmsynth.record import Record, read_record


def test_what_is_added_is_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    rows = [
        {"global_step": 1, "loss": 0.1},
        {"global_step": 2, "epoch": 1, "validation_psnr": 30.5, "A\u2028: T1": 1e-9},
    ]
    record = Record(path, steps=0, epochs=0)
    for row in rows:
        record.add(row)
    assert read_record(path) == rows
    before = path.read_bytes()
    Record(path, steps=2, epochs=1)
    assert path.read_bytes() == before
    Record(path, steps=2, epochs=0)
    assert read_record(path) == rows[:1], "the validation is of an epoch that was lost"


@pytest.mark.parametrize(
    "end", [b'{"global_step": 2, "lo', b"\0\0\0", b"\xff\n", b"7\n", b"[" * 100_000 + b"\n", b"\n"]
)
def test_a_line_that_is_no_row_is_left_out(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"global_step": 1}\n' + end)
    assert read_record(path) == [{"global_step": 1}]
    Record(path, steps=5, epochs=5)
    assert path.read_bytes() == b'{"global_step": 1}\n'
