"""Scaling in closed form, ADC units, and the inverse."""

import numpy as np
import pytest
from prepare_phantoms import affine_of, phantom

from pmmsynth.errors import BadInput
from pmmsynth.prepare import prepare_volumes, to_native_values, to_unit
from pmmsynth.prepare.intensity import measure
from pmmsynth.volume import Volume

SHAPE = (36, 40, 12)
VOLUME = phantom(SHAPE, affine_of("LPS", (3, 3, 6), SHAPE))


def test_scale_is_four_brain_means():
    assert measure("T2", np.array([100, 200, 300], np.float32)).scale == 800
    got = prepare_volumes({"T1": VOLUME}, matrix=48, inplane_mm=3)
    assert got.images[0][got.brain].mean() == pytest.approx(0.25, abs=1e-6)
    assert not got.images[0][~got.brain].any()


@pytest.mark.parametrize("gain", [1e-3, 1.0, 1e5])
def test_gain_does_not_matter(gain):
    one = prepare_volumes({"T1": VOLUME}, matrix=48, inplane_mm=3).images
    other = prepare_volumes({"T1": Volume(VOLUME.data * np.float32(gain), VOLUME.affine)}, matrix=48, inplane_mm=3)
    np.testing.assert_allclose(other.images, one, atol=1e-6)


def test_inverse_is_exact_below_the_clip_and_the_clip_above():
    values = np.linspace(0, 2000, 101, dtype=np.float32)
    intensity = measure("T1", np.full(5, 300, np.float32))
    back = to_native_values(to_unit(values, intensity), intensity)
    np.testing.assert_allclose(back, np.minimum(values, 1200), rtol=1e-6)


@pytest.mark.parametrize(("units", "factor"), [("mm2/s", 1.0), ("1e-3 mm2/s", 1e3), ("1e-6 mm2/s", 1e6)])
def test_adc_is_physical_whatever_its_unit(units, factor):
    adc = np.array([0, 0.6e-3, 0.8e-3, 1.5e-3, 3.0e-3, 4.5e-3]) * factor
    intensity = measure("ADC", adc[1:].astype(np.float32))
    assert (intensity.kind, intensity.units) == ("physical", units)
    np.testing.assert_allclose(to_unit(adc.astype(np.float32), intensity), [0, 0.2, 0.8 / 3, 0.5, 1, 1], rtol=1e-5)


@pytest.mark.parametrize("median", [3e-5, 0.05, 30.0, 8000.0])
def test_adc_of_no_known_unit_is_refused(median):
    with pytest.raises(BadInput, match=f"median {median:.4g}"):
        measure("ADC", np.full(9, median, np.float32))


def test_negative_overshoot_is_clipped():
    data = VOLUME.data.copy()
    data[0, :, :] = -40
    data[18, 20, 6] = -5
    got = prepare_volumes({"T1": Volume(data, VOLUME.affine)}, matrix=48, inplane_mm=3)
    assert got.images.min() == 0
    assert got.quality["T1"]["coverage"] == pytest.approx(1 - 1 / got.brain.sum(), rel=1e-6)
