"""The JSON beside a synthesized volume: what it is, what it was made from and by what."""

from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from pmmsynth.case import Scans
from pmmsynth.infer.synthesizer import Synthesis, Synthesizer
from pmmsynth.modality import Task


def preparation(scans: Scans, brain: str | None) -> dict[str, Any]:
    """What is done to the scans before synthesis, as the sidecar has it; `brain`: sha256 of a given mask."""
    return {
        "BrainExtraction": scans.extractor if not scans.skull_stripped and brain is None else None,
        "BrainMaskSHA256": brain,
        "Registration": not scans.registered,
        "BiasFieldCorrection": scans.bias_field,
    }


def sidecar(
    made: Synthesis,
    model: Synthesizer,
    digests: dict[str, str],
    names: dict[str, str],
    chosen: str,
    brain: str | None = None,
) -> dict[str, Any]:
    """The sidecar of one volume: BIDS fields first, then ours.

    Args:
        made: The volume.
        model: What made it.
        digests: sha256 of every source file.
        names: File name of every source, without its folders (they may name the patient).
        chosen: How the dataset was chosen: "by --dataset", "by the manifest".
        brain: sha256 of a given brain mask.
    """
    weight = model.card.network_weight(Task(made.sources, made.target))
    return {
        "Description": f"Synthetic {made.target} from {' + '.join(made.sources)} {_means(weight)}; not acquired",
        "SyntheticImage": True,
        "SkullStripped": True,
        "SpatialReference": names[made.reference],
        "Sources": [names[m] for m in made.sources],
        "Target": made.target,
        "InputSequences": [{"Name": m, "File": names[m], "SHA256": digests[m]} for m in made.sources],
        "Model": {
            "Name": model.card.method,
            "WeightsSHA256": model.card.weights_sha256,
            "Digest": model.card.digest,
            "NetworkWeight": weight,
            "Training": model.card.training,
        },
        "Dataset": {"Name": made.dataset, "ID": model.card.dataset(made.dataset).id, "HowChosen": chosen},
        "IntensityMapping": {
            "Formula": "value = a * unit + b, unit in [0, 1]",
            "a": made.intensity.scale,
            "b": 0.0,
            "Kind": made.intensity.kind,
            "Range": [0.0, made.intensity.scale],
            "StatisticsFrom": made.intensity_from,
        },
        "Units": made.intensity.units,
        "Geometry": {
            "Reference": made.reference,
            "Resampled": made.resampled,
            "Moved": {name: matrix.tolist() for name, matrix in made.moves.items()},
        },
        "Preparation": preparation(model.scans, brain),
        "Remarks": list(made.remarks),
        "IntendedUse": model.card.intended_use,
        "SoftwareVersion": version("pmmsynth"),
        "Device": model.device.type,
        "Backend": model.generator.label,
        "Date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _means(weight: float) -> str:
    """By what it was made, from the weight of the network in its task."""
    if weight == 0:
        return "by linear regression"
    return "by a neural network" if weight == 1 else "by a neural network and linear regression"
