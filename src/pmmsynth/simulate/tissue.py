"""What tissue is to a scanner: T1, T2, proton density, diffusion and contrast-agent uptake.

Healthy values are round numbers of the size reported by Rooney et al. 2007 (T1), Wansapura et al. 1999 and Stanisz et
al. 2005 (T1, T2 at 1.5 and 3 T), Kwan et al. 1999 (BrainWeb proton densities) and Helenius et al. 2002 (ADC). Lesion
values are a plausible choice inside clinical ranges. Neither are measurements, and none was copied figure by figure.
"""

from dataclasses import dataclass, replace

import numpy as np

RELAXIVITY = 4.5
"""Of a gadolinium chelate, 1/(s mmol/L)."""


@dataclass(frozen=True)
class Tissue:
    """One tissue at one field strength.

    Attributes:
        t1: Seconds.
        t2: Seconds.
        pd: Proton density, water = 1.
        adc: Apparent diffusion coefficient in mm2/s.
        uptake: Gadolinium concentration after a single dose, mmol/L.
    """

    t1: float
    t2: float
    pd: float
    adc: float
    uptake: float = 0.0

    def enhanced(self) -> "Tissue":
        """The same tissue after gadolinium: 1/T1 rises by relaxivity times concentration."""
        return replace(self, t1=1 / (1 / self.t1 + RELAXIVITY * self.uptake))


HEALTHY = ("csf", "gm", "wm", "deep", "vessel")
"""Cerebrospinal fluid, cortex, white matter, deep grey nuclei (iron shortens T2), blood vessels."""
LESIONS = ("core", "oedema", "rim", "infarct", "plaque")
"""Necrotic tumour core, oedema, enhancing rim, acute infarct, inflammatory lesion."""
TISSUES = HEALTHY + LESIONS

TABLE: dict[float, dict[str, Tissue]] = {
    1.5: {
        "csf": Tissue(4.30, 1.80, 1.00, 3.00e-3),
        "gm": Tissue(1.15, 0.100, 0.86, 0.83e-3, 0.035),
        "wm": Tissue(0.66, 0.080, 0.74, 0.72e-3, 0.015),
        "deep": Tissue(0.98, 0.082, 0.84, 0.76e-3, 0.035),
        "vessel": Tissue(1.45, 0.120, 0.60, 1.60e-3, 0.60),
        "core": Tissue(2.40, 0.400, 0.95, 1.90e-3, 0.03),
        "oedema": Tissue(1.25, 0.170, 0.90, 1.35e-3, 0.02),
        "rim": Tissue(1.20, 0.125, 0.88, 1.05e-3, 0.40),
        "infarct": Tissue(1.25, 0.118, 0.89, 0.45e-3, 0.02),
        "plaque": Tissue(1.15, 0.155, 0.86, 1.10e-3, 0.05),
    },
    3.0: {
        "csf": Tissue(4.30, 1.60, 1.00, 3.00e-3),
        "gm": Tissue(1.45, 0.095, 0.86, 0.83e-3, 0.035),
        "wm": Tissue(0.85, 0.072, 0.74, 0.72e-3, 0.015),
        "deep": Tissue(1.25, 0.071, 0.84, 0.76e-3, 0.035),
        "vessel": Tissue(1.85, 0.100, 0.60, 1.60e-3, 0.60),
        "core": Tissue(2.80, 0.380, 0.95, 1.90e-3, 0.03),
        "oedema": Tissue(1.55, 0.155, 0.90, 1.35e-3, 0.02),
        "rim": Tissue(1.50, 0.115, 0.88, 1.05e-3, 0.40),
        "infarct": Tissue(1.55, 0.110, 0.89, 0.45e-3, 0.02),
        "plaque": Tissue(1.40, 0.140, 0.86, 1.10e-3, 0.05),
    },
}
"""Field strength in tesla -> tissue -> properties."""


def of_patient(field: float, rng: np.random.Generator) -> dict[str, Tissue]:
    """The table with one person's deviations: 2 % in healthy tissue, 10 % in lesions."""

    def deviate(name: str, tissue: Tissue) -> Tissue:
        spread = 0.10 if name in LESIONS else 0.02
        t1, t2, pd, adc = np.exp(spread * rng.standard_normal(4))
        return Tissue(
            tissue.t1 * t1,
            tissue.t2 * t2,
            min(tissue.pd * pd**0.2, 1.0),
            tissue.adc * adc,
            tissue.uptake * float(np.exp(0.25 * rng.standard_normal())),
        )

    return {name: deviate(name, tissue) for name, tissue in TABLE[field].items()}
