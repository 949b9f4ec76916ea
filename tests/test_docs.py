"""The documentation is true where a machine can tell: help, links, examples, names of keys and fields."""

import json
import re
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from pydantic import BaseModel, TypeAdapter

from pmmsynth.case import Case
from pmmsynth.evaluate import Score
from pmmsynth.evaluate.score import Meta
from pmmsynth.intake import CohortFile, DatasetTable
from pmmsynth.metrics import PROTOCOLS
from pmmsynth.model import ModelCard
from pmmsynth.reading.labels import LabelFile, Labels
from pmmsynth.segment.score import RegionScore
from pmmsynth.segment.segmenter import SegmenterCard
from pmmsynth.store import CaseRecord, StoreRecord
from pmmsynth.study.files import Item, KeyRecord, Reader, Request, Shown, StudyRecord
from pmmsynth.study.form import Form
from pmmsynth.train import PRESETS, TrainConfig

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [*(ROOT / n for n in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *sorted(DOCS.rglob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def examples(language: str) -> list[str]:
    found = (FENCED.findall(page.read_text(encoding="utf-8")) for page in PAGES)
    return [body for blocks in found for name, body in blocks if name == language]


def anchors(page: Path) -> set[str]:
    """Of every heading, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def test_the_help_is_current() -> None:
    path = DOCS / "reference" / "make_cli.py"
    spec = spec_from_file_location("make_cli", path)
    assert spec
    assert spec.loader
    make_cli = module_from_spec(spec)
    spec.loader.exec_module(make_cli)
    assert text_of("reference/cli.md") == make_cli.page(), "run python docs/reference/make_cli.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = page.parent / place if place else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {link}"


@pytest.mark.parametrize("example", examples("toml"))
def test_toml_examples_are_valid(example: str) -> None:
    """Every one is a cohort file, a list of labels, the choices of a reading study or training settings."""
    values = tomllib.loads(example)
    if "dataset" in values:
        CohortFile.model_validate(values)
    elif "labels" in values:
        Labels(LabelFile.model_validate(values))
    elif "types" in values:
        Form.model_validate(values)
    else:
        TypeAdapter(TrainConfig).validate_python(values)


def test_there_is_a_cohort_example_for_every_layout() -> None:
    files = [tomllib.loads(e) for e in examples("toml") if "[[dataset]]" in e]
    assert {table["layout"] for file in files for table in file["dataset"]} == {
        "brats",
        "isles",
        "bids",
        "dicom",
        "pattern",
    }


@pytest.mark.parametrize("example", examples("python"))
def test_python_examples_are_python(example: str) -> None:
    compile(example, "example", "exec")


COMMANDS = sorted({line for e in examples("sh") for line in e.splitlines() if re.match(r"pmmsynth \w", line)})


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_and_options_exist(command: str) -> None:
    page, words = text_of("reference/cli.md"), command.split()
    rest = "".join(page.partition(f"## {' '.join(words[:n])}\n")[2] for n in (2, 3))  # one word, or two where nested
    assert rest
    explained = set(re.findall(r"(?<!\S)--[a-z-]+", rest.partition("## pmmsynth")[0]))
    assert set(re.findall(r" (--[a-z-]+)", command)) <= explained


@pytest.mark.parametrize(
    ("page", "record"),
    [
        ("how-to/prepare-your-data.md", CohortFile),
        ("how-to/prepare-your-data.md", DatasetTable),
        ("reference/files.md", Case),
        ("reference/files.md", CaseRecord),
        ("reference/files.md", StoreRecord),
        ("reference/files.md", ModelCard),
        ("reference/files.md", Score),
        ("reference/files.md", Meta),
        ("reference/files.md", SegmenterCard),
        ("reference/files.md", RegionScore),
        ("reference/files.md", StudyRecord),
        ("reference/files.md", Reader),
        ("reference/files.md", Item),
        ("reference/files.md", KeyRecord),
        ("reference/files.md", Shown),
        ("reference/files.md", Request),
    ],
)
def test_every_field_is_explained(page: str, record: type[BaseModel]) -> None:
    text = text_of(page)
    missing = [name for name, field in record.model_fields.items() if f"`{field.alias or name}`" not in text]
    assert not missing


def test_the_settings_are_the_settings() -> None:
    """The TOML example has every field; the table has the presets' numbers."""
    (example,) = (e for e in examples("toml") if not any(word in e for word in ("[[dataset]]", "[labels]", "types =")))
    assert set(tomllib.loads(example)) == set(TrainConfig.__dataclass_fields__)
    configs = [PRESETS[name]() for name in ("paper", "small", "tiny")]
    sizes = [c.architecture for c in configs]
    text = text_of("how-to/train.md")
    for name, cells in {
        "generator width, residual blocks, embedding": [
            f"{a.width}, {a.residual_blocks}, {a.embedding}" for a in sizes
        ],
        "discriminator width": [str(c.discriminator_width) for c in configs],
        "batch size": [str(c.batch_size) for c in configs],
        "epochs, of these at constant rate": [f"{c.epochs}, {c.constant_epochs}" for c in configs],
        "learning rate": [f"{c.learning_rate:.0e}".replace("e-0", "e-") for c in configs],
    }.items():
        assert f"| {' | '.join([name, *cells])} |" in text


def test_the_kill_test_is_told_as_it_came_out() -> None:
    result = json.loads((ROOT / "experiments" / "kill_test.json").read_text(encoding="utf-8"))
    text = " ".join(text_of("how-to/train.md").split())
    told = re.search(r"Of (\d+) runs, killed (\d+) times, (\d+) came back and (\d+)", text)
    assert told
    assert [int(n) for n in told.groups()] == [result[k] for k in ("trials", "kills", "recovered", "equal")]


def test_every_protocol_is_explained() -> None:
    assert all(f"`{name}`" in text_of("how-to/evaluate.md") for name in PROTOCOLS)


def test_every_equation_has_a_place() -> None:
    """And the file and function named there exist."""
    text = text_of("explanation/equations.md")
    rows = re.findall(r"^\| (\d+) \|.*\(\.\./\.\./([\w/.]+)\) \| (.+) \|$", text, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, 12))
    for _, path, places in rows:
        source = (ROOT / path).read_text(encoding="utf-8")
        for name in re.findall(r"`([\w.]+)`", places):
            assert re.search(rf"(def|class) {name.split('.')[-1]}\b", source), f"{path}: {name}"
