"""The list of cases: round trip, what it refuses, and how patients are split."""

from collections import Counter
from pathlib import Path
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pmmsynth.case import Case
from pmmsynth.errors import BadInput
from pmmsynth.manifest import Manifest, build, split_patients


def case(name="a", dataset="d", subject=None, split="train", images=("T1", "FLAIR"), **more) -> Case:
    files = {m: Path(f"/data/{name}/{m}.nii.gz") for m in images}
    return Case(dataset=dataset, id=name, subject=subject or name, split=split, images=files, **more)


def test_what_is_written_is_read_again(tmp_path):
    lesion = case("b", "e", split="test", images=("ADC", "DWI"), lesion=Path("/m.nii"), lesion_labels={1: "infarct"})
    manifest = build(["e", "d"], [case(), lesion], "x")
    manifest.write(tmp_path / "manifest.jsonl")
    assert Manifest.read(tmp_path / "manifest.jsonl") == manifest
    assert manifest.datasets == ("e", "d")
    assert manifest.modalities == ("T1", "FLAIR", "DWI", "ADC")
    assert manifest.coverage()["e"] == {"T1": 0, "FLAIR": 0, "DWI": 1, "ADC": 1}


def test_names_are_canonical_and_ordered():
    files = {m: Path(m) for m in ("flair", "t1ce", "T1w", "swi")}
    assert Case(dataset="d", id="a", subject="a", images=files).modalities == ("T1", "T1C", "FLAIR", "SWI")


REFUSED = {
    "two splits": ([case("a", subject="p"), case("b", subject="p", split="test")], "patient p in splits test, train"),
    "two splits across datasets": (
        [case("a", "d", "p"), case("a", "e", "p", split="val"), case("b", "e")],
        "patient p in splits train, val",
    ),
    "two of one name": ([case("a"), case("a")], "two cases named a in d"),
    "unlisted dataset": ([case("a"), case("b", "f")], r"unlisted datasets \['f'\]"),
    "empty dataset": ([case("a")], "no case in dataset e"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_cases_that_do_not_hold_together_are_refused(kind):
    cases, found = REFUSED[kind]
    datasets = ["d", "e"] if kind in ("two splits across datasets", "empty dataset") else ["d"]
    with pytest.raises(BadInput, match=found):
        build(datasets, cases, "cohorts.toml")


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a/b", "a b"])
def test_a_case_name_is_a_folder_name(name):
    with pytest.raises(ValueError, match="must be letters"):
        case(name)


def test_a_name_from_a_mac_is_refused_with_the_cause():
    composed = "Müller"
    assert case(composed).id == composed
    with pytest.raises(
        ValueError, match=r"must be of composed letters \(Unicode NFC, not NFD as from a Mac\): rename it"
    ):
        case(normalize("NFD", composed))


def test_a_bad_line_is_named(tmp_path):
    path = tmp_path / "manifest.jsonl"
    path.write_text(case().model_dump_json() + '\n{"dataset": "d"}\n')
    with pytest.raises(BadInput, match="line 2"):
        Manifest.read(path)
    with pytest.raises(BadInput, match="no manifest"):
        Manifest.read(tmp_path / "none.jsonl")


def test_a_byte_order_mark_is_no_case(tmp_path):
    path = tmp_path / "manifest.jsonl"
    path.write_text(case().model_dump_json() + "\n", encoding="utf-8-sig")
    assert Manifest.read(path).cases == (case(),)


@pytest.mark.parametrize(
    ("patients", "val", "test", "expected"),
    [
        (100, 0.1, 0.2, (70, 10, 20)),
        (3, 0.1, 0.2, (1, 1, 1)),
        (3, 0.0, 0.2, (2, 0, 1)),
        (2, 0.1, 0.2, (2, 0, 0)),
        (1, 0.1, 0.2, (1, 0, 0)),
        (5, 0.1, 0.2, (3, 1, 1)),
    ],
)
def test_numbers_of_a_split_are_exact(patients, val, test, expected):
    splits = split_patients([f"p{i}" for i in range(patients)], {}, seed=0, val=val, test=test)
    counts = Counter(splits.values())
    assert (counts["train"], counts["val"], counts["test"]) == expected


@settings(max_examples=50, deadline=None)
@given(st.sets(st.text(min_size=1), min_size=1), st.integers(0, 5), st.randoms())
def test_a_split_depends_on_no_order_and_keeps_what_is_placed(subjects, seed, random):
    names = sorted(subjects)
    whole = split_patients(names, {}, seed=seed, val=0.1, test=0.2)
    random.shuffle(names)
    assert split_patients(names, {}, seed=seed, val=0.1, test=0.2) == whole
    placed = {names[0]: "val"}
    rest = split_patients(names, placed, seed=seed, val=0.1, test=0.2)
    assert set(rest) == set(names[1:])


def test_seed_matters():
    names = [f"p{i}" for i in range(50)]
    one, other = (split_patients(names, {}, seed=s, val=0.1, test=0.2) for s in (0, 1))
    assert one != other


def test_the_lines_of_one_dataset_are_a_manifest_too(tmp_path):
    path = tmp_path / "manifest.jsonl"
    build(["d", "e"], [case("a"), case("a", "e", "p")], "here").write(path)
    some = tmp_path / "e.jsonl"
    some.write_text(path.read_text().splitlines(keepends=True)[1])
    assert (Manifest.read(some).datasets, [c.subject for c in Manifest.read(some).cases]) == (("e",), ["p"])
    (tmp_path / "datasets.json").write_text('{"datasets": [{"name": "d"}]}')
    with pytest.raises(BadInput, match="unlisted datasets"):
        Manifest.read(some)
