"""A model as a method of the comparison: the same network on the same slices, and no store it does not fit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model_phantoms import make_card, make_model
from phantoms import make_store
from pmmsynth.errors import UsageError
from pmmsynth.infer import StoredMethod, Synthesizer
from pmmsynth.intake import find_cases, overlooked
from pmmsynth.store import Store

COHORT = {"A": [("train", ["T1", "T2"]), ("test", ["T1", "T2", "FLAIR"])]}


def of(folder: Path, store: Store) -> StoredMethod:
    return StoredMethod.of([Synthesizer.load(folder, "cpu", precision="float32")], store)


def test_what_it_makes_is_what_the_network_makes(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", COHORT)
    method = of(make_model(tmp_path / "model", matrix=32), store)
    case = next(store.cases("test"))
    images = case.images()[:, 3:6].astype(np.float32)
    made = method(images[:2], ("T1", "T2"), "FLAIR", case.record)
    card = method.models["A"].card
    stack = torch.zeros(3, len(card.modalities), 32, 32)
    stack[:, :2] = torch.from_numpy(images[:2]).transpose(0, 1)
    with torch.no_grad():
        expected = method.models["A"].generator(
            stack, card.mask(("T1", "T2")), torch.tensor(card.dataset("A").id), card.mask(("FLAIR",))
        )
    np.testing.assert_allclose(made, expected[:, card.modalities.index("FLAIR")].clamp(0, 1), atol=1e-6)


def test_it_says_what_it_can_be_asked(tmp_path: Path) -> None:
    method = of(make_model(tmp_path / "model", matrix=32), make_store(tmp_path / "store", COHORT))
    assert {"T1->T2", "T1+T2+T1C+FLAIR->ADC"} <= method.tasks["A"]
    assert not any("DWI" in task for task in method.tasks["A"])
    assert len(method.tasks["A"]) == 5 * (2**4 - 1)  # every non-empty set of the four others


def test_a_store_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"model for 48 pixels .* store of 32 pixels"):
        of(make_model(tmp_path / "model"), make_store(tmp_path / "store", COHORT))
    other = make_store(tmp_path / "other", {"Unseen": [("train", ["T1", "T2"])]})
    with pytest.raises(UsageError, match="dataset 'Unseen'; expected one the model was trained on: A, B"):
        of(make_model(tmp_path / "model2", matrix=32), other)


def test_each_dataset_has_its_own_model_or_all_the_same(tmp_path: Path) -> None:
    """Models of one dataset each are found by the case; a dataset of none or of two is refused."""
    store = make_store(tmp_path / "store", {name: [("test", ["T1", "T2"])] for name in ("A", "B")})
    models = []
    for value, name in ((0.25, "A"), (0.75, "B")):
        (card,) = (d for d in make_card().datasets if d.name == name)
        names = tuple(card.intensity)
        folder = make_model(tmp_path / name, matrix=32, modalities=names, datasets=(card.model_copy(update={"id": 0}),))
        model = Synthesizer.load(folder, "cpu", precision="float32")
        models.append(replace(model, generator=lambda images, *_, v=value: torch.full_like(images, v)))
    method = StoredMethod.of(models, store)
    images = np.zeros((1, 2, 32, 32), np.float32)
    made = {c.record.dataset: method(images, ("T1",), "FLAIR", c.record) for c in store.cases()}
    assert {name: float(image.mean()) for name, image in made.items()} == {"A": 0.25, "B": 0.75}
    assert "T1->T1C" in method.tasks["A"]
    assert "T1->T1C" not in method.tasks["B"]
    assert method.digest not in {m.card.digest for m in models}
    assert method.digest == StoredMethod.of(models[::-1], store).digest
    with pytest.raises(UsageError, match="found dataset 'B'; expected one the model was trained on: A"):
        StoredMethod.of(models[:1], store)
    with pytest.raises(UsageError, match="found 2 models that know dataset A; expected one"):
        StoredMethod.of([models[0], *models], store)


def test_volumes_nobody_recognizes_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "cases" / "P1"
    folder.mkdir(parents=True)
    for name in ("P1_t1.nii.gz", "P1_T2FLAIR_axial.nii.gz"):
        (folder / name).touch()
    cases = find_cases(tmp_path / "cases")
    assert [tuple(c.images) for c in cases] == [("T1",)]
    assert [p.name for p in overlooked(tmp_path / "cases", cases)] == ["P1_T2FLAIR_axial.nii.gz"]
