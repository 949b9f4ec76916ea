"""A model as a method of the comparison: the same network on the same slices, and no store it does not fit."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model_phantoms import make_model
from phantoms import make_store
from pmmsynth.errors import UsageError
from pmmsynth.infer import StoredMethod, Synthesizer, find_cases, overlooked
from pmmsynth.store import Store

COHORT = {"A": [("train", ["T1", "T2"]), ("test", ["T1", "T2", "FLAIR"])]}


def of(folder: Path, store: Store) -> StoredMethod:
    return StoredMethod.of(Synthesizer.load(folder, "cpu", precision="float32"), store)


def test_what_it_makes_is_what_the_network_makes(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", COHORT)
    method = of(make_model(tmp_path / "model", matrix=32), store)
    case = next(store.cases("test"))
    images = case.images()[:, 3:6].astype(np.float32)
    made = method(images[:2], ("T1", "T2"), "FLAIR", case.record)
    card = method.model.card
    stack = torch.zeros(3, len(card.modalities), 32, 32)
    stack[:, :2] = torch.from_numpy(images[:2]).transpose(0, 1)
    with torch.no_grad():
        expected = method.model.generator(
            stack, card.mask(("T1", "T2")), torch.tensor(card.dataset("A").id), card.mask(("FLAIR",))
        )
    np.testing.assert_allclose(made, expected[:, card.modalities.index("FLAIR")].clamp(0, 1), atol=1e-6)


def test_it_says_what_it_can_be_asked(tmp_path: Path) -> None:
    method = of(make_model(tmp_path / "model", matrix=32), make_store(tmp_path / "store", COHORT))
    assert {"T1->T2", "T1+T2+T1C+FLAIR->ADC"} <= method.tasks
    assert not any("DWI" in task for task in method.tasks)
    assert len(method.tasks) == 5 * (2**4 - 1)  # every non-empty set of the four others


def test_a_store_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"model for 48 pixels .* store of 32 pixels"):
        of(make_model(tmp_path / "model"), make_store(tmp_path / "store", COHORT))
    other = make_store(tmp_path / "other", {"Unseen": [("train", ["T1", "T2"])]})
    with pytest.raises(UsageError, match="dataset 'Unseen'; expected one the model was trained on: A, B"):
        of(make_model(tmp_path / "model2", matrix=32), other)


def test_volumes_nobody_recognizes_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "cases" / "P1"
    folder.mkdir(parents=True)
    for name in ("P1_t1.nii.gz", "P1_T2FLAIR_axial.nii.gz"):
        (folder / name).touch()
    cases = find_cases(tmp_path / "cases")
    assert [tuple(c.images) for c in cases] == [("T1",)]
    assert [p.name for p in overlooked(tmp_path / "cases", cases)] == ["P1_T2FLAIR_axial.nii.gz"]
