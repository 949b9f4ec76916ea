"""Models on prepared cases of a store: what evaluation calls."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pmmsynth.errors import UsageError
from pmmsynth.infer.backends import TorchGenerator
from pmmsynth.infer.memory import slices_within
from pmmsynth.infer.synthesizer import Synthesizer
from pmmsynth.learned import Learned, together
from pmmsynth.modality import all_tasks
from pmmsynth.predict import predict
from pmmsynth.store import CaseRecord, Store


@dataclass(frozen=True)
class StoredMethod:
    """A method of the comparison, given slices of a prepared case to wanted slices, and the model of each dataset.

    All datasets have the same model where it was trained on all of them, each its own where one was trained per
    dataset.
    """

    models: Mapping[str, Synthesizer]

    @classmethod
    def of(cls, models: Sequence[Synthesizer], store: Store) -> "StoredMethod":
        """Find the model of every dataset of the store, trained on slices like the store's.

        Raises:
            UsageError: If models and store do not fit together: other slices, a dataset of none or of several models,
                no word of what was learned where a fold is to be scored.
        """
        theirs = store.record.matrix, store.record.inplane_mm
        for model in models:
            ours = model.card.matrix, model.card.inplane_mm
            if ours != theirs:
                raise UsageError(
                    f"found a model for {ours[0]} pixels of {ours[1]:g} mm and a store of {theirs[0]} pixels of "
                    f"{theirs[1]:g} mm; expected the same; prepare a store with --matrix {ours[0]} --inplane-mm "
                    f"{ours[1]:g}"
                )
            if store.fold and model.card.learned is None:
                raise UsageError(
                    "found a model that does not say what it learned from; expected one that does for fold "
                    f"{store.fold}; train it anew, into another folder"
                )
        return cls({entry.name: _of_dataset(models, entry.name) for entry in store.record.datasets})

    @property
    def tasks(self) -> dict[str, frozenset[str]]:
        """Per dataset what its model can be asked: tasks among the model's modalities."""
        return {
            dataset: frozenset(str(task) for task in all_tasks(model.card.modalities) if model.card.can(task))
            for dataset, model in self.models.items()
        }

    @property
    def digest(self) -> str:
        """Of all models."""
        digests = list(dict.fromkeys(model.card.digest for model in self.models.values()))
        return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()

    @property
    def learned(self) -> Learned | None:
        """What all models together learned from."""
        return together(model.card.learned for model in self.models.values())

    @property
    def parameters(self) -> int:
        """Of all models together; 0 for exported graphs."""
        networks = {id(m): m.generator.network for m in self.models.values() if isinstance(m.generator, TorchGenerator)}
        return sum(p.numel() for network in networks.values() for p in network.parameters())

    def __call__(
        self, images: NDArray[np.float32], sources: tuple[str, ...], target: str, case: CaseRecord
    ) -> NDArray[np.float32]:
        """Synthesize (slice, row, column) from (source, slice, row, column)."""
        model = self.models[case.dataset]
        card = model.card
        stack = torch.zeros((images.shape[1], len(card.modalities), *images.shape[2:]))
        for name, image in zip(sources, images, strict=True):
            stack[:, card.modalities.index(name)] = torch.from_numpy(np.asarray(image, np.float32))
        outputs = predict(
            model.generator,
            card,
            stack,
            sources=sources,
            dataset=case.dataset,
            targets=(target,),
            device=model.device,
            slices_at_once=slices_within(model.memory, card, stack=len(stack)),
        )
        return outputs[:, card.modalities.index(target)].numpy()


def _of_dataset(models: Sequence[Synthesizer], dataset: str) -> Synthesizer:
    having = [model for model in models if dataset in [d.name for d in model.card.datasets]]
    if len(having) > 1:
        raise UsageError(f"found {len(having)} models that know dataset {dataset}; expected one; leave the others out")
    if not having:
        models[0].card.dataset(dataset)  # says which it knows
    return having[0]
