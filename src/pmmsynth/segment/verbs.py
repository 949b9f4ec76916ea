"""The verbs of `pmmsynth segment`."""

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pydantic import ValidationError
from tyro.conf import Positional, UseAppendAction

from pmmsynth.atomic import refuse_other_things
from pmmsynth.errors import UsageError
from pmmsynth.manifest import first_message
from pmmsynth.verb import Verb


def _check_monai() -> None:
    if find_spec("monai") is None:
        raise UsageError("found no MONAI; expected the package; pip install 'pmmsynth[segment]'")


@dataclass(frozen=True)
class _Marked(Verb):
    """What verbs understand that take marked cases of a store."""

    target: Literal["glioma", "lesion"] = field(default="glioma", kw_only=True)
    """The three regions of a glioma, or a lesion of one class."""
    dataset: UseAppendAction[tuple[str, ...]] = field(default=(), kw_only=True)
    """Only this dataset, or several, each given once; all if none is given."""
    modality: UseAppendAction[tuple[str, ...]] = field(default=(), kw_only=True)
    """A sequence of the cohort, once for each; those of the store if none is given."""


@dataclass(frozen=True)
class Train(_Marked):
    """Train a network that finds lesions on all sequences, or without one; the same command again resumes."""

    store: Positional[Path]
    """What prepare wrote."""
    out: Path
    """The run folder."""
    left_out: str = ""
    """The sequence to train without."""
    model: UseAppendAction[tuple[Path, ...]] = ()
    """A synthesis model or run folder: a slice has all sequences real or one synthesized by it, each as often. Or once
    for each fold of train --fold: a case's are made by the model that did not learn from it."""
    steps: int = 1000
    """In all."""
    batch_size: int = 16
    """Slices per step."""
    width: int = 32
    """Channels of the first stage."""
    seed: int = 0
    """Of weights, order and variations."""

    def run(self) -> int:
        _check_monai()
        from pmmsynth.segment.train import SegmentConfig, train_segmenter
        from pmmsynth.store import Store

        try:
            config = SegmentConfig(
                target=self.target,
                modalities=self.modality,
                left_out=self.left_out,
                steps=self.steps,
                batch_size=self.batch_size,
                width=self.width,
                seed=self.seed,
            )
        except ValidationError as error:
            raise UsageError(f"found {first_message(error)}; expected other settings; correct them") from error
        train_segmenter(Store(self.store, self.dataset), self.out, config, models=self.model, reporter=self.reporter)
        return 0


@dataclass(frozen=True)
class Evaluate(Verb):
    """Find lesions in held-out cases, all sequences real or one synthesized: Dice, distance, volume; table, figure."""

    store: Positional[Path]
    """What prepare wrote."""
    segmenter: Path
    """What segment train wrote."""
    out: Path
    """Folder of the rows, the table and the figure; rows of other calls stay."""
    model: Path | None = None
    """A synthesis model or run folder, with --left-out."""
    left_out: str = ""
    """The sequence the model synthesizes from the others."""
    dataset: UseAppendAction[tuple[str, ...]] = ()
    """Only this dataset, or several, each given once."""
    split: Literal["train", "val", "test"] = "test"
    """Which cases."""
    device: str = "auto"
    """auto, cpu or cuda."""

    def run(self) -> int:
        _check_monai()
        from pmmsynth.segment.report import write_report
        from pmmsynth.segment.score import evaluate_segmenter
        from pmmsynth.store import Store

        rows = self.out / "segmentation.jsonl"
        refuse_other_things(self.out, marker=rows.name, kind="evaluation of segmenters")
        done = evaluate_segmenter(
            Store(self.store, self.dataset),
            self.segmenter,
            rows,
            model=self.model,
            left_out=self.left_out,
            split=self.split,
            device=self.device,
            reporter=self.reporter,
        )
        table = write_report(done.rows, self.out)
        self.reporter.say(f"table: {table}", table=table)
        return done.exit_code


@dataclass(frozen=True)
class Export(_Marked):
    """Write images and labels as nnU-Net v2 takes them, one sequence real, synthesized or dropped."""

    store: Positional[Path]
    """What prepare wrote."""
    out: Path
    """A new folder such as nnUNet_raw/Dataset501_Glioma."""
    left_out: str = ""
    """The sequence that is synthesized in the test cases with --model, and else dropped from all."""
    model: Path | None = None
    """A synthesis model or run folder."""
    device: str = "auto"
    """auto, cpu or cuda, of the model."""

    def run(self) -> int:
        _check_monai()
        from pmmsynth.segment.nnunet import export_nnunet
        from pmmsynth.store import Store

        export_nnunet(
            Store(self.store, self.dataset),
            self.out,
            target=self.target,
            modalities=self.modality,
            left_out=self.left_out,
            model=self.model,
            device=self.device,
            reporter=self.reporter,
        )
        return 0
