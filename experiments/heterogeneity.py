"""What telling the network the dataset can gain: on datasets as they are, and with a style of their own added.

Usage: python experiments/heterogeneity.py SIMULATED JUDGED OUT PAGE [--epochs 2]

SIMULATED and JUDGED are folders of `pmmsynth simulate` of two seeds: one to train on, one whose cases judge. Besides
the cohort as it is, one is made in which every dataset's FLAIR passes a tone curve of its own, which the sources do
not show. On both: linear regression fitted on each dataset and on all together, PMM-Synth with and without PFM, and
PMM-Synth told another dataset than the true one. What is there is not done again. The start of PAGE is written by
hand, in experiments/heterogeneity.md.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean

import nibabel as nib
import numpy as np
import tyro
from comparison import alone, run_folder
from tyro.conf import Positional

from pmmsynth.atomic import replacing, write_text
from pmmsynth.console import Reporter
from pmmsynth.errors import NothingToDo
from pmmsynth.evaluate import PAPER, Floors, Method, Score, fit_floors, read_scores, score
from pmmsynth.evaluate.method import Stack
from pmmsynth.evaluate.tables import markdown, rows
from pmmsynth.infer import Synthesizer
from pmmsynth.intake import read_cohorts
from pmmsynth.linear import LeastSquares
from pmmsynth.prepare import prepare
from pmmsynth.store import CaseRecord, Store
from pmmsynth.train import small, train
from pmmsynth.verb import ending

CURVES = {"as they are": {}, "FLAIR of a style of their own": {"TTG": 1.0, "TTI": 0.6, "BraTS": 1.6, "ISLES": 0.8}}
"""Cohort -> exponent of the tone curve of each dataset's FLAIR: x -> max (x / max)^exponent."""
MATRIX, INPLANE_MM = 96, 2.0


def main(
    simulated: Positional[Path],
    judged: Positional[Path],
    out: Positional[Path],
    page: Positional[Path],
    epochs: int = 2,
) -> None:
    """Do what is missing, then write the page."""
    reporter = Reporter()
    texts = [Path(__file__).with_suffix(".md").read_text(encoding="utf-8").strip()]
    for number, (cohort, curves) in enumerate(CURVES.items()):
        folder = out / f"cohort{number}"
        learned, judging = (
            store_of(root, folder / name, curves, train=name == "train", reporter=reporter)
            for root, name in ((simulated, "train"), (judged, "judge"))
        )
        networks = {}
        for column, method in (("w/o PFM", "PMM-Synth w/o PFM"), ("PMM-Synth", "PMM-Synth")):
            run = run_folder(folder, column)
            train(learned, run, replace(small(method).lasting(epochs), shrink=False), reporter=reporter)
            networks[column] = alone(Synthesizer.load(run))
        score(
            judging,
            columns(learned, judging, networks, reporter),
            out=folder / "scores.jsonl",
            split="val",
            tasks=[str(task) for task in PAPER],
            reporter=reporter,
        )
        scores = read_scores(folder / "scores.jsonl")
        steps = networks["PMM-Synth"].card.training["steps"]
        texts.append(
            f"## Datasets {cohort}\n\n{steps} steps ({epochs} epochs) of each network, seed 0, slices of {MATRIX} x "
            f"{MATRIX} pixels of {INPLANE_MM:g} mm.\n\n{gains(scores)}\n{markdown(scores).strip()}"
        )
    write_text(page, "\n\n".join(texts) + "\n")


def store_of(simulated: Path, folder: Path, curves: Mapping[str, float], *, train: bool, reporter: Reporter) -> Store:
    """Prepare a copy of simulated datasets whose FLAIR has passed the curves, to train on or to judge by."""
    cohorts = folder / "datasets" / "cohorts.toml"
    if not cohorts.is_file():
        restyle(simulated, cohorts.parent, curves)
        split = "{ val = 0.1, test = 0.2 }" if train else "{ val = 0.9, test = 0.05 }"
        write_text(cohorts, f"split = {split}\n" + (simulated / cohorts.name).read_text(encoding="utf-8"))
    with suppress(NothingToDo):
        prepare(cohorts, folder / "store", matrix=MATRIX, inplane_mm=INPLANE_MM, jobs=2, reporter=reporter)
    return Store(folder / "store")


def restyle(simulated: Path, folder: Path, curves: Mapping[str, float]) -> None:
    """Copy datasets (by hard links), all but FLAIR, which is written anew as max (x / max)^exponent."""
    _, manifest = read_cohorts(simulated / "cohorts.toml")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(simulated, folder, copy_function=os.link)
    for case in manifest.cases:
        if (exponent := curves.get(case.dataset, 1.0)) != 1 and (path := case.images.get("FLAIR")):
            volume = nib.Nifti1Image.from_filename(path)
            data = volume.get_fdata(dtype=np.float32)
            top = data.max()
            with replacing(folder / path.relative_to(simulated)) as temporary:
                nib.Nifti1Image(top * (data / top) ** exponent, volume.affine).to_filename(temporary)


def columns(
    learned: Store, judging: Store, networks: Mapping[str, Synthesizer], reporter: Reporter
) -> dict[str, Method]:
    """What is scored, by name."""
    own = fit_floors(learned, reporter)
    everyone = [replace(sums, dataset="all") for sums in own.fits.sums]
    pooled = Floors(partial(LeastSquares, tuple(everyone)), own.digest)
    scored = {name: Method.of([model], [], judging) for name, model in networks.items()}
    taught = {
        d.name: {m for c in learned.cases("train", d.name) for m in c.record.modalities}
        for d in learned.record.datasets
    }

    def elsewhere(images: Stack, sources: tuple[str, ...], target: str, case: CaseRecord) -> Stack:
        """PMM-Synth told each other dataset that has the target; the mean of what it makes."""
        others = [name for name, had in taught.items() if name != case.dataset and target in had]
        told = [case.model_copy(update={"dataset": name}) for name in others]
        return np.mean([scored["PMM-Synth"].synthesize(images, sources, target, c) for c in told], axis=0)

    return {
        "own fit": Method(own.regression, own.digest),
        "pooled fit": Method(pooled.regression, own.digest),
        **scored,
        "another dataset": replace(scored["PMM-Synth"], synthesize=elsewhere),
    }


GAINS = (
    ("regression: own fit over pooled fit", "own fit", "pooled fit"),
    ("PMM-Synth over w/o PFM", "PMM-Synth", "w/o PFM"),
    ("true dataset over another", "PMM-Synth", "another dataset"),
)


def gains(scores: Sequence[Score]) -> str:
    """What knowing the dataset gains, mean PSNR over rows, for FLAIR and the other targets."""
    table = rows(scores)
    parts = {"FLAIR": [r for r in table if r.task.endswith("->FLAIR")]}
    parts["other targets"] = [r for r in table if r not in parts["FLAIR"]]
    lines = [f"| gain, dB | {' | '.join(f'{name} ({len(part)} rows)' for name, part in parts.items())} |"]
    lines.append("| --- | ---: | ---: |")
    for label, better, worse in GAINS:
        values = [fmean(r.cells[better].mean["psnr"] - r.cells[worse].mean["psnr"] for r in p) for p in parts.values()]
        lines.append(f"| {label} | {' | '.join(f'{v:+.2f}' for v in values)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(ending(lambda: tyro.cli(main)))
