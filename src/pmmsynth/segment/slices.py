"""Marked cases of a store as slices with their true regions; batches that follow from (seed, step) alone."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pmmsynth.case import Split
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput
from pmmsynth.segment.regions import Target, is_marked, regions_of
from pmmsynth.segment.variation import vary
from pmmsynth.store import PreparedCase, Store

WITH_LESION = 1 / 3
"""Least share of a batch that shows some lesion, as nnU-Net has it."""


def marked_cases(
    store: Store, splits: Sequence[Split], target: Target, modalities: Sequence[str], reporter: Reporter
) -> list[PreparedCase]:
    """The cases with a known truth and all these sequences.

    Raises:
        BadInput: If there is none.
    """
    cases = [case for split in splits for case in store.cases(split)]
    kept = [c for c in cases if is_marked(c.record, target) and set(modalities) <= set(c.record.modalities)]
    if not kept:
        raise BadInput(
            f"{store.root}: no case of {' or '.join(splits)} with {', '.join(modalities)} and a mask for {target}",
            "at least one",
            "see lesion_labels in the manifest; prepare again if the store is of a version that kept no labels",
        )
    if len(kept) < len(cases):
        reporter.say(f"{len(kept)} of {len(cases)} cases of {' and '.join(splits)} have all sequences and a mask")
    return kept


def digest_of(cases: Sequence[PreparedCase]) -> str:
    """sha256 over the names and the digests of all arrays of these cases."""
    records = [case.record for case in cases]
    lines = [f"{r.dataset}/{r.case} {sorted(r.arrays.items())} {r.labels_sha256}" for r in records]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def brain_slices(case: PreparedCase) -> list[int]:
    """Indices of all slices with brain."""
    return [position for position, share in enumerate(case.record.brain_fraction) if share > 0]


def stack(case: PreparedCase, modalities: Sequence[str], positions: Sequence[int]) -> Tensor:
    """Slices as the network takes them: (slice, modality, row, column), [0, 1]."""
    rows = [case.record.modalities.index(name) for name in modalities]
    return torch.from_numpy(case.slices(positions)[rows]).transpose(0, 1)


@dataclass(frozen=True)
class TrainingSlices:
    """What batches are drawn from.

    Attributes:
        places: (case, slice) of every slice with brain.
        lesions: Those of them that show lesion.
        synthesized: Per case the same slices with every sequence synthesized from the others: (modality, slice, row,
            column); empty if the network learns from real images alone.
    """

    cases: Sequence[PreparedCase]
    target: Target
    modalities: tuple[str, ...]
    places: Sequence[tuple[int, int]]
    lesions: Sequence[tuple[int, int]]
    synthesized: Sequence[NDArray[np.float16]] = ()

    @classmethod
    def of(
        cls,
        cases: Sequence[PreparedCase],
        target: Target,
        modalities: tuple[str, ...],
        synthesized: Sequence[NDArray[np.float16]] = (),
    ) -> "TrainingSlices":
        """Look through all masks once. Raises BadInput if one has values nobody explains."""
        places, lesions = [], []
        for number, case in enumerate(cases):
            shown = np.asarray(regions_of(case, target).any(axis=(0, 2, 3)))
            own = [(number, position) for position in brain_slices(case)]
            places += own
            lesions += [place for place in own if shown[place[1]]]
        return cls(cases, target, modalities, places, lesions or places, synthesized)

    def batch(self, size: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Images (slice, channel, row, column) and regions (slice, region, row, column), varied at random.

        The channels are the modalities. With synthesized ones they are those of `told_apart`, and a slice has all
        modalities real or one of them synthesized, each as often.
        """
        random = np.random.default_rng([seed, step])
        forced = round(size * WITH_LESION)
        drawn = [
            pool[i]
            for pool, count in ((self.lesions, forced), (self.places, size - forced))
            for i in random.integers(len(pool), size=count)
        ]
        images = torch.cat([stack(self.cases[case], self.modalities, [position]) for case, position in drawn])
        made = torch.zeros(images.shape[:2], dtype=torch.bool)
        if self.synthesized:
            for number, (case, position) in enumerate(drawn):
                modality = random.integers(len(self.modalities) + 1)
                if modality < len(self.modalities):  # else all stay real
                    one = self.synthesized[case][modality, position].astype(np.float32)
                    images[number, modality], made[number, modality] = torch.from_numpy(one), True
        regions = [regions_of(self.cases[case], self.target, [position])[:, 0] for case, position in drawn]
        images, truth = vary(images, torch.from_numpy(np.stack(regions)).float(), random)
        return told_apart(images, made) if self.synthesized else images, truth


def told_apart(images: Tensor, synthesized: Tensor) -> Tensor:
    """The sequences, then once more those of them that are synthesized, in channels of their own.

    So a network need not learn each sequence twice, and can take away as much of a synthesized one as it does not
    trust.

    Args:
        images: (slice, modality, row, column).
        synthesized: Which of them are, (slice, modality), bool.

    Returns:
        (slice, 2 modality, row, column); 0 in the second half where a sequence is real.
    """
    return torch.cat([images, images.masked_fill(~synthesized[:, :, None, None], 0)], 1)
