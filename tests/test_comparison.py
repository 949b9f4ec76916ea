"""A comparison from end to end: equal budgets, nothing done twice, pages that follow from what is kept."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tyro

from phantoms import make_store
from pmmsynth.evaluate import read_scores
from pmmsynth.metrics import PROTOCOL
from pmmsynth.store import Store
from pmmsynth.train import tiny

PROJECT = Path(__file__).parents[1]
SCRIPTS = PROJECT / "experiments"


@pytest.mark.slow
@pytest.mark.usefixtures("scripts")
def test_the_same_budget_for_all_and_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import comparison
    import comparison_page
    import kept
    import tables

    names = ("T1", "T2", "FLAIR")
    split = [("train", names), ("train", names), ("val", names), ("test", names)]
    store = make_store(tmp_path / "store", {"A": split, "B": split})
    monkeypatch.setattr(comparison, "small", tiny)
    out = tmp_path / "out"
    asked = [str(store.root), str(out), "--epochs", "2", "--only", "MM-GAN, FTN, PMM-Synth"]  # as the Makefile asks
    assert tyro.cli(comparison.main, args=asked) == 0
    runs = {path.parent.relative_to(out / "seed0" / "runs").as_posix() for path in out.rglob("config.toml")}
    assert runs == {"MM-GAN/A", "MM-GAN/B", "FTN/all", "PMM-Synth/all"}
    last = {name: json.loads(_last(out / "seed0" / "runs" / name))["global_step"] for name in runs}
    assert last["MM-GAN/A"] + last["MM-GAN/B"] == last["FTN/all"] == last["PMM-Synth/all"]
    scores = out / "seed0" / "evaluation" / "scores.jsonl"
    before = scores.read_bytes()
    assert {"MM-GAN", "FTN", "regression"} == {r["method"] for r in map(json.loads, before.splitlines())} & {
        *("MM-GAN", "FTN", "regression")
    }
    assert b"T1+T2->FLAIR" not in b"".join(line for line in before.splitlines() if b'"FTN"' in line)
    meta = scores.with_suffix(".meta.json").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("pmmsynth.train.learner.Learner.step", lambda *_: pytest.fail("trained again"))
        patch.setattr("pmmsynth.evaluate.method.Method.run", lambda *_: pytest.fail("synthesized again"))
        patch.setattr("pmmsynth.evaluate.floors.fit_least_squares", lambda *_: pytest.fail("fitted again"))
        patch.setattr("pmmsynth.store.PreparedCase.verify", lambda *_: pytest.fail("read again"))
        assert tyro.cli(comparison.main, args=asked) == 0
    assert scores.read_bytes() == before
    assert scores.with_suffix(".meta.json").read_bytes() == meta
    assert Store(store.root).record == store.record
    folder = tmp_path / "results" / "phantoms"
    kept.main(store.root, out, folder)
    ((seed, again),) = kept.read_kept(folder).items()
    honest = [s for s in read_scores(scores) if s.protocol == PROTOCOL]
    assert seed == 0
    assert [s.model_dump(exclude={"psnr", "ssim", "mae"}) for s in again] == [
        s.model_dump(exclude={"psnr", "ssim", "mae"}) for s in sorted(honest, key=lambda s: s.key)
    ], "digest, task and all are back"
    assert [s.psnr for s in again] == pytest.approx([s.psnr for s in sorted(honest, key=lambda s: s.key)], abs=1e-6)
    tables.main(folder)
    (tmp_path / "docs" / "figures").mkdir(parents=True)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "comparison_phantoms.md").write_text(
        "# Phantoms\n\n## What to make of it\n\nNothing.\n"
    )
    comparison_page.main(tmp_path, "phantoms", out)
    page = (tmp_path / "docs" / "comparison_phantoms.md").read_text()
    assert page.startswith("# Phantoms\n\nWritten by")
    assert "Nothing." in page
    assert "A 2/1/1; B 2/1/1" in page
    assert "Budget: 2 epochs over the training slices for every method, batch 2" in page
    assert f"Steps of a joint model: {last['FTN/all']};" in page
    assert "- Seeds: 0 (MM-GAN, FTN, PMM-Synth). Tables are over 0." in page
    assert (folder / "table1.md").read_text() in page
    assert f"## Over both tables\n\n{(folder / 'standing.md').read_text()}" in page
    assert "Fig. 2d" not in page, "two of its variants are no ablation"
    costs = [line.split(" | ")[:2] for line in page.splitlines() if line.startswith("| ") and line.count("|") == 8]
    assert ["| MM-GAN", "2"] in costs
    assert ["| FTN", "1"] in costs
    assert page.count("_panel_") == 4, "two panels, each with its name"
    for picture in re.findall(r"!\[.*\]\(figures/(.*)\)", page):
        assert (tmp_path / "docs" / "figures" / picture).is_file()
    before_that = {path.name: path.read_bytes() for path in folder.iterdir()}
    tyro.cli(comparison.main, args=[*asked[:-1], "FTN, PMM-Synth"])
    kept.main(store.root, out, folder)
    tables.main(folder)
    changed = {path.name for path in folder.iterdir() if path.read_bytes() != before_that[path.name]}
    assert changed <= {"fig2d.png"}, "some methods named again take nothing from the others"
    lines = before.splitlines(keepends=True)
    scores.write_bytes(b"".join(line for line in lines if b'"dataset":"A"' in line))
    with pytest.raises(SystemExit, match="no score of 1 of 2 test cases, the first B/case03"):
        kept.main(store.root, out, folder)
    lost = [line for line in lines if not (b'"FTN"' in line and b'"B"' in line and b'"T2->FLAIR"' in line)]
    assert len(lost) < len(lines)
    scores.write_bytes(b"".join(lost))
    kept.main(store.root, out, tmp_path / "lost")  # a task that a method has of no case of a dataset
    config = out / "seed0" / "runs" / "FTN" / "all" / "config.toml"
    honest_config = config.read_text()
    config.write_text(honest_config.replace("epochs = 2", "epochs = 3"))
    scores.write_bytes(before)
    with pytest.raises(SystemExit, match=r"found 3 epochs of batches of 2 in .*FTN/all; expected 2 of 2"):
        kept.main(store.root, out, folder)
    config.write_text(honest_config)
    scores.write_bytes(b"".join(line for line in lines if b'"dataset":"A"' in line))
    array = store.root / "B" / "case03" / "images.npy"
    array.write_bytes(array.read_bytes()[:-9])
    assert tyro.cli(comparison.main, args=asked) == 5


@pytest.mark.slow
def test_a_script_ends_as_the_commands_do(tmp_path: Path) -> None:
    """One line on stderr and the code of the error."""
    for script, arguments, code in (("comparison.py", [str(tmp_path), "out"], 4), ("tables.py", [str(tmp_path)], 1)):
        command = [sys.executable, str(SCRIPTS / script), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (code, 1)
        assert "found no s" in done.stderr


@pytest.mark.usefixtures("scripts")
def test_a_cohort_without_the_papers_tasks_has_its_own(tmp_path: Path) -> None:
    import comparison

    split = [("train", ("T1", "T2")), ("test", ("T1", "T2"))]
    store = make_store(tmp_path / "store", {"A": split})
    assert comparison.tasks_of(store)[-2:] == ["T2->T1", "T1->T2"]
    comparison.check_tasks(store, comparison.tasks_of(store))
    for asked in (["T1->FLAIR"], "paper"):
        with pytest.raises(SystemExit, match=r"no test case in .* name others with --tasks"):
            comparison.check_tasks(store, asked)
    with pytest.raises(SystemExit, match="no test case"):
        tyro.cli(comparison.main, args=[str(store.root), str(tmp_path / "out"), "--tasks", "T1->ADC"])
    assert not (tmp_path / "out").exists(), "nothing is trained first"


def _last(run: Path) -> str:
    return (run / "metrics.jsonl").read_text().splitlines()[-1]


@pytest.mark.usefixtures("scripts")
@pytest.mark.parametrize(
    "kept", sorted({path.parent for path in (PROJECT / "results").glob("*/seed*.csv")}), ids=lambda path: path.name
)
def test_the_page_of_kept_results_follows_from_them(kept: Path) -> None:
    import tables

    page = (PROJECT / "docs" / f"comparison_{kept.name}.md").read_text(encoding="utf-8")
    notes = (PROJECT / "experiments" / f"comparison_{kept.name}.md").read_text(encoding="utf-8")
    assert notes.partition("\n")[2].strip() in page
    for name, text in tables.tables(kept).items():
        assert text in page, name
