"""Trace and ADC of a signal that decays as the equations say."""

import numpy as np
import pytest

from pmmsynth.errors import BadInput
from pmmsynth.intake.diffusion import trace_and_adc

ADC = np.random.default_rng(0).uniform(0.3e-3, 3e-3, (4, 5, 3)).astype(np.float32)
S0 = np.random.default_rng(1).uniform(100, 900, ADC.shape).astype(np.float32)
DIRECTIONS = np.array([0.5, 1.0, 1.5])
"""Diffusivity along each, as shares of their mean."""


def decayed(b: float) -> list[np.ndarray]:
    return [S0 * np.exp(-b * ADC * share) for share in DIRECTIONS]


def test_the_adc_is_that_of_the_mean_over_directions():
    volumes = np.stack([S0 * 0.9, *decayed(1000), S0 * 1.1, *decayed(500)], axis=-1)
    trace, adc, count = trace_and_adc(volumes, np.array([0, 1000, 1000, 1000, 0, 500, 500, 500.0]))
    np.testing.assert_allclose(adc, ADC, rtol=2e-5)
    np.testing.assert_allclose(trace, S0 * np.exp(-1000 * ADC), rtol=1e-5)
    assert count == 3


def test_the_least_weighted_volume_may_be_weighted_a_little():
    low = S0 * np.exp(-50 * ADC)
    _, adc, _ = trace_and_adc(np.stack([low, *decayed(1000)], axis=-1), np.array([50, 1000, 1000, 1000.0]))
    np.testing.assert_allclose(adc, ADC, rtol=2e-5)


def test_without_an_unweighted_volume_there_is_no_adc():
    trace, adc, _ = trace_and_adc(np.stack(decayed(800), axis=-1), np.array([800.0, 800, 810]))
    assert adc is None
    np.testing.assert_allclose(trace, S0 * np.exp(-800 * ADC), rtol=1e-5)


def test_air_is_0_and_noise_gives_no_negative_adc():
    volumes = np.stack([S0, S0 * 2, S0 * 2], axis=-1)
    volumes[0, 0, 0] = 0
    volumes[1, 1, 1, 1] = -3
    trace, adc, _ = trace_and_adc(volumes, np.array([0, 1000.0, 1000]))
    assert trace[0, 0, 0] == adc[0, 0, 0] == trace[1, 1, 1] == adc[1, 1, 1] == 0
    assert (adc == 0).all(), "signal that grows with b is no diffusion"


def test_too_little_weighting_is_refused():
    with pytest.raises(BadInput, match=r"found diffusion volumes with b = 0, 200 s/mm2; expected one of 500 or more"):
        trace_and_adc(np.stack([S0, S0], axis=-1), np.array([0, 200.0]))
