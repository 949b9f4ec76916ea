"""The end of a study: the file `reading score` reads has every text as it was written, and what was shown."""

import csv
from datetime import UTC, datetime

import pytest

from pmmsynth.cli import main
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, NothingToDo, UsageError
from pmmsynth.reading.reports import Study
from pmmsynth.study.close import close
from pmmsynth.study.files import read_key, read_study
from pmmsynth.study.ledger import REPORTS, Closed, Draft, Ledger
from study_phantoms import make_study

QUIET = Reporter(quiet=True)
WHEN = datetime(2026, 5, 4, 13, 2, 1, tzinfo=UTC)
TEXTS = [
    'Mass, "ring-enhancing"; 3,5 cm.\nOedema,\r\nshift.',
    '=HYPERLINK("http://x")',
    "- left frontal mass\n- oedema",
    "+1 mm shift",
    "@SUM(A1)",
    "左额叶占位，环形强化。Zyste µ ≥ 3",
    "'quoted'; \"\"",
    "a\tb, c;d|e",
    "--",
    "none",
]


@pytest.fixture
def study(tmp_path):
    make_study(tmp_path / "study", tmp_path / "key")
    return tmp_path


def report(folder, *, leave=0):
    """All reports but the last ones; the text of each tells which it is. Returns what is expected, by item."""
    record, written = read_study(folder / "study"), {}
    with Ledger(folder / "study", now=lambda: WHEN) as ledger:
        everything = [(r.code, item.id) for r in record.readers for item in r.items]
        for number, (reader, item) in enumerate(everything[: len(everything) - leave]):
            draft = Draft(
                findings=TEXTS[number % len(TEXTS)],
                type=("glioma", "metastasis", "")[number % 3],
                grade=("WHO grade 4", "not applicable", "")[number % 3],
                impression=f"{TEXTS[(number + 3) % len(TEXTS)]} {item}",
                confidence=number % 6,
            )
            ledger.submit(reader, item, draft)
            written[reader, item] = draft
    return record, written


def test_round_trip(study):
    record, written = report(study)
    out = close(study / "study", study / "key", study / "reports.csv", unfinished=False, reporter=QUIET)
    read, key = Study.read([out]), read_key(study / "key")
    folders = {item.id: item.images for reader in record.readers for item in reader.items}
    assert len(read.reports) == len(written) == 2 * 4 * 4
    for (reader, item), draft in written.items():
        shown = key.images[folders[item]]
        found = read.reports[reader, shown.case, shown.set]
        assert found.findings == (draft.findings if draft.findings != "--" else "")  # reading score: no letter, nothing
        term = {"glioma": "glioma WHO grade 4; ", "metastasis": "metastasis; ", "": ""}[draft.type]
        assert found.impression == term + draft.impression.strip()
    assert (read.readers, read.cases) == (["R1", "R2"], ["P1", "P2", "P3", "P4"])
    assert set(read.sets) == {"3-to-3", "2-to-4", "1-to-5"}


def test_further_columns_and_order(study):
    _, written = report(study)
    out = close(study / "study", study / "key", study / "reports.csv", unfinished=False, reporter=QUIET)
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["reader", "case", "set", "findings", "impression", "confidence", "submitted"]
    sets = ["real", "3-to-3", "2-to-4", "1-to-5"]
    places = [(row["reader"], row["case"], sets.index(row["set"])) for row in rows]
    assert places == sorted(places)
    assert {row["submitted"] for row in rows} == {"2026-05-04T13:02:01+00:00"}
    assert sorted(row["confidence"] for row in rows) == sorted(str(d.confidence or "") for d in written.values())
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert '"' + ' =HYPERLINK(""http://x"")' + '"' in out.read_text(encoding="utf-8")


def test_nothing_is_reported_after_the_end_and_the_end_is_the_same_twice(study):
    record, _ = report(study, leave=1)
    out, last = study / "reports.csv", record.readers[-1].items[-1]
    with pytest.raises(UsageError, match=r"found 1 of 32 reports missing \(R2: 1\); expected all"):
        close(study / "study", study / "key", out, unfinished=False, reporter=QUIET)
    with Ledger(study / "study") as ledger:
        assert ledger.closed is None
        assert not out.exists()
        close(study / "study", study / "key", out, unfinished=True, reporter=QUIET)
        closed, before = ledger.closed, (out.read_bytes(), out.stat().st_mtime_ns)
        assert closed is not None
        with pytest.raises(Closed):
            ledger.submit("R2", last.id, Draft(findings="late"))
        for unfinished in (False, True):
            close(study / "study", study / "key", out, unfinished=unfinished, reporter=QUIET)
            close(study / "study", study / "key", study / f"{unfinished}.csv", unfinished=unfinished, reporter=QUIET)
            assert (study / f"{unfinished}.csv").read_bytes() == before[0]
        assert (out.read_bytes(), out.stat().st_mtime_ns, ledger.closed) == (*before, closed)
        assert len([action for action in ledger.audit() if action.action == "close"]) == 1
    assert len(Study.read([out]).reports) == 31


def test_a_file_that_is_there_stays(study):
    report(study)
    out = study / "reports.csv"
    out.write_text("mine")
    with pytest.raises(UsageError, match=r"found .*reports\.csv; expected a new file"):
        close(study / "study", study / "key", out, unfinished=False, reporter=QUIET)
    assert out.read_text() == "mine"
    with Ledger(study / "study") as ledger:
        assert ledger.closed is None


def test_no_report(study):
    with pytest.raises(NothingToDo, match="found no report"):
        close(study / "study", study / "key", study / "out.csv", unfinished=True, reporter=QUIET)


def test_damaged_reports(study, capsys):
    (study / "study" / REPORTS).write_bytes(b"not reports" * 1000)
    ended = ["reading", "close", str(study / "study"), "--key", str(study / "key"), "--out", str(study / "out.csv")]
    for command in (ended, ["reading", "serve", str(study / "study"), "--port", "0"]):
        assert main(command) == 4
        said = capsys.readouterr().err
        assert said.startswith(f"pmmsynth: found {REPORTS} that is damaged (file is not a database); expected")
        assert said.endswith("; take it from a backup\n")
        assert said.count("\n") == 1
    assert not (study / "out.csv").exists()


def test_the_key_of_another_study(study, tmp_path):
    report(study)
    path = study / "key" / "key.json"
    for old, new in (('"study": "study"', '"study": "other"'), ('"images00"', '"lost"')):
        content = path.read_text()
        path.write_text(content.replace(old, new))
        with pytest.raises(BadInput, match="key of another study"):
            close(study / "study", study / "key", tmp_path / "out.csv", unfinished=False, reporter=QUIET)
        path.write_text(content)


@pytest.mark.slow
def test_from_the_command_line(made, tmp_path, monkeypatch, capsys):
    """From create to score; every reader finds in every set what he finds in the real images."""
    study = made.at(tmp_path)
    model = made.store.root.parent / "model"
    asked = ["reading", "create", str(made.store.root), str(model), "--out", str(study.out), "--key", str(study.key)]
    form = tmp_path / "form.toml"
    form.write_text('types = ["glioma", "acute infarct"]')
    assert main([*asked, "--reader", "A", "--reader", "B", "--form", str(form), "--washout-days", "3"]) == 0
    said = capsys.readouterr().out
    assert f"48 reports to be written; tokens: {study.out / 'tokens.csv'}" in said
    key, record = read_key(study.key), read_study(study.out)
    assert (record.types, record.washout_days) == (("glioma", "acute infarct"), 3)
    with Ledger(study.out) as ledger:
        for reader in record.readers:
            for item in reader.items:
                case = key.images[item.images].case
                kind = "glioma" if case < "A/P3" else "acute infarct"
                ledger.submit(reader.code, item.id, Draft(findings=f"Lesion of {case}", type=kind))
    ended = ["reading", "close", str(study.out), "--key", str(study.key), "--out", str(tmp_path / "reports.csv")]
    assert main(ended) == 0
    assert main(["reading", "score", str(tmp_path / "reports.csv"), "--out", str(tmp_path / "scored")]) == 0
    with (tmp_path / "scored" / "impression.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["reader"] == "all" and row["label"] == "macro"]
    assert [(row["set"], row["tp"], row["F1"]) for row in rows] == [
        (name, "12", "1.0") for name in ("3-to-3", "2-to-4", "1-to-5")
    ]
    monkeypatch.setattr("pmmsynth.study.verbs.find_spec", lambda name: None)
    capsys.readouterr()
    assert main(ended) == 2
    assert "pip install 'pmmsynth[reading]'" in capsys.readouterr().err
