"""The container recipes, as far as they can be checked without building: what they copy, install and start."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def docker() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile with their arguments."""
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [(k, v) for k, _, v in (line.partition(" ") for line in text.splitlines()) if k and k != "#"]


def apptainer() -> dict[str, list[str]]:
    """The lines of every section of the definition; those of the header under an empty name."""
    sections: dict[str, list[str]] = {"": []}
    name = ""
    for line in (ROOT / "deploy" / "pmmsynth.def").read_text(encoding="utf-8").splitlines():
        if line.startswith("%"):
            name = line.removeprefix("%")
            sections[name] = []
        elif line.strip() and not line.strip().startswith("#"):
            sections[name].append(line.strip())
    return sections


def arguments(instruction: str) -> list[str]:
    return [value for name, value in docker() if name == instruction]


def test_both_containers_are_made_alike() -> None:
    installs = [v for v in arguments("RUN") if v.startswith("pip ")]
    assert len(installs) == 2
    post = [line for line in apptainer()["post"] if line.startswith("pip ")]
    assert [line.replace("{{ TORCH_INDEX }}", "$TORCH_INDEX") for line in post] == installs
    assert arguments("ARG") == apptainer()["arguments"] == ["TORCH_INDEX=https://download.pytorch.org/whl/cpu"]
    assert arguments("FROM") == [apptainer()[""][1].removeprefix("From: ")]


def test_the_python_is_one_we_support() -> None:
    (image,) = arguments("FROM")
    major, minor = map(int, re.fullmatch(r"python:(\d+)\.(\d+)-slim", image).groups())  # type: ignore[union-attr]
    assert (major, minor) >= tuple(map(int, PROJECT["requires-python"].removeprefix(">=").split(".")))


def test_the_versions_are_the_tested_ones() -> None:
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for install in (v for v in arguments("RUN") if v.startswith("pip ")):
        assert " -c constraints.txt " in install
    assert re.search(r"^torch==", pinned, re.MULTILINE)


def test_what_is_copied_is_there_and_is_all_that_installing_needs() -> None:
    copied = {path for v in arguments("COPY") for path in v.split()[:-1]}
    assert all((ROOT / path).exists() for path in copied)
    assert {line.split()[0] for line in apptainer()["files"]} == copied
    licences = {name for name in PROJECT["license-files"] if not name.startswith("src/")}
    assert {"src", "pyproject.toml", "constraints.txt", PROJECT["readme"], *licences} == copied
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored.index("*") < min(ignored.index(f"!{path}") for path in copied)


def test_it_starts_our_command_and_not_as_root() -> None:
    assert arguments("ENTRYPOINT") == ['["pmmsynth"]']
    assert apptainer()["runscript"] == ['exec pmmsynth "$@"']
    assert PROJECT["scripts"]["pmmsynth"] == "pmmsynth.cli:entry"
    order = [name for name, _ in docker()]
    (user,) = arguments("USER")
    assert f"useradd --create-home {user}" in arguments("RUN")
    assert order.index("USER") > max(i for i, name in enumerate(order) if name == "RUN")


def test_the_compiler_training_looks_for_is_installed() -> None:
    assert '"g++"' in (ROOT / "src" / "pmmsynth" / "machine.py").read_text(encoding="utf-8")
    assert any(" g++ " in v for v in arguments("RUN"))
    assert any(line.endswith(" g++") for line in apptainer()["post"])
