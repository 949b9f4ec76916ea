"""From tissue to image: the signal equation of each sequence, then coil, noise and the ADC fit.

One equation serves all: S = PD * R * exp(-TE / T2) * exp(-b * ADC), with the recovery of
    spin echo            R = 1 - exp(-TR / T1)
    inversion recovery   R = |1 - 2 exp(-TI / T1) + exp(-TR / T1)|
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pmmsynth.simulate.anatomy import Floats, Sampled
from pmmsynth.simulate.tissue import TISSUES, Tissue

TEXTURE = 0.035
"""Standard deviation of ln T1 and ln T2 within a tissue."""


@dataclass(frozen=True)
class Sequence:
    """A pulse sequence.

    Attributes:
        tr: Repetition time, s.
        te: Echo time, s.
        ti: Inversion time, s; None for a spin echo.
        b: Diffusion weighting, s/mm2.
        gadolinium: Whether it is taken after the contrast agent.
    """

    tr: float
    te: float
    ti: float | None = None
    b: float = 0.0
    gadolinium: bool = False

    def signal(self, tissue: Tissue) -> float:
        """Magnitude of one tissue's signal, fully relaxed water without weighting = 1."""
        t1 = (tissue.enhanced() if self.gadolinium else tissue).t1
        recovery = 1 - np.exp(-self.tr / t1)
        if self.ti is not None:
            recovery = abs(1 - 2 * np.exp(-self.ti / t1) + np.exp(-self.tr / t1))
        return float(tissue.pd * recovery * np.exp(-self.te / tissue.t2) * np.exp(-self.b * tissue.adc))

    def jittered(self, rng: np.random.Generator) -> "Sequence":
        """The same protocol as another technician runs it: times differ by a few percent."""
        tr, te, ti = np.exp(np.array([0.04, 0.04, 0.015]) * rng.standard_normal(3))
        return replace(self, tr=self.tr * tr, te=self.te * te, ti=None if self.ti is None else self.ti * ti)


def ideal(head: Sampled, sequence: Sequence, tissues: Mapping[str, Tissue]) -> Floats:
    """Signal of every brain voxel without coil and noise: tissues mixed by their fractions.

    Within a tissue T1 and T2 vary a little from place to place; their effect is taken to first order, by the
    derivative of the signal with respect to ln T1 and ln T2.
    """
    plain = [sequence.signal(tissues[n]) for n in TISSUES]
    longer_t1 = [sequence.signal(replace(tissues[n], t1=tissues[n].t1 * (1 + TEXTURE))) for n in TISSUES]
    longer_t2 = [sequence.signal(replace(tissues[n], t2=tissues[n].t2 * (1 + TEXTURE))) for n in TISSUES]
    table = np.array([plain, longer_t1, longer_t2], np.float32)
    mean, by_t1, by_t2 = np.stack([table[0], table[1] - table[0], table[2] - table[0]]) @ head.fractions
    return np.maximum(mean + head.texture[0] * by_t1 + head.texture[1] * by_t2, 0)


def bias_field(points: Floats, strength: float, rng: np.random.Generator) -> Floats:
    """A coil's smooth sensitivity: exp of a quadratic of the position, `strength` its standard deviation."""
    x, y, z = points
    terms = np.stack([x, y, z, x * y, y * z, x * z, x**2, y**2, z**2])
    field = rng.standard_normal(len(terms)).astype(np.float32) @ terms
    return np.exp(strength * (field - field.mean()) / field.std())


def rician(signal: Floats, sigma: float, rng: np.random.Generator) -> Floats:
    """Magnitude of the signal with Gaussian noise of standard deviation `sigma` in both channels."""
    real, imaginary = sigma * rng.standard_normal((2, signal.size), dtype=np.float32)
    return np.hypot(signal + real, imaginary)


def acquire(
    head: Sampled,
    sequence: Sequence,
    tissues: Mapping[str, Tissue],
    *,
    bias: float,
    snr: float,
    rng: np.random.Generator,
) -> Floats:
    """One magnitude image of the brain voxels; noise is the mean signal divided by `snr`."""
    signal = ideal(head, sequence, tissues) * bias_field(head.points, bias, rng)
    return rician(signal, float(signal.mean()) / snr, rng)


def measure_adc(
    head: Sampled, sequence: Sequence, tissues: Mapping[str, Tissue], *, snr: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """ADC = ln(S_0 / S_b) / b in mm2/s, from two noisy images as a scanner does it, within 0 to 4e-3."""
    unweighted = ideal(head, replace(sequence, b=0.0), tissues)
    weighted = ideal(head, sequence, tissues)
    sigma = float(weighted.mean()) / snr
    s0, sb = (np.maximum(rician(s, sigma, rng), 1e-6) for s in (unweighted, weighted))
    return np.clip(np.log(s0 / sb) / sequence.b, 0, 4e-3).astype(np.float32)
