"""End a reading study: join what was reported with the key to what was shown."""

import csv
from io import StringIO
from pathlib import Path

from pmmsynth.atomic import write_text
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, NothingToDo, UsageError
from pmmsynth.reading.reports import COLUMNS
from pmmsynth.study.files import KeyRecord, StudyRecord, read_key, read_study
from pmmsynth.study.form import impression
from pmmsynth.study.ledger import Ledger


def close(folder: Path, key_folder: Path, out: Path, *, unfinished: bool, reporter: Reporter) -> Path:
    """End a study for good and write its reports as `pmmsynth reading score` reads them. Returns the file.

    A study that has ended already stays so; its reports are the same every time.

    Args:
        folder: Of the study.
        key_folder: Where its key is.
        out: CSV file to write.
        unfinished: End it although reports are missing.
        reporter: Where to speak.

    Raises:
        BadInput: If the key is of another study.
        UsageError: If reports are missing, or another file is at `out`.
        NothingToDo: If there is no report at all.
    """
    study, key = read_study(folder), read_key(key_folder)
    _check_together(study, key, folder, key_folder)
    with Ledger(folder) as ledger:
        missing = {r.code: len(r.items) - len(ledger.submitted(r.code)) for r in study.readers}
        total, lacking = sum(len(r.items) for r in study.readers), sum(missing.values())
        said = f"{lacking} of {total} reports missing ({', '.join(f'{who}: {n}' for who, n in missing.items() if n)})"
        if lacking == total:
            raise NothingToDo(f"found no report in {folder}; expected at least one; serve the study first")
        if lacking and not unfinished and not ledger.closed:
            raise UsageError(f"found {said}; expected all; wait for them, or end the study with --unfinished")
        text = _table(study, key, ledger)
        if out.exists() and not (out.is_file() and ledger.closed and out.read_bytes() == text.encode()):
            raise UsageError(f"found {out}; expected a new file; choose another --out")
        ledger.close_study()
        write_text(out, _table(study, key, ledger))  # again: a report may have come in before the end
    if lacking:
        reporter.remark(f"the study has ended with {said}", missing=lacking)
    return out


def _check_together(study: StudyRecord, key: KeyRecord, folder: Path, key_folder: Path) -> None:
    shown = {item.images for reader in study.readers for item in reader.items}
    if study.id != key.study or not shown <= set(key.images):
        raise BadInput(f"the key of another study in {key_folder}", f"that of {folder}", "change --key")


def _table(study: StudyRecord, key: KeyRecord, ledger: Ledger) -> str:
    """All reports, in the order of readers, cases and sets."""
    shown = {item.id: key.images[item.images] for reader in study.readers for item in reader.items}
    codes, sets = [reader.code for reader in study.readers], list(dict.fromkeys(s.set for s in key.images.values()))
    rows = []
    for report in ledger.reports():
        what, draft = shown[report.item], report.draft
        concluded = impression(draft.type, draft.grade, draft.impression)
        order = codes.index(report.reader), what.case, len(what.synthesized), sets.index(what.set)
        confidence, when = str(draft.confidence or ""), report.when.isoformat(timespec="seconds")
        texts = (report.reader, what.case, what.set, draft.findings, concluded, confidence, when)
        rows.append((order, [_text(cell) for cell in texts]))
    table = StringIO()
    writer = csv.writer(table, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow([*COLUMNS, "confidence", "submitted"])
    writer.writerows(cells for _, cells in sorted(rows))
    return table.getvalue()


def _text(cell: str) -> str:
    """A blank before what a spreadsheet would take for a formula; `reading score` takes blanks at the ends off."""
    cell = cell.strip()
    return f" {cell}" if cell.startswith(("=", "+", "-", "@")) else cell
