"""Tables from hand-written rows."""

import csv
import io

import pytest

from pmmsynth.evaluate import Score
from pmmsynth.evaluate.tables import csv_text, markdown, means, rows


def row(method, dataset, case, task, psnr, ssim, protocol="paper-v1"):
    return Score(
        method=method, digest="d", dataset=dataset, case=case, split="test", task=task, target=task.split("->")[1],
        protocol=protocol, region="crop", psnr=psnr, ssim=ssim, mae=0.01, n_slices=3,
    )  # fmt: skip


SCORES = [
    row("copy", "A", "1", "T1->T2", 20, 0.6),
    row("copy", "A", "2", "T1->T2", 22, 0.7),
    row("ours", "A", "1", "T1->T2", 28, 0.80),
    row("ours", "A", "2", "T1->T2", 30, 0.84),
    row("peer", "A", "1", "T1->T2", 27, 0.82),
    row("peer", "A", "2", "T1->T2", 29, 0.84),
    row("copy", "B", "3", "T1->T2", 21, 0.5),
    row("ours", "B", "3", "T1->T2", 25, 0.75),
    row("copy", "B", "3", "T1+FLAIR->T2", 23, 0.55),
    row("ours", "B", "3", "T1+FLAIR->T2", 26, 0.75),
    row("ours", "A", "1", "T1->T2", 99, 0.99, protocol="brain"),
]


def test_markdown_exactly():
    lines = markdown(SCORES).splitlines()
    assert "`paper-v1`" in lines[0]
    assert lines[2:] == [
        "| dataset | task | n | ours | peer | ‖ | copy |",
        "| --- | --- | ---: | --- | --- | --- | --- |",
        "| A | T1->T2 | 2 | **29.00 ± 1.41** / 0.820 ± 0.028 | 28.00 ± 1.41 / **0.830 ± 0.014** |  "
        "| 21.00 ± 1.41 / 0.650 ± 0.071 |",
        "| B | T1->T2 | 1 | **25.00** / **0.750** | – |  | 21.00 / 0.500 |",
        "| B | T1+FLAIR->T2 | 1 | **26.00** / **0.750** | – |  | 23.00 / 0.550 |",
        "| mean | T1->T2 | 2 | **27.00** / **0.785** | – |  | 21.00 / 0.575 |",
        "| mean | all tasks | 3 | **26.67** / **0.773** | – |  | 21.67 / 0.567 |",
    ]


def test_methods_are_compared_on_the_cases_they_share():
    (first, *_) = rows([*SCORES, row("ours", "A", "9", "T1->T2", 90, 0.99)])
    assert (first.n, first.cells["ours"].mean["psnr"]) == (2, 29)


def test_a_name_may_have_a_bar():
    text = markdown([row("a|b", "A", "1", "T1->T2", 30, 0.8), row("copy", "A", "1", "T1->T2", 20, 0.6)])
    heads, line = (part for part in text.splitlines() if part.startswith(("| dataset", "| ---")))
    assert r"| a\|b |" in heads
    assert heads.replace(r"\|", "").count("|") == line.count("|")


def test_no_mean_rows_of_a_single_row():
    assert means(rows(SCORES[:6])) == []


def test_csv_keeps_every_protocol_and_digit():
    table = list(csv.DictReader(io.StringIO(csv_text(SCORES))))
    assert [r["protocol"] for r in table] == ["paper-v1"] * 7 + ["brain"]
    ours = table[0]
    assert (ours["method"], ours["n"], float(ours["psnr_std"])) == ("ours", "2", pytest.approx(2**0.5))
    assert table[-1]["psnr_std"] == ""
