"""Floors against what can be worked out by hand on the synthetic store."""

import numpy as np
import pytest

from pmmsynth.evaluate import fit_floors
from pmmsynth.modality import Task, all_tasks


@pytest.fixture(scope="module")
def floors(store):
    from pmmsynth.console import Reporter

    return fit_floors(store, Reporter(quiet=True))


@pytest.fixture
def case(store):
    return next(store.cases("test", "glioma"))


def stack(case, *names):
    rows = [case.record.modalities.index(n) for n in names]
    return case.images()[rows][:, case.scored_slices()].astype(np.float32)


def test_regression_recovers_the_coefficients(floors, case):
    # FLAIR = 0.125 + 0.5 T2 + 0.125 T1 up to float16 rounding
    assert floors.fits.coefficients("glioma", ("T1", "T2"), "FLAIR") == pytest.approx([0.125, 0.125, 0.5], abs=1e-3)
    made = floors.regression(stack(case, "T1", "T2"), ("T1", "T2"), "FLAIR", case.record)
    inside = case.brain()[case.scored_slices()]
    assert made[inside] == pytest.approx(stack(case, "FLAIR")[0][inside], abs=1e-3)


def test_regression_equals_least_squares_on_all_voxels_at_once(floors, store):
    x, y = [], []
    for case in store.cases("train", "stroke"):
        inside = case.brain()[case.scored_slices()]
        x.append(stack(case, "FLAIR")[0][inside])
        y.append(stack(case, "DWI")[0][inside])
    x, y = np.concatenate(x).astype(float), np.concatenate(y).astype(float)
    slope, constant = np.polyfit(x, y, 1)
    assert floors.fits.coefficients("stroke", ("FLAIR",), "DWI") == pytest.approx([constant, slope], abs=1e-6)


def test_equal_sources_share_their_slope(floors):
    assert np.isfinite(floors.fits.coefficients("stroke", ("FLAIR", "DWI"), "ADC")).all()


def test_copy_takes_the_better_source(floors, case):
    images = stack(case, "T1", "T2")
    truth = stack(case, "FLAIR")[0]
    errors = [((source - truth) ** 2).sum() for source in images]
    assert np.array_equal(floors.copy(images, ("T1", "T2"), "FLAIR", case.record), images[int(np.argmin(errors))])
    assert np.argmin(errors) == 1
    assert np.array_equal(floors.copy(images[::-1], ("T2", "T1"), "FLAIR", case.record), images[1])


def test_mean_image(floors, store, case):
    expected = np.concatenate([stack(c, "FLAIR")[0] for c in store.cases("train", "glioma")]).mean(axis=0)
    made = floors.mean_image(stack(case, "T1"), ("T1",), "FLAIR", case.record)
    assert made == pytest.approx(np.broadcast_to(expected, made.shape), abs=1e-6)


def test_fit_falls_back_on_the_datasets_that_have_the_modalities(floors):
    assert floors.fits.fitted_on("glioma", ("FLAIR", "T1")) == ("glioma",)
    assert floors.fits.fitted_on("glioma", ("FLAIR", "DWI")) == ("stroke",)
    assert floors.fits.fitted_on("glioma", ("T1", "DWI")) == ()
    assert np.array_equal(
        floors.fits.coefficients("glioma", ("FLAIR",), "DWI"), floors.fits.coefficients("stroke", ("FLAIR",), "DWI")
    )


def test_floors_only_claim_what_they_were_taught(floors):
    methods = floors.methods(all_tasks(("T1", "T2", "FLAIR", "DWI", "ADC")), ["ISLES"])
    assert list(methods) == ["copy", "mean image", "regression"]
    for method in methods.values():
        assert method.can(Task.parse("FLAIR->DWI"), "ISLES")
        assert not method.can(Task.parse("T1->DWI"), "ISLES")


def test_digest_is_of_the_training_data(floors, store, quiet):
    assert fit_floors(store, quiet).digest == floors.digest
