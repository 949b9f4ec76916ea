"""The model as a person uses it: volumes in, volumes out, on the grid and in the range they belong to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from pmmsynth.case import READY, Scans
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.infer.backends import Backend, GraphGenerator, Precision, TorchGenerator, graph_generator, in_bf16
from pmmsynth.infer.memory import slices_within
from pmmsynth.machine import device_of
from pmmsynth.modality import Task, ordered, parse_modality
from pmmsynth.model import ModelCard, load_model
from pmmsynth.predict import predict
from pmmsynth.prepare import Prepared, prepare_volumes, to_native
from pmmsynth.prepare.align import reference_of
from pmmsynth.prepare.crop import brain_to_native
from pmmsynth.prepare.quality import remarks, unfit
from pmmsynth.store import Intensity
from pmmsynth.volume import MARK, Volume, as_sequence, read_sequence


@dataclass(frozen=True)
class Synthesis:
    """One synthesized volume.

    Attributes:
        volume: On the native grid of the reference; 0 outside the brain.
        target: Its modality.
        sources: What it was made from.
        reference: The source whose grid it is on.
        dataset: The style it is in.
        intensity: The mapping of the model's [0, 1] to its values.
        intensity_from: The dataset the mapping was measured on; "all datasets" when this one never had the target.
        resampled: Whether the way to the model's grid and back interpolates.
        remarks: What a person should know of the sources: partial coverage, a cropped brain, few common edges.
        moves: Of sources that were registered: 4x4 from the world of their file to that of the reference.
    """

    volume: Volume
    target: str
    sources: tuple[str, ...]
    reference: str
    dataset: str
    intensity: Intensity
    intensity_from: str
    resampled: bool
    remarks: tuple[str, ...]
    moves: dict[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True)
class Synthesizer:
    """A trained model with its card.

    Example:
        made = Synthesizer.load("model").synthesize(t1="t1.nii.gz", t2="t2.nii.gz", dataset="BraTS")
        made["FLAIR"].volume.data
    """

    generator: TorchGenerator | GraphGenerator
    card: ModelCard
    device: torch.device
    memory: float | None = None
    scans: Scans = READY

    @classmethod
    def load(
        cls,
        folder: str | Path,
        device: str = "auto",
        *,
        backend: Backend = "torch",
        precision: Precision = "auto",
        memory: float | None = None,
        scans: Scans = READY,
    ) -> "Synthesizer":
        """Read a model, run or exported folder; runs no code from it.

        Args:
            folder: What `train` wrote; for another backend than torch what `export` wrote.
            device: "auto", "cpu" or "cuda"; the last is of PyTorch alone.
            backend: What computes.
            precision: "bf16" for speed, "float32", or "auto": bf16 where the hardware computes in it.
            memory: Limit of this process in gigabytes: fewer slices then share a pass, with the same result.
            scans: What is left to do to the sequences it will be given.

        Raises:
            BadInput: If the folder is damaged.
            UsageError: If the device or backend is not there, or the memory too little for one slice.
        """
        if backend != "torch" and device not in ("auto", "cpu"):
            raise UsageError(f"found device {device!r} with {backend}; expected auto or cpu there; leave it out")
        place = device_of(device) if backend == "torch" else torch.device("cpu")
        if memory is not None and place.type != "cpu":
            raise UsageError(
                f"found --memory and device {place.type}; expected one of them: it limits the main memory; leave it out"
            )
        if backend == "torch":
            network, card = load_model(Path(folder))
            generator: TorchGenerator | GraphGenerator = TorchGenerator(network.to(place), in_bf16(precision, place))
        else:
            generator = graph_generator(Path(folder), backend, precision)
            card = generator.graphs.card
        slices_within(memory, card)  # refuses a limit that even the model exceeds before any work
        return cls(generator, card, place, memory, scans)

    def synthesize(
        self, *, dataset: str, targets: str | Sequence[str] = "missing", **sequences: str | Path | Volume
    ) -> dict[str, Synthesis]:
        """Synthesize from volumes or files named by modality (`t1=...`, `flair=...`).

        Args:
            dataset: The dataset the patient belongs to, by its name in the model.
            targets: "missing" (what the model knows and is not given), "all", or names. A target that is given is
                made from the others, never from itself.
            sequences: Of one patient; registered and skull-stripped unless the model was loaded for other scans.

        Raises:
            BadInput: If a volume is unfit.
            UsageError: If a name is unknown to the model, or nothing is left to make a target from.
        """
        volumes = {
            parse_modality(name): as_sequence(value, name) if isinstance(value, Volume) else read_sequence(Path(value))
            for name, value in sequences.items()
        }
        if len(volumes) != len(sequences):
            raise UsageError(f"found a modality twice in {', '.join(sequences)}; expected each once; leave one out")
        return self.synthesize_volumes(volumes, dataset, self.targets(tuple(volumes), targets))

    def targets(self, given: Sequence[str], wanted: str | Sequence[str]) -> tuple[str, ...]:
        """The modalities "missing", "all" or a list of names stand for."""
        if not given:
            raise UsageError("found no sequence; expected at least one; give for example --input t1=t1.nii.gz")
        self.card.mask(tuple(given))
        if wanted == "missing":
            return tuple(m for m in self.card.modalities if m not in given)
        if wanted == "all":
            return tuple(m for m in self.card.modalities if set(given) - {m})
        names = wanted.split(",") if isinstance(wanted, str) else wanted
        chosen = ordered(parse_modality(n) for n in names)
        if not chosen:
            raise UsageError("found no target; expected missing, all or names; name at least one sequence")
        self.card.mask(chosen)
        for name in chosen:
            if not set(given) - {name}:
                raise UsageError(f"found {name} as the only source of {name}; expected another; give one more sequence")
        return chosen

    def synthesize_volumes(
        self, volumes: Mapping[str, Volume], dataset: str, targets: Sequence[str], brain: Volume | None = None
    ) -> dict[str, Synthesis]:
        """As `synthesize`, for canonical names and targets already chosen; `brain`: a given mask of the reference."""
        self.card.dataset(dataset)
        made: dict[str, Synthesis] = {}
        for sources, together in _by_sources(tuple(volumes), targets).items():
            self._check(sources, together[0])
            if brain and not self.scans.registered and (whole := reference_of(volumes)) not in sources:
                raise BadInput(
                    f"a brain mask of {whole} to make {'+'.join(together)} from {'+'.join(sources)}",
                    f"{whole} among the sources, as they are not registered to it",
                    "leave out that target or the mask, or register first",
                )
            prepared = prepare_volumes(
                {m: volumes[m] for m in sources},
                matrix=self.card.matrix,
                inplane_mm=self.card.inplane_mm,
                scans=self.scans,
                mask=brain,
            )
            if reason := unfit(prepared.quality):
                raise BadInput(f"{'+'.join(sources)}: {reason}", "sequences that fit together", "leave that one out")
            outputs = self._outputs(prepared, sources, dataset, together)
            share = to_native(prepared.brain.astype(np.float32), prepared.prepared, prepared.native.grid)
            for target in together:
                made[target] = self._on_native(outputs[target], share, prepared, target, sources, dataset)
        return {target: made[target] for target in targets}

    def _check(self, sources: tuple[str, ...], target: str) -> None:
        if not self.card.can(Task(sources, target)):
            raise UsageError(
                f"found sources {'+'.join(sources)} of {target}; expected one for a model of {self.card.method}; give "
                "a single sequence"
            )

    def _outputs(
        self, prepared: Prepared, sources: tuple[str, ...], dataset: str, targets: tuple[str, ...]
    ) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        """Per target the unit-range stack on the prepared grid, 0 outside the brain; empty slices do not run."""
        filled = np.flatnonzero(prepared.brain.any((1, 2)))
        images = torch.zeros((len(filled), len(self.card.modalities), *prepared.brain.shape[1:]))
        for name in sources:
            row = prepared.images[prepared.modalities.index(name), filled]
            images[:, self.card.modalities.index(name)] = torch.from_numpy(row)
        made = predict(
            self.generator,
            self.card,
            images,
            sources=sources,
            dataset=dataset,
            targets=targets,
            device=self.device,
            slices_at_once=slices_within(self.memory, self.card, stack=len(filled)),
        ).numpy()
        outputs = {}
        for target in targets:
            stack = np.zeros(prepared.brain.shape, np.float32)
            stack[filled] = made[:, self.card.modalities.index(target)]
            outputs[target] = stack * prepared.brain
        return outputs

    def _on_native(
        self,
        stack: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
        share: NDArray[np.float32],
        prepared: Prepared,
        target: str,
        sources: tuple[str, ...],
        dataset: str,
    ) -> Synthesis:
        intensity, origin = self._intensity(dataset, target)
        native = prepared.native
        data = brain_to_native(stack, share, prepared.prepared, native.grid)
        data = data * prepared.native_brain * np.float32(intensity.scale)
        header = native.header.copy()
        header["descrip"] = f"{MARK} {target}"
        spacing = sorted(np.round(native.grid.spacing, 6).tolist())
        return Synthesis(
            volume=Volume(data, native.affine, header),
            target=target,
            sources=sources,
            reference=prepared.reference,
            dataset=dataset,
            intensity=intensity,
            intensity_from=origin,
            resampled=spacing != sorted(np.round(prepared.prepared.spacing, 6).tolist()),
            remarks=tuple(remarks(prepared.quality)),
            moves=prepared.moves,
        )

    def _intensity(self, dataset: str, target: str) -> tuple[Intensity, str]:
        """The mapping of the dataset, or the median over those that have the target when this one never had it."""
        own = self.card.dataset(dataset).intensity.get(target)
        if own:
            return own, dataset
        others = [d.intensity[target] for d in self.card.datasets if target in d.intensity]
        chosen = [i for i in others if i.units == others[0].units]
        return others[0].model_copy(update={"scale": median(i.scale for i in chosen)}), "all datasets"


def _by_sources(given: tuple[str, ...], targets: Sequence[str]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Targets grouped by what they may be made from."""
    groups: dict[tuple[str, ...], tuple[str, ...]] = {}
    for target in targets:
        sources = ordered(m for m in given if m != target)
        groups[sources] = (*groups.get(sources, ()), target)
    return groups
