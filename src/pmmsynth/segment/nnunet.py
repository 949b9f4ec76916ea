"""Marked cases in the layout of nnU-Net v2: imagesTr, labelsTr, imagesTs, labelsTs and dataset.json."""

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pmmsynth.atomic import only_writer, sweep, write_json
from pmmsynth.console import Reporter
from pmmsynth.errors import UsageError
from pmmsynth.evaluate.method import Method
from pmmsynth.infer import Synthesizer
from pmmsynth.learned import check_unknown
from pmmsynth.modality import parse_modalities, parse_modality
from pmmsynth.segment.regions import REGIONS, TISSUES, Target, regions_of
from pmmsynth.segment.score import check_task, inputs
from pmmsynth.segment.slices import brain_slices, marked_cases
from pmmsynth.store import PreparedCase, Store
from pmmsynth.volume import MARK, Volume, write_volume

FOLDERS = {"train": ("imagesTr", "labelsTr"), "val": ("imagesTr", "labelsTr"), "test": ("imagesTs", "labelsTs")}
"""nnU-Net splits its training cases itself."""
DATASET = "dataset.json"
MADE_BY = "pmmsynth segment export"
BEGUN = "export_begun.json"
"""Stands in the folder until all is written: only what this command left unfinished is ever removed."""


def export_nnunet(
    store: Store,
    out: Path,
    *,
    target: Target = "glioma",
    modalities: Sequence[str] = (),
    left_out: str = "",
    model: Path | None = None,
    device: str = "auto",
    reporter: Reporter,
) -> Path:
    """Write one variant: all real; one sequence dropped everywhere; or one synthesized in the test cases.

    Training cases are real in the third too, so that its test cases go through the network of the first. A label map
    holds how many of the nested regions a voxel lies in: 1 oedema, 2 necrotic core, 3 enhancing.

    Args:
        store: What `prepare` wrote.
        out: Such as nnUNet_raw/Dataset501_Glioma; what an interrupted call wrote there is written again.
        target: What is segmented.
        modalities: All sequences of the cohort; none means those of the store.
        left_out: One of them.
        model: What synthesizes it; None: dropped.
        device: Of the synthesis.
        reporter: Where to speak.

    Raises:
        BadInput: If no training case has all sequences and a mask, with a model no test case, or an array is damaged.
        UsageError: If there is a device without a model, `out` holds a complete data set or other things, there is
            nothing left to see, the model does not make the sequence or learned from a test case, two cases would share
            a name, or another process writes there.
    """
    names = parse_modalities(modalities) or store.record.modalities
    left_out = parse_modality(left_out) if left_out else ""
    if (model and not left_out) or (left_out and (left_out not in names or len(names) == 1)):
        raise UsageError(
            f"found --left-out {left_out or 'missing'}; expected one of several sequences, {', '.join(names)}; "
            "choose one of them"
        )
    if device != "auto" and not model:
        raise UsageError(f"found --device {device} without --model; expected both: nothing is computed; leave it out")
    channels = names if model else tuple(name for name in names if name != left_out)
    method = Method.of([Synthesizer.load(model, device)], [model], store) if model else None
    training = marked_cases(store, ["train", "val"], target, names, reporter)
    if method:
        testing = marked_cases(store, ["test"], target, names, reporter)
        check_task(testing, names, left_out, method)
        check_unknown("the model", method.learned, testing, reporter)
    else:  # nnU-Net may cross-validate all there are
        every = marked_cases(store, ["train", "val", "test"], target, names, reporter)
        testing = [case for case in every if case.record.split == "test"]
    cases = [*training, *testing]
    if twice := [name for name, count in Counter(map(_name, cases)).items() if count > 1]:
        raise UsageError(
            f"found two cases that would be {twice[0]}; expected another name for each; export one --dataset at a time"
        )
    with only_writer(out):
        _begin(out)
        with reporter.progress(f"writing {out.name}", len(cases)) as advance:
            for case in cases:
                case.verify()
                is_test = case.record.split == "test"
                synthesized = left_out if is_test else ""
                images = inputs(case, channels, synthesized, method if is_test else None)
                _write(out, case, images, target, channels, synthesized)
                advance()
        write_json(out / DATASET, _description(target, channels, len(training)))  # now it is complete
        (out / BEGUN).unlink()
    counts = {"training": len(training), "testing": len(testing)}
    reporter.say(f"{len(training)} training, {len(testing)} test cases: {out}", **counts, out=out)
    return out


def _begin(out: Path) -> None:
    """Empty a folder of what an interrupted call wrote, maybe with other options. Raises UsageError on other files."""
    sweep(out)
    if any(out.iterdir()) and not (out / BEGUN).is_file():
        raise UsageError(f"found files in {out}; expected a new folder; choose another --out")
    write_json(out / BEGUN, {})
    for folder in {folder for pair in FOLDERS.values() for folder in pair}:
        shutil.rmtree(out / folder, ignore_errors=True)


def _name(case: PreparedCase) -> str:
    return f"{case.record.dataset}_{case.record.case}"


def _write(
    out: Path, case: PreparedCase, images: torch.Tensor, target: Target, channels: Sequence[str], synthesized: str
) -> None:
    record, positions = case.record, brain_slices(case)
    name = _name(case)
    image_folder, label_folder = (out / folder for folder in FOLDERS[record.split])
    whole = np.zeros((len(channels), *reversed(record.prepared.shape)), np.float32)
    whole[:, positions] = images.numpy().transpose(1, 0, 2, 3)
    for number, volume in enumerate(whole):
        mark = f"{MARK} {synthesized} by pmmsynth, not acquired; {MADE_BY}"
        what = mark if channels[number] == synthesized else MADE_BY
        _save(image_folder / f"{name}_{number:04d}.nii.gz", volume, case, what)
    depth = regions_of(case, target).sum(axis=0).astype(np.uint8)
    _save(label_folder / f"{name}.nii.gz", depth, case, MADE_BY)


def _save(path: Path, array: NDArray[np.generic], case: PreparedCase, what: str) -> None:
    """(slice, row, column) as a volume on the prepared grid, and what its header says of it."""
    data = np.ascontiguousarray(array.transpose(2, 1, 0))
    like = Volume(np.zeros(data.shape, np.float32), case.record.prepared.grid().affine)
    write_volume(path, data, like, what)


def _description(target: Target, channels: Sequence[str], training: int) -> dict[str, Any]:
    """dataset.json; the regions of a glioma are trained as regions, each drawn over the one before."""
    labels: dict[str, int | list[int]] = {"background": 0}
    nested = REGIONS[target]
    for number, region in enumerate(nested, 1):
        labels[region] = list(range(number, len(nested) + 1)) if target == "glioma" else number
    return {
        "channel_names": {str(number): name for number, name in enumerate(channels)},
        "labels": labels,
        **({"regions_class_order": list(range(1, len(TISSUES) + 1))} if target == "glioma" else {}),
        "numTraining": training,
        "file_ending": ".nii.gz",
    }
