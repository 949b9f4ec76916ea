"""The shape of the code itself: imports point one way, files stay small, no grab-bags."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "pmmsynth"
ORDER = [
    *(
        "errors",
        "machine",
        "atomic",
        "record",
        "modality",
        "tensors",
        "console",
        "verb",
        "workers",
        "jobs",
        "volume",
        "case",
    ),
    *(
        "manifest",
        "store",
        "learned",
        "metrics",
        "linear",
        "simulate",
        "intake",
        "prepare",
        "check",
        "data",
        "nets",
        "losses",
    ),
    *("objective", "baselines", "methods", "model", "predict", "train", "infer", "evaluate", "segment", "reading"),
    *("study", "web", "demo", "cli"),
]
"""Every module or folder may import those before it, never those after it; atomic is used by all that write."""
FILES = sorted(SOURCE.rglob("*.py"))


def stage(module: str) -> str:
    return module.split(".")[1] if "." in module else "pmmsynth"


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
            if node.module == "pmmsynth":
                found += [f"pmmsynth.{alias.name}" for alias in node.names]
    return [name for name in found if name.split(".")[0] == "pmmsynth"]


def test_every_stage_has_its_place() -> None:
    stages = {p.relative_to(SOURCE).parts[0].removesuffix(".py") for p in FILES} - {"__init__", "__main__"}
    assert stages == set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_one_way(path: Path) -> None:
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if own in ("__init__", "__main__"):
        return
    for name in imports(path):
        other = stage(name)
        assert other == own or ORDER.index(other) < ORDER.index(own), f"{own} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_files_are_small_and_say_what_they_are(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(ast.parse(text)), "first line: what the file is"
    assert path.stem not in {"utils", "common", "core", "base", "misc", "helpers"}
    assert "from __future__ import annotations" not in text, "it would switch the shape checks off"


def test_the_tree_in_the_readme_is_the_tree() -> None:
    readme = (SOURCE.parents[1] / "README.md").read_text(encoding="utf-8")
    for path in FILES:
        if not path.name.startswith("__"):
            assert path.name in readme, f"{path.relative_to(SOURCE)} is not in the README's tree"
    folders = {p.parent.name for p in FILES} - {"pmmsynth"}
    assert all(f"{folder}/" in readme for folder in folders)
