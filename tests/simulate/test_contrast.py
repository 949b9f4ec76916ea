"""Signal equations against closed forms, and the contrasts radiologists know."""

import numpy as np
import pytest

from pmmsynth.simulate.contrast import Sequence, rician
from pmmsynth.simulate.sites import SITES
from pmmsynth.simulate.tissue import TABLE, Tissue

WATER = Tissue(t1=1.0, t2=0.1, pd=0.8, adc=1e-3, uptake=0.5)


def test_spin_echo_by_hand() -> None:
    # 0.8 (1 - e^-0.5) e^-0.2
    assert Sequence(tr=0.5, te=0.02).signal(WATER) == pytest.approx(0.8 * 0.3934693 * 0.8187308, rel=1e-6)


def test_inversion_recovery_is_null_at_t1_ln_2() -> None:
    assert Sequence(tr=100, te=0.0, ti=np.log(2)).signal(WATER) == pytest.approx(0, abs=1e-9)
    assert Sequence(tr=100, te=0.0, ti=1e-9).signal(WATER) == pytest.approx(0.8)  # fully inverted, magnitude


def test_diffusion_attenuates_by_exp_minus_b_adc() -> None:
    plain, weighted = Sequence(tr=5, te=0.08), Sequence(tr=5, te=0.08, b=1000)
    assert weighted.signal(WATER) / plain.signal(WATER) == pytest.approx(np.exp(-1.0))


def test_gadolinium_adds_relaxation_rates() -> None:
    assert WATER.enhanced().t1 == pytest.approx(1 / (1 / 1.0 + 4.5 * 0.5))


def test_rician_noise_has_its_moments() -> None:
    noisy = rician(np.full(200_000, 3.0, np.float32), 1.0, np.random.default_rng(0))
    assert np.mean(noisy**2) == pytest.approx(3.0**2 + 2 * 1.0**2, rel=0.01)  # E[M^2] = A^2 + 2 sigma^2


@pytest.mark.parametrize("name", SITES)
def test_contrasts_of_every_protocol(name: str) -> None:
    site = SITES[name]
    tissues = TABLE[site.tesla]

    def signal(modality: str, tissue: str) -> float:
        return site.sequences[modality].signal(tissues[tissue])

    if "T1" in site.sequences:
        assert signal("T1", "wm") > signal("T1", "gm") > signal("T1", "csf")
    if "T2" in site.sequences:
        assert signal("T2", "csf") > 1.5 * signal("T2", "gm") > 1.5 * signal("T2", "wm")
    if "FLAIR" in site.sequences:
        assert signal("FLAIR", "csf") < 0.5 * signal("FLAIR", "wm") < 0.5 * signal("FLAIR", "gm")
        assert min(signal("FLAIR", t) for t in ("oedema", "plaque", "infarct")) > signal("FLAIR", "gm")
    if "T1C" in site.sequences:
        assert signal("T1C", "rim") > 1.3 * signal("T1C", "wm")
        assert signal("T1C", "rim") > 1.5 * signal("T1", "rim")
    if "DWI" in site.sequences:
        assert signal("DWI", "infarct") > 1.3 * signal("DWI", "gm") > signal("DWI", "csf")
