"""`pmmsynth reading score`: what it writes, what it refuses, and that texts stay texts."""

import csv
import re
from pathlib import Path
from typing import Literal

import pytest

from pmmsynth.cli import main
from pmmsynth.reading.reports import Study

HEADER = "reader,case,set,findings,impression\n"
ROWS = """A,1,real,"Ring enhancing mass, 3.5 cm; marked oedema.",Glioblastoma
A,1,3-to-3,"Ring enhancing mass, 3.5 cm; marked oedema.",Glioblastoma
A,1,1-to-5,No shift.,Low-grade glioma
B,1,real,"<script>alert(1)</script> mass, ""quoted"" | oedema",GBM
B,1,3-to-3,<img src=x onerror=alert(1)>,GBM
B,1,1-to-5,-,
A,2,real,Old lacune,Small vessel disease
A,2,3-to-3,Old lacune,SVD
B,2,real,Old lacune,SVD
B,2,3-to-3,Old lacune,Normal
B,2,2-to-4,Old lacune,Normal
"""


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    path = tmp_path / "reports.csv"
    path.write_text(HEADER + ROWS, encoding="utf-8")
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def run(*arguments: object) -> int:
    return main(["reading", "score", *map(str, arguments)])


def test_tables_and_page(reports: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(reports, "--out", out) == 0
    said = capsys.readouterr()
    assert said.out == f"page: {out / 'index.html'}\n"
    assert said.err.splitlines() == [
        "1 of 11 reports have no findings: left out there",
        "1 of 11 reports have no impression: left out there",
    ]
    names = ["agreement_findings", "agreement_impression", "findings", "impression", "impression_labels", "labels"]
    assert {p.name for p in out.iterdir()} == {*(f"{n}.csv" for n in names), "index.html", "report.md"}
    findings = {(r["embedding"], r["set"], r["readers"]): r for r in rows_of(out / "findings.csv")}
    assert {key[0] for key in findings} == {"lexical", "ngrams"}
    assert float(findings["lexical", "3-to-3", "A"]["mean"]) == pytest.approx(1)
    assert findings["lexical", "1-to-5", "A"]["std"] == ""
    scores = {(r["set"], r["reader"], r["label"]): r for r in rows_of(out / "impression.csv")}
    assert [scores["3-to-3", "all", "micro"][k] for k in ("tp", "fp", "fn", "F1", "n")] == ["3", "1", "1", "0.75", "2"]
    assert [r["labels"] for r in rows_of(out / "labels.csv")][:3] == [
        "glioblastoma",
        "glioblastoma",
        "low-grade glioma",
    ]
    report = (out / "report.md").read_text(encoding="utf-8")
    assert "Cohen's kappa" in report
    assert "| 3-to-3 | all | micro | 3 | 1 | 1 | 0.750 | 0.750 | 0.750 |" in report


def test_texts_stay_texts(tmp_path: Path) -> None:
    reports, out = tmp_path / "reports.csv", tmp_path / "out"
    evil = ROWS.replace("A,", "=HYPERLINK(1),").replace("3-to-3", "<b>3|3</b>")
    reports.write_text(HEADER + evil, encoding="utf-8-sig")
    assert run(reports, "--out", out) == 0
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)" in page
    assert "&lt;img src=x onerror" in page
    assert not re.search(r"<(script|img|b>3)", page)
    assert "http" not in page, "nothing is fetched"
    cells = {cell for path in out.glob("*.csv") for row in rows_of(path) for cell in row.values()}
    assert "'=HYPERLINK(1)" in cells
    assert not any(cell.startswith("=") for cell in cells)
    report = (out / "report.md").read_text(encoding="utf-8")
    assert "&lt;b>3\\|3&lt;/b>" in report
    assert "<b>" not in report


def test_again_gives_the_same_bytes(reports: Path, tmp_path: Path) -> None:
    """Also for the same reports in two files."""
    two = tmp_path / "more.csv"
    lines = (HEADER + ROWS).splitlines(keepends=True)
    for path, part in ((two, lines[7:]), (tmp_path / "first.csv", lines[1:7])):
        path.write_text(HEADER + "".join(part), encoding="utf-8")
    assert run(reports, "--out", tmp_path / "a") == run(tmp_path / "first.csv", two, "--out", tmp_path / "b") == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("delimiter", [";", "\t"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_semicolons_and_tabs_between_cells(tmp_path: Path, delimiter: str, quoting: Literal[0, 1]) -> None:
    """As spreadsheets write them where the comma is in numbers; texts keep their commas, semicolons and line ends."""
    rows = [*csv.reader((HEADER + ROWS).splitlines())]
    rows[1][3] = 'Mass, 3,5 cm; "marked"\toedema\nNo shift.'
    path = tmp_path / "reports.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=delimiter, quoting=quoting).writerows(rows)
    reports = Study.read([path]).reports.values()
    assert [[r.reader, r.case, r.set, r.findings, r.impression] for r in reports] == [
        ["" if cell == "-" else cell for cell in row] for row in rows[1:]
    ]


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b"reader,case,findings\nA,1,x\n", 4, r"set, impression missing or twice among the columns reader, case, find"),
        (b"", 4, r"among the columns \(none\)"),
        (
            b"reader;case;set;findings\n",
            4,
            "csv: impression missing or twice among the columns reader, case, set,",
        ),
        (
            b"reader;case;set;findings;impression\nA;1;real;mass; oedema;GBM\n",
            4,
            "line 2: 6 cells; expected 5, .*; put texts with semicolons in double quotes",
        ),
        (b"\xff\xfe" + HEADER.encode("utf-16le"), 4, "not UTF-8"),
        (HEADER.encode() + "A,1,real,Ödem,x\n".encode("latin-1"), 4, "not UTF-8"),
        (
            (HEADER + "A,1,real,x,y\nA,1,real,x,z\n").encode(),
            4,
            "line 3: a second report of reader A, case 1, set real",
        ),
        ((HEADER + "A,1,real,mass, oedema,GBM\n").encode(), 4, "line 2: 6 cells; expected 5"),
        ((HEADER + "A,1,real,x,y\nall,1,real,x,y\n").encode(), 4, "line 3: a reader called all, .*; rename the reader"),
        ((HEADER + ",1,real,x,y\n").encode(), 4, "line 2: no reader, case or set"),
        ((HEADER + 'A,1,real,"x,y\n').encode(), 4, "unexpected end of data"),
        ((HEADER + "A,1,3-to-3,x,y\n").encode(), 4, "no report of the set real; expected one of 3-to-3"),
        ((HEADER + "\n").encode(), 3, "found no report"),
    ],
)
def test_bad_files_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, code: int, message: str
) -> None:
    path = tmp_path / "reports.csv"
    path.write_bytes(content)
    assert run(path, "--out", tmp_path / "out") == code
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert re.search(r"^pmmsynth: found .*; expected .*; ", err)
    assert re.search(message, err)
    assert not (tmp_path / "out").exists()


def test_reports_are_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "findings.csv"
    path.write_text(HEADER + ROWS, encoding="utf-8")
    assert run(path, "--out", tmp_path) == 2
    assert "found files but no scores of reports in" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["findings.csv"]
    assert run(path, "--out", tmp_path / "out") == 0
    path = path.replace(tmp_path / "out" / "findings.csv")
    assert run(path, "--out", tmp_path / "out") == 2
    assert "among the reports; expected another folder" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == HEADER + ROWS


def test_a_folder_of_other_things_is_left_alone_and_one_of_a_killed_call_taken(reports: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "index.html").write_text("mine")
    assert run(reports, "--out", out) == 2
    assert [p.read_text() for p in out.iterdir()] == ["mine"]
    (out / "index.html").unlink()
    (out / "agreement_findings.csv").touch()
    assert run(reports, "--out", out) == run(reports, "--out", out) == 0
    assert min(p.name for p in out.iterdir()) == "agreement_findings.csv"


def test_another_reference_and_a_single_reader(tmp_path: Path) -> None:
    """Nothing to agree on, no pooled readers, and a case without its reference is left out."""
    path = tmp_path / "reports.csv"
    path.write_text(HEADER + "A,1,acquired,x y,GBM\nA,1,real,x y,GBM\nA,2,real,z,\n", encoding="utf-8")
    assert run(path, "--out", tmp_path / "out", "--reference", "acquired") == 0
    assert [(r["set"], r["readers"], r["n"]) for r in rows_of(tmp_path / "out" / "findings.csv")] == [
        ("real", "A", "1"),
        ("real", "A", "1"),
    ]
    assert rows_of(tmp_path / "out" / "agreement_impression.csv") == []


def test_impressions_without_a_label_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Else the figures would be of the case alone in which the reader named what is looked for."""
    path, out = tmp_path / "reports.csv", tmp_path / "out"
    cyst = "Epidermoid cyst, [extends](//x) into <b>both</b> cerebellopontine angles"
    rows = [
        ("1", "real", "Craniopharyngioma"),
        ("1", "3-to-3", cyst),
        ("2", "real", "Craniopharyngioma"),
        ("2", "3-to-3", "\x1b[31mother"),
        ("3", "real", "GBM"),
        ("3", "3-to-3", "GBM"),
        ("4", "real", "DNET"),
        ("4", "3-to-3", ""),
    ]
    path.write_text(HEADER + "".join(f'A,{case},{s},mass,"{text}"\n' for case, s, text in rows), encoding="utf-8")
    assert run(path, "--out", out) == 0
    empty, said = capsys.readouterr().err.splitlines()
    assert empty == "1 of 8 reports have no impression: left out there"
    assert said == (
        f"5 of 7 impressions have no label, such as 'Craniopharyngioma' (2), '{cyst[:50]}…' (1), '\\x1b[31mother' (1): "
        "a diagnosis there does not count; give terms for them with --labels"
    )
    macro, micro = rows_of(out / "impression.csv")
    assert [macro[k] for k in ("tp", "fp", "fn", "F1", "n", "unlabelled")] == ["1", "0", "0", "1.0", "3", "4"]
    assert micro["unlabelled"] == "4"
    page, report = ((out / name).read_text(encoding="utf-8") for name in ("index.html", "report.md"))
    for text in (page, report):
        assert "1 of 8 reports have no impression: left out there." in text
        assert "5 of 7 impressions have no label" in text
        assert "<b>both" not in text
    assert "\\[extends](//x)" in report


def test_without_any_label_findings_are_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "reports.csv"
    path.write_text(HEADER + "".join(f"{r},1,{s},mass,Gliom\n" for r in "AB" for s in ("real", "3-to-3")))
    assert run(path, "--out", tmp_path / "out") == 0
    said = "none of 4 impressions has a label, such as 'Gliom' (4): impressions are not compared; give terms for them"
    assert capsys.readouterr().err == f"{said} with --labels\n"
    assert said.replace("'", "&#39;") in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert rows_of(tmp_path / "out" / "impression.csv") == []
    assert [float(r["mean"]) for r in rows_of(tmp_path / "out" / "findings.csv")] == pytest.approx([1] * 6)


@pytest.mark.parametrize("arguments", [["reading"], ["reading", "serve"], ["reading", "score"], ["reading", "None"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err
