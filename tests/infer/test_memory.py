"""The limit of memory: what a process holds at most, and the same synthesis in smaller portions."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model_phantoms import affine_for, make_card, make_model, save
from pmmsynth.errors import UsageError
from pmmsynth.infer.memory import maps, slices_within
from pmmsynth.machine import memory_held
from pmmsynth.nets import PMMSynthArchitecture
from pmmsynth.predict import SLICES_AT_ONCE

RUN = """
import sys
import numpy as np
from pmmsynth.infer import Synthesizer
from pmmsynth.machine import memory_used
folder, source, memory, out = sys.argv[1:]
model = Synthesizer.load(folder, "cpu", precision="float32", memory=float(memory) or None)
for _ in range(2):
    made = model.synthesize(t1=source, dataset="A", targets="flair")["FLAIR"].volume.data
np.save(out, made)
print(memory_used() / 1e9)
"""


def test_no_limit_and_a_wide_one_leave_the_usual_number():
    assert slices_within(None, make_card()) == SLICES_AT_ONCE
    assert slices_within(1000, make_card(), stack=155) == SLICES_AT_ONCE


def test_what_is_left_is_divided_by_what_a_slice_takes():
    card = make_card(matrix=192, architecture=PMMSynthArchitecture(width=64))
    slice_gb = maps(card) * 64 * 4 * 192**2 / 1e9
    limit = memory_held() / 1e9 + 5.5 * slice_gb
    assert maps(card) == 50  # five modalities
    assert slices_within(limit, card) == 5
    whole_gb = 2 * 5 * 4 * 192**2 / 1e9  # five modalities, kept twice while they are joined
    assert slices_within(limit + 100 * whole_gb, card, stack=100) == 5


@pytest.mark.parametrize("limit", [float("nan"), float("inf"), -float("inf")])
def test_a_limit_that_is_no_number_is_refused(limit):
    with pytest.raises(UsageError, match=r"found a limit of .* GB; expected a number such as 4"):
        slices_within(limit, make_card())


def test_too_little_for_one_slice_says_how_much_it_takes():
    with pytest.raises(UsageError, match=r"found a limit of 0.01 GB; expected at least \d+\.\d\d GB for one slice"):
        slices_within(0.01, make_card())


@pytest.mark.slow
def test_a_limit_holds_case_after_case_with_the_same_result(tmp_path: Path):
    """40 slices of a head that fills the slice, twice, in a process of its own: in portions of 16, or fewer."""
    make_model(tmp_path / "model", matrix=192, architecture=PMMSynthArchitecture(width=16))
    shape = (180, 180, 40)
    data = np.zeros(shape, np.float32)
    data[5:175, 5:175] = np.random.default_rng(0).uniform(50, 1500, (170, 170, 40))
    source = save(tmp_path / "t1.nii.gz", data, affine_for("RAS", (1, 1, 1.9), shape))

    def peak_with(limit: float) -> float:
        command = [sys.executable, "-c", RUN, tmp_path / "model", source, limit, tmp_path / f"{limit}.npy"]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return float(done.stdout)

    limit = 0.8
    assert peak_with(limit) < limit < peak_with(0)
    results = [np.load(tmp_path / f"{used}.npy") for used in (limit, 0)]
    np.testing.assert_allclose(*results, rtol=0, atol=5e-3)  # of 700 and more
