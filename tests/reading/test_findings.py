"""Similarity of findings: closed forms, order, paraphrases against a shuffled pairing."""

import csv
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pmmsynth.errors import BadInput, UsageError
from pmmsynth.reading.embed import Embedding, embeddings, lexical, ngrams, sentence_model
from pmmsynth.reading.findings import Measure, between_readers, summarize, to_reference
from pmmsynth.reading.reports import Report, Study

PAIRS = Path(__file__).with_name("pairs.csv")
OFFLINE = pytest.mark.parametrize("embedding", [lexical, ngrams], ids=["lexical", "ngrams"])
MASS = "Ring enhancing mass in the left temporal lobe, 3.5 cm in diameter; marked oedema."


def study(*rows: tuple[str, str, str, str]) -> Study:
    """Of (reader, case, set, findings)."""
    return Study({row[:3]: Report(*row, "") for row in rows}, "real")


def compared(embedding: Embedding, one: str, other: str) -> float:
    reports = study(("A", "1", "real", one), ("A", "1", "3-to-3", other))
    (pair,) = to_reference(reports, Measure(reports, embedding), "3-to-3")
    return pair.similarity


@OFFLINE
def test_equal_reports_are_1_whatever_their_order(embedding: Embedding) -> None:
    assert compared(embedding, MASS, MASS) == pytest.approx(1)
    assert compared(
        embedding, MASS, "Marked OEDEMA; ring enhancing mass in the left temporal lobe, 3.5 cm in diameter"
    ) == (pytest.approx(1))
    assert compared(embedding, "aaa", "zzz") == 0


def test_both_directions_count() -> None:
    """One clause of two is met: 1 from the short report, (1 + 0) / 2 from the long one, 3/4 between them."""
    assert compared(lexical, "no shift", "no shift, marked oedema") == pytest.approx(0.75)
    assert compared(lexical, "no shift, marked oedema", "no shift") == pytest.approx(0.75)
    assert compared(lexical, "no midline shift", "no shift") == pytest.approx(2 / np.sqrt(6))


def of_pairs(embedding: Embedding) -> np.ndarray:
    """Cosines of every clause with every one of the other column."""
    with PAIRS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    vectors = embedding([r["one"] for r in rows] + [r["other"] for r in rows])
    return (vectors[: len(rows)] @ vectors[len(rows) :].T).toarray()


@OFFLINE
def test_paraphrases_are_nearer_than_other_clauses(embedding: Embedding) -> None:
    """Against the mean over all wrong pairings, and against a hundred shuffled ones."""
    cosines = of_pairs(embedding)
    count = len(cosines)
    assert count >= 40
    true = cosines.diagonal().mean()
    assert true > 4 * cosines[~np.eye(count, dtype=bool)].mean()
    rng = np.random.default_rng(0)
    shuffled = [cosines[np.arange(count), rng.permutation(count)].mean() for _ in range(100)]
    assert true > max(shuffled) + 0.1


@pytest.mark.parametrize(("name", "embedding"), [("lexical", lexical), ("ngrams", ngrams)])
def test_the_numbers_in_the_documentation(name: str, embedding: Embedding) -> None:
    cosines = of_pairs(embedding)
    wrong = cosines[~np.eye(len(cosines), dtype=bool)]
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "reading-study.md").read_text(encoding="utf-8")
    (row,) = (line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
    assert row.endswith(f"| {cosines.diagonal().mean():.3f} | {wrong.mean():.3f} |")


@OFFLINE
def test_a_negation_changes_little(embedding: Embedding) -> None:
    """What the documentation warns of."""
    assert compared(embedding, "no midline shift", "midline shift") > 0.7


def test_characters_see_more_than_words() -> None:
    assert compared(lexical, "haemorrhagic", "haemorrhage") == 0
    assert compared(ngrams, "haemorrhagic", "haemorrhage") > 0.5
    assert compared(ngrams, "necrosis", "necrotic") > 0.4


def test_summary_of_readers_and_cases() -> None:
    """Reader A: 1 and 0; reader B, who has one case only: 0. All: case 1 is (1 + 0) / 2, case 2 is 0."""
    reports = study(
        ("A", "1", "real", "shift"),
        ("A", "1", "3-to-3", "shift"),
        ("A", "2", "real", "shift"),
        ("A", "2", "3-to-3", "oedema"),
        ("B", "1", "real", "mass"),
        ("B", "1", "3-to-3", "cyst"),
        ("B", "2", "real", ""),
        ("B", "2", "3-to-3", "cyst"),
    )
    measure = Measure(reports, lexical)
    rows = summarize("lexical", "3-to-3", to_reference(reports, measure, "3-to-3"))
    assert [(r.readers, r.n, r.mean) for r in rows] == [("A", 2, 0.5), ("B", 1, 0), ("all", 2, 0.25)]
    assert rows[0].std == pytest.approx(np.std([1, 0], ddof=1))
    assert (rows[0].low, rows[0].high) == (0, 1)
    assert np.isnan(rows[1].std)
    assert np.isnan(rows[1].low)
    between = summarize("lexical", "3-to-3", between_readers(reports, measure, "3-to-3"))
    assert [(r.readers, r.n, r.mean) for r in between] == [("A, B", 2, 0)]


# --- sentence-transformers ------------------------------------------------------------------------------------------


class FakeTransformer:
    """Turns a clause into its number of letters and of blanks; remembers how it was made."""

    made: dict[str, object]

    def __init__(self, name: str, **options: object) -> None:
        if name == "nowhere":
            raise OSError("no such model\nand a long explanation")
        FakeTransformer.made = {"name": name, **options}

    def encode(self, clauses: list[str], *, normalize_embeddings: bool, show_progress_bar: bool) -> np.ndarray:
        assert normalize_embeddings
        assert not show_progress_bar
        counts = np.array([[len(c.replace(" ", "")), c.count(" ")] for c in clauses], dtype=np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


@pytest.fixture
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("sentence_transformers")
    module.SentenceTransformer = FakeTransformer
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)


@pytest.mark.usefixtures("_fake")
def test_a_folder_is_read_without_network(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    assert list(embeddings(str(folder))) == ["lexical", "ngrams", "model"]
    assert FakeTransformer.made["local_files_only"] is True
    assert FakeTransformer.made["trust_remote_code"] is False
    near, far = (np.dot((7, 1), v) / np.linalg.norm((7, 1)) / np.linalg.norm(v) for v in ((6, 1), (12, 1)))
    expected = (max(near, far) + (near + far) / 2) / 2
    assert compared(sentence_model(str(folder)), "no shift", "no mass, marked oedema") == pytest.approx(expected)


@pytest.mark.usefixtures("_fake")
def test_a_name_may_be_fetched_and_may_fail() -> None:
    assert list(embeddings("some/name"))[-1] == "some/name"
    assert FakeTransformer.made["local_files_only"] is False
    with pytest.raises(BadInput, match=r"found nowhere: no such model; expected"):
        sentence_model("nowhere")


def test_without_the_package_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(UsageError, match=r"pip install 'pmmsynth\[embedding\]'"):
        sentence_model("some/name")
