"""What the pictures of an evaluation show: panels of slices, validation curves; those of earlier calls are kept."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pmmsynth.atomic import replacing
from pmmsynth.errors import BadInput
from pmmsynth.evaluate.figures import PanelRow
from pmmsynth.evaluate.method import Method
from pmmsynth.evaluate.tasks import Selection, tasks_for
from pmmsynth.modality import Task
from pmmsynth.record import read_record
from pmmsynth.store import IMAGES, PreparedCase

PANEL_TASKS = 4
Curves = Mapping[str, NDArray[np.float64]]


@dataclass
class Pictures:
    """Slices and curves of methods by name, kept in a file as long as the methods' scores, so that all show them.

    Attributes:
        scored: Of every method with scores, in the order of columns, the digest of its weights.
        slices: By (method, case and slice, task).
        curves: Per method and label (2, validation): step and PSNR in dB.
    """

    scored: Mapping[str, str]
    slices: dict[tuple[str, str, str], NDArray[np.float32]] = field(default_factory=dict)
    curves: dict[str, Curves] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, scored: Mapping[str, str]) -> "Pictures":
        """What is there of these methods with these digests; nothing if the file is damaged: it can be made again."""
        found = cls(scored)
        with suppress(OSError, SafetensorError, ValueError):
            for text, array in load(path.read_bytes()).items():
                name, digest, *place = json.loads(text)
                if scored.get(name) == digest:
                    found._keep(name, place, array)
        return found

    def _keep(self, name: str, place: Sequence[str], array: NDArray[np.float32]) -> None:
        if len(place) == 1:
            self.curves[name] = {**self.curves.get(name, {}), place[0]: array.astype(np.float64)}
        else:
            self.slices[name, place[0], place[1]] = array

    def write(self, path: Path) -> None:
        """All of it, complete or not at all."""
        kept: dict[str, NDArray[np.floating]] = {
            json.dumps([name, self.scored[name], *place]): image for (name, *place), image in self.slices.items()
        }
        for name, curves in self.curves.items():
            kept |= {json.dumps([name, self.scored[name], label]): curve for label, curve in curves.items()}
        with replacing(path) as temporary:
            temporary.write_bytes(save({key: np.ascontiguousarray(array) for key, array in kept.items()}))

    def learn(self, methods: Mapping[str, Method]) -> None:
        """Take the validation curves of these methods from their records, as far as those are there."""
        for name, method in methods.items():
            found = {}
            for record in method.records:
                checks = [row for row in read_record(record) if "validation_psnr" in row] if record.is_file() else []
                label = name if len(method.records) == 1 else f"{name}, {record.parent.name}"
                found[label] = np.array([[r["global_step"], r["validation_psnr"]] for r in checks]).reshape(-1, 2).T
            if any(curve.size for curve in found.values()) and name in self.scored:
                self.curves[name] = found

    def panel(self, case: PreparedCase, methods: Mapping[str, Method], tasks: Selection) -> list[PanelRow]:
        """A few tasks on the scored slice with the most lesion (the middle one if there is none).

        Methods of now draw what they have not yet; those of earlier calls are shown where they drew the same.
        """
        record, scored = case.record, case.scored_slices()
        areas = np.asarray(case.lesion())[scored].sum(axis=(1, 2))
        index = int(scored[int(areas.argmax()) if areas.any() else len(scored) // 2])
        images = case.slices([index])
        brain, lesion = case.brain()[index : index + 1], np.asarray(case.lesion()[index])
        where = f"{record.dataset}/{record.case}/{index} {record.arrays.get(IMAGES, '')}"

        def made(name: str, task: Task) -> NDArray[np.float32] | None:
            method, key = methods.get(name), (name, where, str(task))
            if key not in self.slices and method and method.can(task, record.dataset):
                self.slices[key] = method.run(images, record.modalities, task, record, brain)[0]
            return self.slices.get(key)

        rows = []
        for task in tasks_for(record.modalities, "paper" if tasks == "grid" else tasks)[:PANEL_TASKS]:
            shown = {name: image for name in self.scored if (image := made(name, task)) is not None}
            inputs = [images[record.modalities.index(s), 0] for s in task.sources]
            truth = images[record.modalities.index(task.target), 0]
            rows.append(PanelRow(record.dataset, task, inputs, truth, shown, lesion))
        return rows


def figure_cases(cases: Iterable[PreparedCase]) -> list[PreparedCase]:
    """One case per dataset: of those with the most modalities the first with a lesion, else the first.

    A case whose arrays cannot be opened is passed over.
    """
    chosen: dict[str, tuple[tuple[int, bool], PreparedCase]] = {}
    for case in cases:
        with suppress(BadInput):
            worth = _worth(case)
            if case.record.dataset not in chosen or worth > chosen[case.record.dataset][0]:
                chosen[case.record.dataset] = worth, case
    return [case for _, case in chosen.values()]


def _worth(case: PreparedCase) -> tuple[int, bool]:
    case.images()
    return len(case.record.modalities), bool(case.lesion()[case.scored_slices()].any())
