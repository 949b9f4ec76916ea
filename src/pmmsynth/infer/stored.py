"""A model on prepared cases of a store: what evaluation calls."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pmmsynth.errors import UsageError
from pmmsynth.infer.memory import slices_within
from pmmsynth.infer.synthesizer import Synthesizer
from pmmsynth.modality import all_tasks
from pmmsynth.predict import predict
from pmmsynth.store import CaseRecord, Store


@dataclass(frozen=True)
class StoredMethod:
    """A trained model as a method of the comparison: given slices of a prepared case to wanted slices."""

    model: Synthesizer

    @classmethod
    def of(cls, model: Synthesizer, store: Store) -> "StoredMethod":
        """Make sure the model knows the store's datasets and was trained on slices like the store's.

        Raises:
            UsageError: If model and store do not fit together.
        """
        ours, theirs = (model.card.matrix, model.card.inplane_mm), (store.record.matrix, store.record.inplane_mm)
        if ours != theirs:
            raise UsageError(
                f"found a model for {ours[0]} pixels of {ours[1]:g} mm and a store of {theirs[0]} pixels of "
                f"{theirs[1]:g} mm; expected the same; prepare a store with --matrix {ours[0]} --inplane-mm {ours[1]:g}"
            )
        for entry in store.record.datasets:
            model.card.dataset(entry.name)
        return cls(model)

    @property
    def tasks(self) -> frozenset[str]:
        """What the model can be asked: every task among its modalities."""
        return frozenset(str(task) for task in all_tasks(self.model.card.modalities) if self.model.card.can(task))

    def __call__(
        self, images: NDArray[np.float32], sources: tuple[str, ...], target: str, case: CaseRecord
    ) -> NDArray[np.float32]:
        """Synthesize (slice, row, column) from (source, slice, row, column)."""
        card = self.model.card
        stack = torch.zeros((images.shape[1], len(card.modalities), *images.shape[2:]))
        for name, image in zip(sources, images, strict=True):
            stack[:, card.modalities.index(name)] = torch.from_numpy(np.asarray(image, np.float32))
        outputs = predict(
            self.model.generator,
            card,
            stack,
            sources=sources,
            dataset=case.dataset,
            targets=(target,),
            device=self.model.device,
            slices_at_once=slices_within(self.model.memory, card, stack=len(stack)),
        )
        return outputs[:, card.modalities.index(target)].numpy()
