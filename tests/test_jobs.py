"""Many cases, one report: order, failures, exit codes."""

import pytest
import torch

from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, NothingToDo, UsageError
from pmmsynth.jobs import map_cases

ERRORS = {
    "bad": BadInput("a.nii: 4-D", "one volume", "extract one"),
    "usage": UsageError("found b; expected c; do d"),
    "nothing": NothingToDo("found all; expected less"),
    "disk": OSError(28, "No space left on device", "out/x.nii.gz"),
    "ours": RuntimeError("a message\nof two lines"),
}


def work(item):
    if item in ERRORS:
        raise ERRORS[item]
    return item * 2


def mapped(items, jobs=1, reporter=None):
    names = [f"case-{i}" for i in items]
    return map_cases(work, items, names, label="work", jobs=jobs, reporter=reporter or Reporter(quiet=True))


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_results_keep_the_order_and_failures_do_not_stop_the_rest(jobs, capsys):
    outcome = mapped([3, "bad", 1, "disk", 2], jobs)
    assert outcome.results == (6, 2, 4)
    assert [(f.name, f.reason, f.is_ours) for f in outcome.failures] == [
        ("case-bad", "found a.nii: 4-D; expected one volume; extract one", False),
        ("case-disk", f"found {ERRORS['disk']}; expected to read and write there; check space and permissions", False),
    ]
    assert sorted(capsys.readouterr().err.splitlines()) == [f"{f.name}: {f.reason}" for f in outcome.failures]


@pytest.mark.parametrize(
    ("items", "code"),
    [
        ([], 0),
        ([1, 2], 0),
        (["bad"], 4),
        (["disk", "bad"], 4),
        (["usage"], 4),
        ([1, "bad"], 5),
        ([1, "nothing"], 5),
        ([1, "ours"], 70),
        (["bad", "ours"], 70),
    ],
)
def test_exit_codes(items, code):
    assert mapped(items).exit_code == code


def test_a_fault_of_ours_is_one_line_that_says_where():
    (failure,) = mapped(["ours"]).failures
    assert failure.is_ours
    place, _, message = failure.reason.partition(": ")
    assert message == "a message of two lines"
    assert place.startswith("unexpected RuntimeError in test_jobs.py, line ")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 GiB"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_too_little_memory_is_no_fault_of_ours(error):
    def work(item):
        raise error

    outcome = map_cases(work, [1, 2], ["a", "b"], label="x", jobs=1, reporter=Reporter(quiet=True))
    assert outcome.exit_code == 4
    for failure in outcome.failures:
        assert (failure.is_ours, failure.is_input) == (False, False)
        assert failure.reason.startswith("found too little memory (")
        assert failure.reason.endswith("lower --jobs or --memory")


def test_an_interruption_is_not_swallowed():
    def stop(item):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_cases(stop, [1], ["a"], label="x", jobs=1, reporter=Reporter(quiet=True))


def test_names_and_items_must_match():
    with pytest.raises(ValueError, match="zip"):
        map_cases(work, [1, 2], ["one"], label="x", jobs=1, reporter=Reporter(quiet=True))
