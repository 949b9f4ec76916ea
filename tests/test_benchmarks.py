"""The script of known moves: moves within bounds, a table that follows from its rows, a page kept around it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pmmsynth.volume import Volume

SCRIPTS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


def row(tool: str, move: int, error: float, **others: Any) -> dict[str, Any]:
    return {
        **{"pair": "t2 to t1", "truth": "header", "tool": tool, "move": move, "error_mm": error},
        **{"error_degrees": error / 2, "shift_mm": error / 4, "apart_mm": 0.25, "seconds": 2.0 + move},
        **{"cpu_seconds": 1.0 + move, "doubt": None, "information": None, "software": "pmmsynth 1; CPU", **others},
    }


ROWS = [
    row("pmmsynth", 0, 0.25, doubt=0.5, information=0.5),
    row("ants", 0, 0.5),
    row("pmmsynth", 1, 0.75, doubt=1.5, information=0.5),  # a flag for nothing
    row("ants", 1, 2.5),
    row("pmmsynth", 2, 3.0, doubt=0.5, information=0.1),  # a failure that shows
    row("pmmsynth", 3, 4.0, doubt=0.5, information=0.5),  # and one that does not
]


@pytest.mark.usefixtures("scripts")
def test_registration_table_follows_from_the_rows() -> None:
    import registration

    assert registration.table(ROWS).splitlines()[2:] == [
        "| t2 to t1 | header | pmmsynth | 4 | 2.00 / 4.00 | 1.00 / 2.00 | 0.50 / 1.00 | 2 | 1 | 1 |  | 3.5 (2.5) |",
        "| t2 to t1 | header | ants | 2 | 1.50 / 2.50 | 0.75 / 1.25 | 0.38 / 0.62 | 1 |  |  | 0.25 | 2.5 (1.5) |",
    ]


@pytest.mark.usefixtures("scripts")
def test_registration_page_keeps_what_is_around_the_table(tmp_path: Path) -> None:
    import registration

    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{registration.START}\nold\n{registration.END}\n\nafter\n")
    registration.write_page(page, ROWS)
    text = page.read_text()
    assert text.startswith(f"before\n\n{registration.START}\n\n| pair")
    assert text.endswith(f"Measured with pmmsynth 1; CPU.\n\n{registration.END}\n\nafter\n")
    assert "old" not in text
    page.write_text("no marks")
    with pytest.raises(SystemExit, match="expected both marks"):
        registration.write_page(page, ROWS)


@pytest.mark.usefixtures("scripts")
def test_errors_of_known_moves() -> None:
    import registration

    centre = np.array([5.0, -3.0, 8.0])
    for number in range(20):
        move = registration.known_move(number, centre)
        assert np.degrees(np.arccos((np.trace(move[:3, :3]) - 1) / 2)) <= registration.DEGREES
        assert np.linalg.norm(move[:3, :3] @ centre + move[:3, 3] - centre) <= registration.MM
    scan = Volume(np.random.default_rng(0).random((12, 12, 12), np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    case = registration.Subject(
        scan, scan, scan.data > 0, np.argwhere(scan.data > 0)[::50] * 2.0, {"blind": np.eye(4), "exact": np.eye(4)}
    )
    known = registration.known_move(0, case.points.mean(0))
    answers = {"exact": np.linalg.inv(known), "blind": np.eye(4)}
    tools = {n: lambda *_, m=m: registration.Found(m) for n, m in answers.items()}
    exact, blind = registration.measured(case, 0, (3.0, 3.0, 3.0), tools)
    assert exact["error_mm"] == pytest.approx(0, abs=1e-9)
    assert blind["error_mm"] == pytest.approx(blind["moved_mm"])
    assert blind["apart_mm"] == pytest.approx(blind["moved_mm"])
    assert blind["error_degrees"] == pytest.approx(np.degrees(np.arccos((np.trace(known[:3, :3]) - 1) / 2)))


@pytest.mark.usefixtures("scripts")
def test_waiting_of_readers_by_kind_of_request() -> None:
    import readers

    seconds = {"image": [0.010, 0.020, 0.030], "autosave": [0.005]}
    rows = [
        {"kind": kind, "reader": 0, "seconds": each, "error": each == 0.030}
        for kind in seconds
        for each in seconds[kind]
    ]
    assert readers.table(rows).splitlines()[2:] == [
        "| image | 3 | 1 | 20 | 29 | 30 |",
        "| autosave | 1 | 0 | 5 | 5 | 5 |",
    ]


@pytest.mark.usefixtures("scripts")
def test_embeddings_are_measured_on_the_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    import embeddings

    embeddings.main()
    lines = capsys.readouterr().out.splitlines()[2:]
    rows = {name: values for name, *values in (line.strip("| ").split(" | ") for line in lines)}
    assert set(rows) == {"lexical", "ngrams"}
    negation, paraphrase = (float(value) for value in rows["lexical"][-2:])
    assert negation == pytest.approx(2 / 6**0.5, abs=5e-4), "two words in common, of two and three"
    assert paraphrase == pytest.approx(1 / 15**0.5, abs=5e-4), "one, of three and five"
