"""The reports of a reading study: CSV files with one row per reader, case and set of images."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pmmsynth.errors import BadInput, NothingToDo

ALL = "all"
"""All readers, or labels, together; none is called so."""
COLUMNS = ("reader", "case", "set", "findings", "impression")
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
"""What spreadsheets put between cells, depending on the country."""
_TABLE = f"CSV in UTF-8 with the columns {', '.join(COLUMNS)}"


@dataclass(frozen=True)
class Report:
    """What one reader wrote on one case as seen in one set of images."""

    reader: str
    case: str
    set: str
    findings: str
    impression: str


@dataclass(frozen=True)
class Study:
    """All reports, and the set whose reports are the reference.

    Attributes:
        reports: By reader, case and set.
        reference: Name of the set, as `real`.
        sets: The others, in the order in which they are first met.
    """

    reports: dict[tuple[str, str, str], Report]
    reference: str

    @property
    def sets(self) -> list[str]:
        return [name for name in dict.fromkeys(key[2] for key in self.reports) if name != self.reference]

    @property
    def readers(self) -> list[str]:
        return sorted({key[0] for key in self.reports})

    @property
    def cases(self) -> list[str]:
        return sorted({key[1] for key in self.reports})

    @classmethod
    def read(cls, paths: Sequence[Path], reference: str = "real") -> "Study":
        """Read CSV files. Raises BadInput with file and line of the first thing that is wrong."""
        reports: dict[tuple[str, str, str], Report] = {}
        for path in paths:
            for line, report in _rows(path):
                key = (report.reader, report.case, report.set)
                if key in reports:
                    raise BadInput(
                        f"{path}, line {line}: a second report of reader {key[0]}, case {key[1]}, set {key[2]}",
                        "one report for each",
                        "keep the one that counts",
                    )
                reports[key] = report
        if not reports:
            raise NothingToDo("found no report; expected at least one row; check the files")
        study = cls(reports, reference)
        if all(key[2] != reference for key in reports):
            raise BadInput(f"no report of the set {reference}", f"one of {', '.join(study.sets)}", "give --reference")
        return study


def _rows(path: Path) -> list[tuple[int, Report]]:
    """The reports of a file, each with its line."""
    if not path.is_file():
        raise BadInput(f"no file at {path}", _TABLE, "check the path")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(DELIMITERS, key=lambda d: len({*COLUMNS} & {*_names(csv.reader([first], delimiter=d))}))
            table = csv.reader(file, delimiter=delimiter, strict=True)
            header = _names(table)
            missing = [name for name in COLUMNS if header.count(name) != 1]
            if missing:
                raise BadInput(
                    f"{path}: {', '.join(missing)} missing or twice among the columns {', '.join(header) or '(none)'}",
                    _TABLE,
                    "correct the first line",
                )
            places = [header.index(name) for name in COLUMNS]
            rows = []
            for row in table:
                if not any(cell.strip() for cell in row):
                    continue
                if len(row) != len(header):
                    raise BadInput(
                        f"{path}, line {table.line_num}: {len(row)} cells",
                        f"{len(header)}, as in the first line",
                        f"put texts with {DELIMITERS[delimiter]} in double quotes",
                    )
                reader, case, name, *texts = (row[place].strip() for place in places)
                findings, impression = (text if any(map(str.isalpha, text)) else "" for text in texts)  # "-" is empty
                report = Report(reader, case, name, findings, impression)
                if report.reader == ALL:
                    raise BadInput(
                        f"{path}, line {table.line_num}: a reader called {ALL}, which stands for all readers together",
                        "another code",
                        "rename the reader",
                    )
                if not (report.reader and report.case and report.set):
                    raise BadInput(
                        f"{path}, line {table.line_num}: no reader, case or set", "a name for each", "fill it in"
                    )
                rows.append((table.line_num, report))
            return rows
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: bytes that are not UTF-8", _TABLE, "save it as CSV UTF-8") from error
    except csv.Error as error:
        raise BadInput(f"{path}: {error}", _TABLE, "correct it or save it anew from the spreadsheet") from error


def _names(table: Iterator[list[str]]) -> list[str]:
    """The columns, from the first line of a table."""
    return [name.strip().lower() for name in next(table, [])]
