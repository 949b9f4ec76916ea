"""`pmmsynth prepare` over a hundred malformed cases: each is refused in its own line, the sound one beside is done."""

import io
import os
import re
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from malformed_files import BRAIN, BRAINS, MALFORMED, SOUND
from prepare_phantoms import SMALL, SMALL_AFFINE, cohort, phantom, save, save_case

from pmmsynth.cli import main
from pmmsynth.volume import read_volume, write_volume
from sound_files import little_memory

pytestmark = pytest.mark.timeout(120)
GLIOMA = 'name = "glioma"\nroot = "glioma"\nlayout = "brats"\nsplit = {test = []}'
MASKED = (
    'name = "masked"\nroot = "masked"\nlayout = "pattern"\nimage = "{case}/{modality}.nii.gz"\n'
    'brain = "{case}/brain.nii.gz"\nlesion = "{case}/seg.nii.gz"\nsplit = {test = []}'
)
KINDS = {f"glioma/{kind}": row for kind, row in MALFORMED.items()} | {f"masked/{k}": row for k, row in BRAINS.items()}


@dataclass(frozen=True)
class Run:
    """What the command left in the store and said on stderr."""

    code: int
    lines: list[str]
    files: dict[str, bytes]


def run(root: Path, *tables: str, overwrite: bool = False) -> Run:
    said, store = io.StringIO(), root / "store"
    options = ["--matrix", "48", "--inplane-mm", "3", "--quiet", *(["--overwrite"] if overwrite else [])]
    with redirect_stderr(said), little_memory():
        code = main(["prepare", str(cohort(root, *tables)), "--out", str(store), *options])
    cases = [p for p in store.glob("*/*/*") if p.is_file()]  # under quality/ stands why the others are not there
    files = {p.relative_to(store).as_posix(): p.read_bytes() for p in cases}
    lines = [line for line in said.getvalue().splitlines() if "is blurred" not in line]  # a phantom is smooth
    return Run(code, lines, files)


def make(root: Path, kind: str) -> None:
    """A sound case, then spoiled."""
    folder, is_masked = root / kind, kind.startswith("masked")
    save_case(folder, ("t1",), phase=0.6 if is_masked else 0.5)  # no image twice
    save(folder / "t2.nii.gz", phantom(SMALL, SMALL_AFFINE, phase=0.1).data if is_masked else BRAIN)
    if is_masked:
        save(folder / "brain.nii.gz", BRAIN)
    if kind in KINDS:
        KINDS[kind][0](folder)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run over all malformed cases and two sound ones."""
    root = tmp_path_factory.mktemp("together")
    for kind in (*KINDS, "glioma/sound", "masked/sound"):
        make(root, kind)
    return run(root, GLIOMA, MASKED)


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_refused_in_a_line_of_its_own(together: Run, kind: str) -> None:
    (line,) = [line for line in together.lines if line.startswith(f"{kind}: ")]
    assert re.search(KINDS[kind][1], line), line
    assert re.fullmatch(r"[^;]+: found .+; expected .+; .+", line), line


def test_the_sound_ones_are_done_and_nothing_else_is_said_or_written(together: Run, tmp_path: Path) -> None:
    assert together.code == 5
    assert len(together.lines) == len(KINDS)
    for kind in ("glioma/sound", "masked/sound"):
        make(tmp_path, kind)
    alone = run(tmp_path, GLIOMA, MASKED)
    assert (alone.code, alone.lines) == (0, [])
    assert {p.rpartition("/")[0] for p in alone.files} == {"glioma/sound", "masked/sound"}
    assert together.files == alone.files


@pytest.mark.parametrize(
    "kind", ["glioma/empty", "glioma/four-axes", "glioma/pipe", "glioma/other-patient", "masked/brain-cut"]
)
def test_alone_it_is_all_that_there_was(tmp_path: Path, kind: str) -> None:
    make(tmp_path, kind)
    alone = run(tmp_path, GLIOMA if kind.startswith("glioma") else MASKED)
    assert (alone.code, len(alone.lines), alone.files) == (4, 1, {})
    assert re.search(KINDS[kind][1], alone.lines[0])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    make(tmp_path, "glioma/sound")
    make(tmp_path, "glioma/secret")
    (tmp_path / "glioma/secret/t2.nii.gz").chmod(0)
    got = run(tmp_path, GLIOMA)
    assert got.code == 5
    assert re.fullmatch(r"glioma/secret: found .*Permission denied.*t2\.nii\.gz.*; expected .+; .+", *got.lines)


def renamed(old: str, new: str) -> Callable[[Path], object]:
    return lambda folder: (folder / old).rename(folder / new)


NAMES = {
    "line-break-in-a-file": (GLIOMA, renamed("case/t2.nii.gz", "case/x\n_t2.nii.gz"), r"file name '.*x\\n_t2"),
    "bytes-that-are-no-text": (GLIOMA, renamed("case/t2.nii.gz", "case/\udcff_t2.nii.gz"), r"file name '.*\\udcff_t2"),
    "line-break-in-a-folder": (GLIOMA, renamed("case", "c\nase"), r"file name '.*c\\nase/seg"),
    "space-in-a-folder": (GLIOMA, renamed("case", "c ase"), "name 'c ase' must be letters"),
    "longer-than-a-folder-may-be": (GLIOMA, renamed("case", "c" * 201), "'c{201}' must have at most 200 bytes"),
    "hidden": (GLIOMA, renamed("case", ".case"), "no case in glioma with layout brats"),
    "one-sequence-twice": (GLIOMA, renamed("case/t2.nii.gz", "case/t1n.nii.gz"), "T1 twice"),
    "unknown-modality": (MASKED, renamed("case/t2.nii.gz", "case/pet.nii.gz"), "unknown modality name 'pet'"),
    "images-of-analyze": (GLIOMA, lambda root: analyze(root / "case"), "no case in glioma with layout brats"),
}


def analyze(folder: Path) -> None:
    for path in list(folder.iterdir()):
        path.rename(path.with_name(path.name.replace(".nii.gz", ".img")))
        path.with_name(path.name.replace(".nii.gz", ".hdr")).touch()


@pytest.mark.parametrize("kind", NAMES)
def test_names_are_refused_before_any_work(tmp_path: Path, kind: str) -> None:
    table, rename, expected = NAMES[kind]
    dataset = "glioma" if table == GLIOMA else "masked"
    make(tmp_path, f"{dataset}/case")
    rename(tmp_path / dataset)
    got = run(tmp_path, table)
    assert (got.code, len(got.lines)) == (4, 1)
    assert re.search(expected, got.lines[0]), got.lines[0]
    assert not (tmp_path / "store").exists()


def test_folders_within_themselves_and_long_foreign_names_do_no_harm(tmp_path: Path) -> None:
    name = "Fälle-脳" + "x" * 180
    make(tmp_path, f"glioma/{name}")
    (tmp_path / "glioma/again").symlink_to(tmp_path / "glioma")
    (tmp_path / f"glioma/{name}/up").symlink_to("..")
    for _ in range(2):
        got = run(tmp_path, GLIOMA, overwrite=True)
        assert (got.code, got.lines) == (0, [])
        assert {p.split("/")[1] for p in got.files} == {name}


@pytest.mark.parametrize("kind", SOUND)
def test_what_only_looks_malformed_is_read(tmp_path: Path, kind: str) -> None:
    path = save(tmp_path / "t2.nii.gz", BRAIN)
    SOUND[kind](tmp_path)
    got = read_volume(path)
    np.testing.assert_array_equal(got.data, BRAIN)
    np.testing.assert_allclose(got.affine, SMALL_AFFINE, atol=1e-5)
    write_volume(tmp_path / "again.nii.gz", got.data, got, "again")
    again = read_volume(tmp_path / "again.nii.gz")
    np.testing.assert_array_equal(again.data, BRAIN)
    np.testing.assert_array_equal(again.affine, got.affine)
