"""What a training would do is said without doing it."""

import re
from pathlib import Path

import pytest

from phantoms import make_store
from pmmsynth.cli import main


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = make_store(tmp_path / "store", {"A": [("train", ["T1", "T2"])] * 3})
    before = sorted(tmp_path.rglob("*"))
    assert main(["train", str(store.root), "--out", str(tmp_path / "run"), "--preset", "tiny", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "epochs = 2" in out
    assert re.search(r"# A T1\+T2: \d+ slices", out)
    assert re.search(r"# \d+ steps of 2 slices per epoch, \d+ steps in all", out)
    assert sorted(tmp_path.rglob("*")) == before
    assert not (tmp_path / "run").exists()
