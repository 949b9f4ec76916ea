"""The sets of images a case is read in: which sequences are real in each."""

from dataclasses import dataclass

from pmmsynth.modality import KNOWN


@dataclass(frozen=True)
class ImageSet:
    """One set: some sequences are real, all others are synthesized from them."""

    name: str
    real: tuple[str, ...]

    @property
    def synthesized(self) -> tuple[str, ...]:
        """The other sequences."""
        return tuple(name for name in KNOWN if name not in self.real)


SETS = (
    ImageSet("real", KNOWN),
    ImageSet("3-to-3", ("T1", "T2", "FLAIR")),
    ImageSet("2-to-4", ("T1", "T2")),
    ImageSet("1-to-5", ("T1",)),
)
"""Those of the paper. The first is the reference of `pmmsynth reading score`."""
