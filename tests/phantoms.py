"""Brains of ellipses with a lesion, as arrays, in every modality."""

import numpy as np

TISSUE = {  # brain, ventricle, lesion in each modality, [0, 1]
    "T1": (0.30, 0.10, 0.20),
    "T2": (0.20, 0.60, 0.45),
    "T1C": (0.30, 0.10, 0.70),
    "FLAIR": (0.25, 0.08, 0.60),
    "DWI": (0.22, 0.10, 0.65),
    "ADC": (0.27, 0.90, 0.15),
}


def phantom(modality: str, *, slices: int = 10, size: int = 32, seed: int = 0) -> tuple[np.ndarray, ...]:
    """One modality with brain and lesion masks, (slice, row, column); anatomy depends on the seed, not the modality."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (slices, size, size)), indexing="ij")
    radii = rng.uniform(0.7, 0.9, 3)
    brain = (z / 1.1) ** 2 + (y / radii[1]) ** 2 + (x / radii[2]) ** 2 < 1
    ventricle = (z / 0.6) ** 2 + (y / 0.3) ** 2 + (x / 0.15) ** 2 < 1
    at = rng.uniform(-0.35, 0.35, 2)
    lesion = ((z / 0.5) ** 2 + ((y - at[0]) / 0.22) ** 2 + ((x - at[1]) / 0.22) ** 2 < 1) & brain
    texture = 1 + 0.1 * np.sin(9 * x + seed) * np.cos(7 * y)
    brainy, fluid, ill = TISSUE[modality]
    image = np.where(lesion, ill, np.where(ventricle, fluid, brainy)) * texture * brain
    return image.astype(np.float32), brain, lesion
