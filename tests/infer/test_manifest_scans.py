"""What a cohort file says of its scans goes with the manifest: synthesize prepares them as the training cases were."""

import json
from pathlib import Path

import pytest

from model_phantoms import make_model, save_case
from pmmsynth.case import RAW, READY, Scans
from pmmsynth.cli import main
from pmmsynth.intake import find_cases
from pmmsynth.prepare import volumes as preparing

COHORT = """
split = { train = ["*"] }
[[dataset]]
name = "A"
root = "in/A"
layout = "brats"
registered = false
bias_field = true
[[dataset]]
name = "B"
root = "in/B"
layout = "brats"
"""
OWN = Scans(registered=False, bias_field=True)


@pytest.fixture
def seen(monkeypatch) -> list[Scans]:
    """What `align` is told of scans, which it then takes for ready."""
    told = []
    honest = preparing.align

    def align(volumes, scans, **others):
        told.append(scans)
        return honest(volumes, READY, **others)

    monkeypatch.setattr(preparing, "align", align)
    return told


def test_scans_are_prepared_as_those_of_training_were(tmp_path: Path, seen: list[Scans]) -> None:
    for dataset in "AB":
        save_case(tmp_path / "in" / dataset / f"{dataset}1", ("t1", "flair"))
    (tmp_path / "cohorts.toml").write_text(COHORT)
    store, out = tmp_path / "store", tmp_path / "out"
    assert main(["prepare", str(tmp_path / "cohorts.toml"), "--out", str(store), "--matrix", "48", "--quiet"]) == 0
    assert seen == [OWN, READY]
    assert [(c.id, c.scans) for c in find_cases(store / "manifest.jsonl")] == [("A1", OWN), ("B1", READY)]
    assert '"scans"' not in (store / "manifest.jsonl").read_text().splitlines()[1], "what is usual is not said"

    seen.clear()
    model = str(make_model(tmp_path / "model"))
    asked = ["synthesize", model, str(store / "manifest.jsonl"), "--targets", "t2", "--out", str(out), "--quiet"]
    assert main(asked) == 0
    assert seen == [OWN, READY]
    said = {path.name[:6]: json.loads(path.read_text())["Preparation"] for path in out.rglob("sub-*.json")}
    assert (said["sub-A1"]["Registration"], said["sub-A1"]["BiasFieldCorrection"]) == (True, True)
    assert (said["sub-B1"]["Registration"], said["sub-B1"]["BiasFieldCorrection"]) == (False, False)
    assert main(asked) == 0
    assert seen == [OWN, READY], "kept: prepared as they would be now"

    seen.clear()
    assert main([*asked, "--raw", "--overwrite"]) == 0
    assert seen == [RAW, RAW], "who says it at the command line is believed"
