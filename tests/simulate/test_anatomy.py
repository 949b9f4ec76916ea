"""Tissue fractions are fractions, before and after deformation; heads differ."""

import numpy as np
import pytest

from pmmsynth.simulate.anatomy import Atlas, grow_head, load_atlas
from pmmsynth.simulate.pathology import PAINTERS, labels, paint
from pmmsynth.simulate.sites import axial
from pmmsynth.simulate.tissue import HEALTHY, TISSUES

COARSE = axial(64, 4.0, 44, 4.0)


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    return load_atlas()


def test_atlas_fractions_sum_to_one_in_the_brain_and_zero_outside(atlas: Atlas) -> None:
    total = atlas.fractions.sum(axis=0)
    assert atlas.fractions.min() >= 0
    np.testing.assert_allclose(total[atlas.brain], 1, atol=1e-5)
    assert total[~atlas.brain].max() == 0
    assert 1.6e6 < atlas.brain.sum() < 2.0e6  # the MNI brain has about 1.8 litres


@pytest.mark.parametrize("kind", PAINTERS)
def test_painting_keeps_the_sum_and_leaves_a_lesion(atlas: Atlas, kind: str) -> None:
    painted = paint(atlas, kind, np.random.default_rng(3))
    assert painted.min() >= 0
    np.testing.assert_allclose(painted.sum(axis=0), atlas.fractions.sum(axis=0), atol=1e-5)
    millilitres = painted[len(HEALTHY) :].sum() / 1000
    assert 0.5 < millilitres < 200


def test_infarct_stays_in_one_hemisphere_and_out_of_the_ventricles(atlas: Atlas) -> None:
    painted = paint(atlas, "infarct", np.random.default_rng(1))
    lesion = painted[TISSUES.index("infarct")]
    middle = int(-atlas.affine[0, 3])
    sides = lesion[:middle].sum(), lesion[middle:].sum()
    assert min(sides) < 0.02 * max(sides)
    assert lesion[atlas.fractions[HEALTHY.index("csf")] > 0.95].max() < 0.06


def test_sampled_fractions_sum_to_one(atlas: Atlas) -> None:
    head = grow_head(paint(atlas, "glioma", np.random.default_rng(0)), np.zeros(3), np.random.default_rng(0))
    sampled = head.sample(COARSE)
    np.testing.assert_allclose(sampled.fractions.sum(axis=0), 1, atol=1e-5)
    assert sampled.inside.sum() == sampled.fractions.shape[1]


def test_heads_have_sizes_of_their_own(atlas: Atlas) -> None:
    rng = np.random.default_rng(0)
    healthy = np.concatenate([atlas.fractions, np.zeros((5, *atlas.brain.shape), np.float32)])
    litres = [grow_head(healthy, np.zeros(3), rng).sample(COARSE).inside.sum() * 64e-6 for _ in range(3)]
    assert np.ptp(litres) > 0.03
    assert all(1.2 < v < 2.5 for v in litres)


def test_labels_take_the_largest_lesion_tissue_where_half_is_lesion() -> None:
    fractions = np.zeros((len(TISSUES), 3), np.float32)
    fractions[TISSUES.index("wm")] = 0.6, 0.2, 0.1
    fractions[TISSUES.index("core")] = 0.4, 0.3, 0.1
    fractions[TISSUES.index("rim")] = 0.0, 0.5, 0.2
    fractions[TISSUES.index("oedema")] = 0.0, 0.0, 0.6
    assert labels(fractions, {"core": 1, "oedema": 2, "rim": 3}).tolist() == [0, 3, 2]
    assert labels(fractions, {}).tolist() == [0, 1, 1]
