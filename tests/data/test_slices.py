"""Slices of a store become batches of one dataset and one availability."""

import numpy as np
import pytest
import torch

from pmmsynth.data import Batch, SliceDataset
from pmmsynth.store import Store

MODALITIES = ("T1", "T2", "FLAIR", "ADC")


@pytest.fixture
def slices(store: Store) -> SliceDataset:
    return SliceDataset(list(store.cases("train")), modalities=MODALITIES, dataset_ids={"A": 0, "B": 1})


def test_holds_every_slice_with_enough_brain_once(store: Store, slices: SliceDataset) -> None:
    expected = sum((np.array(c.record.brain_fraction) >= 0.10).sum() for c in store.cases("train"))
    assert len(slices) == expected > 0
    assert len(slices) < sum(len(c.record.brain_fraction) for c in store.cases("train"))  # the poles are dropped


def test_groups_are_dataset_and_availability(slices: SliceDataset) -> None:
    assert set(slices.groups()) == {
        (0, (True, True, True, False)),
        (1, (True, False, True, False)),
        (1, (False, False, True, True)),
    }


def test_channels_hold_their_modality_and_missing_ones_are_zero(store: Store, slices: SliceDataset) -> None:
    sample = slices.groups().index((1, (False, False, True, True)))
    batch = slices[[sample, sample + 1]]
    case = slices.cases[slices.index[sample][0]]
    position = slices.index[sample][1]
    assert batch.available.tolist() == [False, False, True, True]
    assert batch.dataset.item() == 1
    assert (batch.images[:, :2] == 0).all()
    for channel, row in ((2, 0), (3, 1)):
        truth = torch.from_numpy(case.images()[row, position].astype(np.float32))
        assert torch.equal(batch.images[0, channel], truth)
        assert 0 < truth.max() <= 1


def test_a_batch_refuses_to_be_wrong() -> None:
    with pytest.raises((ValueError, TypeError)):  # the shape check of the tests speaks first
        Batch(torch.zeros(1, 3, 4, 4), torch.tensor([True, True]), torch.tensor(0))
    with pytest.raises(ValueError, match="at least one"):
        Batch(torch.zeros(1, 2, 4, 4), torch.tensor([False, False]), torch.tensor(0))
