"""The analysis of a reading study: tables as CSV and Markdown, and one page."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from io import StringIO
from pathlib import Path

from jinja2 import Environment

from pmmsynth.atomic import refuse_other_things, write_text
from pmmsynth.console import Reporter
from pmmsynth.errors import UsageError
from pmmsynth.reading.embed import Embedding, embeddings
from pmmsynth.reading.findings import Measure, Pair, between_readers, summarize, to_reference
from pmmsynth.reading.impression import LabelScore, found_labels, label_agreement, label_scores
from pmmsynth.reading.labels import MACRO, MICRO, Labels
from pmmsynth.reading.reports import ALL, Report, Study

FIRST = "agreement_findings.csv"
"""The first file by name of those that are written."""
FARTHEST = 10
"""Pairs of reports shown on the page, those least alike."""
NAMED = 3
"""Impressions without a label that are named, the most frequent."""


@dataclass(frozen=True)
class Table:
    """One table: a title, what its figures are, names of columns, rows of texts and numbers."""

    name: str
    title: str
    note: str
    columns: tuple[str, ...]
    rows: list[tuple[str | int | float, ...]]

    def csv(self) -> str:
        """All figures unrounded; a text a spreadsheet would take for a formula gets an apostrophe before it."""
        text = StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.columns, *(map(_cell, row) for row in self.rows)])
        return text.getvalue()

    def markdown(self) -> str:
        """Rounded as on the page."""
        lines = [self.columns, tuple("---" for _ in self.columns), *(tuple(map(shown, row)) for row in self.rows)]
        return "\n".join(f"| {' | '.join(_escaped(cell) for cell in line)} |" for line in lines)


def score(
    paths: Sequence[Path],
    out: Path,
    *,
    reference: str = "real",
    labels: Path | None = None,
    embedding: str | None = None,
    reporter: Reporter,
) -> Path:
    """Score reports; returns the page.

    Args:
        paths: CSV files, see `study`.
        out: Folder for the tables and the page.
        reference: The set every other one is compared with.
        labels: A file of labels; that of the package if None.
        embedding: A model of sentence-transformers beside the two embeddings that need none.
        reporter: Where to say what was found.
    """
    refuse_other_things(out, marker=FIRST, kind="scores of reports")
    study = Study.read(paths, reference)
    finder = Labels.read(labels)
    found = found_labels(study, finder)
    remarks = _remarks(study, found, reporter)
    of_findings, pairs = _findings(study, embeddings(embedding))
    of_impressions = _impressions(study, found, finder.names)
    return _write(out, paths, study, remarks, [*of_findings, *of_impressions], pairs)


def _findings(study: Study, embeddings: Mapping[str, Embedding]) -> tuple[list[Table], list[Pair]]:
    """Two tables, and the pairs of reports least alike by the last embedding."""
    reference, readers, pairs = [], [], []
    for name, embed in embeddings.items():
        measure = Measure(study, embed)
        compared = {s: to_reference(study, measure, s) for s in study.sets}
        pairs = sorted((p for s in study.sets for p in compared[s]), key=lambda p: p.similarity)[:FARTHEST]
        reference += [vars(row) for s in study.sets for row in summarize(name, s, compared[s])]
        for s in (study.reference, *study.sets):
            readers += [vars(row) for row in summarize(name, s, between_readers(study, measure, s))]
    columns = ("embedding", "set", "readers", "n", "mean", "std", "low", "high")
    return [
        Table(
            "findings",
            "Findings against the reference",
            f"Similarity to the same reader's findings on {study.reference}, 1 for equal reports; mean and standard "
            "deviation over n cases, 95 % interval of the mean",
            columns,
            [tuple(row.values()) for row in reference],
        ),
        Table(
            "agreement_findings",
            "Agreement of readers: findings",
            "Similarity of the findings of two readers on the same case and set",
            columns,
            [tuple(row.values()) for row in readers],
        ),
    ], pairs


def _impressions(study: Study, found: dict[Report, set[str] | None], names: Sequence[str]) -> list[Table]:
    """Four tables: scores over all labels and by label, agreement, and the labels themselves."""
    names = [name for name in names if any(name in (labels or ()) for labels in found.values())]
    groups = {ALL: study.readers} | ({r: [r] for r in study.readers} if len(study.readers) > 1 else {})
    scored = [
        row
        for s in study.sets
        for who, group in groups.items()
        for row in label_scores(study, found, names, s, group, who)
    ]
    agreed = [row for s in (study.reference, *study.sets) for row in label_agreement(study, found, names, s)]
    counts = ("set", "reader", "label", "tp", "fp", "fn")
    columns = (*counts, "precision", "recall", "F1", "low", "high", "n", "unlabelled")
    return [
        Table(
            "impression",
            "Impressions against the reference",
            f"Labels of the set against those the same reader gave on {study.reference}. macro: mean over labels the "
            "reference has; micro: of the summed counts; 95 % interval of F1 over n cases; unlabelled: "
            "impressions on either without any label, a diagnosis there does not count",
            columns,
            [_label_row(row) for row in scored if row.label in (MACRO, MICRO)],
        ),
        Table(
            "impression_labels",
            "Impressions against the reference, by label",
            "tp: in both, fp: in the set alone, fn: in the reference alone",
            columns,
            [_label_row(row) for row in scored if row.label not in (MACRO, MICRO)],
        ),
        Table(
            "agreement_impression",
            "Agreement of readers: impressions",
            "Cohen's kappa (two readers) or Fleiss' (more) of whether a label applies; n cases that all readers of "
            "the set reported, 95 % interval",
            ("set", "label", "n", "kappa", "low", "high"),
            [(r.set, r.label, r.kappa.n, r.kappa.value, r.kappa.low, r.kappa.high) for r in agreed],
        ),
        Table(
            "labels",
            "Labels found",
            "In the impression of every report",
            ("reader", "case", "set", "labels"),
            [(r.reader, r.case, r.set, "; ".join(sorted(found[r] or ()))) for r in study.reports.values()],
        ),
    ]


def _remarks(study: Study, found: dict[Report, set[str] | None], reporter: Reporter) -> list[str]:
    """Say what cannot be compared; returns what was said."""
    remarks = []

    def remark(text: str, **facts: object) -> None:
        reporter.remark(text, **facts)
        remarks.append(text)

    total = len(study.reports)
    for text in ("findings", "impression"):
        if empty := sum(not getattr(report, text) for report in study.reports.values()):
            remark(f"{empty} of {total} reports have no {text}: left out there", column=text, empty=empty)
    if alone := sum((reader, case, study.reference) not in study.reports for reader, case, _ in study.reports):
        remark(
            f"{alone} of {total} reports have no other of the same reader and case on {study.reference}: "
            "left out of the comparison with it",
            alone=alone,
        )
    bare = Counter(" ".join(report.impression.split()) for report, labels in found.items() if labels == set())
    if unlabelled := bare.total():
        given = sum(labels is not None for labels in found.values())
        named = ", ".join(f"{_start(text)!r} ({times})" for text, times in bare.most_common(NAMED))
        some, so = f"{unlabelled} of {given} impressions have no label", "a diagnosis there does not count"
        if unlabelled == given:
            some, so = f"none of {given} impressions has a label", "impressions are not compared"
        remark(f"{some}, such as {named}: {so}; give terms for them with --labels", unlabelled=unlabelled)
    return remarks


def _label_row(row: LabelScore) -> tuple[str | int | float, ...]:
    f1 = row.f1
    counts = (row.set, row.reader, row.label, row.tp, row.fp, row.fn)
    return (*counts, row.precision, row.recall, f1.value, f1.low, f1.high, f1.n, row.unlabelled)


def _write(
    out: Path,
    inputs: Sequence[Path],
    study: Study,
    remarks: Sequence[str],
    tables: Sequence[Table],
    pairs: Sequence[Pair],
) -> Path:
    page = out / "index.html"
    texts = {out / f"{table.name}.csv": table.csv() for table in tables}
    shown_tables = [table for table in tables if table.rows and table.name != "labels"]
    parts = ["# Reading study", *(f"{_escaped(remark)}." for remark in remarks)]
    parts += [f"## {t.title}\n\n{t.note}.\n\n{t.markdown()}" for t in shown_tables]
    texts[out / "report.md"] = "\n\n".join(parts) + "\n"
    template = Environment(autoescape=True, trim_blocks=True).from_string(
        files("pmmsynth.reading").joinpath("page.html").read_text(encoding="utf-8")
    )
    texts[page] = template.render(
        version=version("pmmsynth"),
        study=study,
        remarks=remarks,
        tables=shown_tables,
        pairs=pairs,
        shown=shown,
        numeric=lambda value: not isinstance(value, str),
    )
    if taken := {path.resolve() for path in inputs} & {path.resolve() for path in texts}:
        raise UsageError(f"found {min(taken)} among the reports; expected another folder to write to; change --out")
    for path, text in sorted(texts.items()):  # FIRST before the others, a kill may come in between
        write_text(path, text)
    return page


def shown(value: str | int | float) -> str:
    """A cell as a person reads it: three decimals, a dash for what there is not."""
    if isinstance(value, float):
        return "–" if value != value else f"{value:.3f}"
    return str(value)


def _cell(value: str | int | float) -> str | int | float:
    if isinstance(value, float):
        return "" if value != value else value
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _start(text: str) -> str:
    return text if len(text) <= 50 else f"{text[:50]}…"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("[", "\\[").replace("\n", " ")
