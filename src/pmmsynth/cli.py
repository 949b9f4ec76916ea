"""The command line: one frozen dataclass per verb, whose `run` calls one library function."""

import shlex
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, UseAppendAction, subcommand

from pmmsynth.errors import UsageError
from pmmsynth.reading.verbs import Score
from pmmsynth.segment import verbs as segment
from pmmsynth.study import verbs as study
from pmmsynth.verb import ManyCases, Verb, ending
from pmmsynth.web.verbs import Serve


@dataclass(frozen=True)
class Check(Verb):
    """Look at scans before a long run: which file is which sequence, what is missing, what is wrong; writes nothing."""

    places: Positional[tuple[Path, ...]]
    """Folders of NIfTI or DICOM, manifests, cohort files."""
    jobs: int = 1
    """Cases at a time, each in a process of its own; -1 for one per core."""

    def run(self) -> int:
        from pmmsynth.check import check

        return check(self.places, jobs=self.jobs, reporter=self.reporter)


@dataclass(frozen=True)
class Convert(ManyCases):
    """Turn DICOM of MR, in whatever order and depth, into a BIDS tree of NIfTI; patients get labels of digests."""

    dicom: Positional[Path]
    """Folder of DICOM files."""
    out: Path
    """The BIDS tree."""

    def run(self) -> int:
        from pmmsynth.intake import convert

        return convert(
            self.dicom,
            self.out,
            jobs=self.jobs,
            cluster=self.cluster,
            overwrite=self.overwrite,
            reporter=self.reporter,
        ).exit_code


@dataclass(frozen=True)
class Simulate(ManyCases):
    """Make four simulated datasets with known truth, as ordinary NIfTI in four folder layouts."""

    out: Positional[Path]
    """Folder to make; cohorts.toml for prepare is written in it."""
    cases: str = "12"
    """Cases per dataset: one number, or for some datasets as TTG=12,BraTS=5."""
    seed: int = 0
    """Everything follows from it."""

    def run(self) -> int:
        from pmmsynth.simulate import simulate

        return simulate(
            self.out,
            cases=_counts(self.cases),
            seed=self.seed,
            jobs=self.jobs,
            cluster=self.cluster,
            overwrite=self.overwrite,
            reporter=self.reporter,
        ).exit_code


@dataclass(frozen=True)
class Prepare(ManyCases):
    """Bring the cases of a cohort file into a store; only what is missing or has changed is done."""

    cohorts: Positional[Path]
    """The cohort file (cohorts.toml)."""
    out: Path
    """The store."""
    matrix: int = 192
    """Pixels per side."""
    inplane_mm: float = 1.0
    """Pixel size."""

    def run(self) -> int:
        from pmmsynth.prepare import prepare

        return prepare(
            self.cohorts,
            self.out,
            matrix=self.matrix,
            inplane_mm=self.inplane_mm,
            jobs=self.jobs,
            cluster=self.cluster,
            overwrite=self.overwrite,
            reporter=self.reporter,
        ).exit_code


@dataclass(frozen=True)
class Train(Verb):
    """Train one model on all datasets of a store; the same command again goes on where it stopped."""

    store: Positional[Path]
    """What prepare wrote."""
    out: Path
    """The run folder."""
    dataset: UseAppendAction[tuple[str, ...]] = ()
    """Train on this dataset alone, or on several, each given once; all if none is given."""
    fold: str | None = None
    """Cross-validation: 0/3 holds out the first of three parts of the training patients; evaluate --fold scores it."""
    method: str = "PMM-Synth"
    """What to train: PMM-Synth or a method it is compared with."""
    preset: Literal["paper", "small", "tiny"] = "small"
    """Settings to start from."""
    config: Path | None = None
    """A TOML file of settings, instead of a method and a preset."""
    epochs: int | None = None
    """Epochs in all; those at full learning rate shrink or grow with them."""
    constant_epochs: int | None = None
    """Epochs before the learning rate begins to fall."""
    batch_size: int | None = None
    """Slices per step and process."""
    learning_rate: float | None = None
    """Of Adam."""
    precision: Literal["auto", "bf16-mixed", "32-true"] | None = None
    """bf16 where the hardware has it."""
    seed: int | None = None
    """Of weights, order and conditions."""
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    """Kind of device."""
    devices: int = 1
    """Processes to start on this machine, one per GPU, or on its CPU; torchrun and srun start their own."""
    dry_run: bool = False
    """Print the settings and the plan, do nothing."""

    def run(self) -> int:
        from pmmsynth.store import Fold, Store
        from pmmsynth.train import PRESETS, TrainConfig, describe, launch, train

        if self.devices < 1:
            raise UsageError(f"found --devices {self.devices}; expected 1 or more; correct it")
        base = TrainConfig.read(self.config) if self.config else PRESETS[self.preset](self.method)
        names = ("constant_epochs", "batch_size", "learning_rate", "precision", "seed")
        chosen = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        config = (base if self.epochs is None else base.lasting(self.epochs)).changed(**chosen)
        store = Store(self.store, self.dataset, Fold.parse(self.fold) if self.fold else None)
        if self.dry_run:
            self.reporter.say(describe(store, config.resolved(self.accelerator), processes=self.devices))
            return 0
        if self.devices != 1:
            return launch(self.devices, self._arguments())
        train(store, self.out, config, accelerator=self.accelerator, reporter=self.reporter)
        return 0

    def _arguments(self) -> list[str]:
        """The command line that says the same to one of several processes."""
        arguments = ["train", str(self.store)]
        for option in fields(self):
            value = getattr(self, option.name)
            if option.name not in ("store", "devices") and value != option.default:
                flag = f"--{option.name.replace('_', '-')}"
                values = value if isinstance(value, tuple) else (value,)
                arguments += [flag] if value is True else [word for v in values for word in (flag, str(v))]
        return arguments


@dataclass(frozen=True)
class Synthesize(ManyCases):
    """Make the sequences a patient lacks, on the native grid, as BIDS derivatives with a sidecar each."""

    model: Positional[Path]
    """A model or run folder."""
    cases: Positional[Path | None] = None
    """A folder of cases or a manifest.jsonl."""
    input: UseAppendAction[tuple[str, ...]] = ()
    """One sequence as MODALITY=PATH; give it once per sequence."""
    subject: str | None = None
    """Label of the patient in the output names, with --input."""
    dataset: str | None = None
    """The training dataset the patients belong to; a manifest says its own."""
    raw: bool = False
    """The scans have skull and are not registered: find the brain, bring them together first. A manifest knows it."""
    targets: str = "missing"
    """missing, all, or names such as t1c,flair; a sequence that is given is made from the others."""
    split: Literal["train", "val", "test"] | None = None
    """Of a manifest, only the cases of this split."""
    out: Path = Path("synthesized")
    """Root of the derivatives."""
    device: str = "auto"
    """auto, cpu or cuda."""
    backend: Literal["torch", "onnxruntime", "openvino"] = "torch"
    """What computes; onnxruntime and openvino need a folder of pmmsynth export as MODEL."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """bf16 for speed, float32, or auto: bf16 where the hardware computes in it."""
    memory: float | None = None
    """Limit of the process in gigabytes of main memory; fewer slices then share a pass."""

    def run(self) -> int:
        from pmmsynth.case import RAW
        from pmmsynth.infer import SavedModel, case_of_inputs, synthesize_cases
        from pmmsynth.intake import find_cases, overlooked
        from pmmsynth.model import read_card

        if (self.cases is None) == (not self.input):
            raise UsageError("found both or neither of CASES and --input; expected one of them; choose one")
        if (self.cases and self.subject) or (self.input and self.split):
            raise UsageError("found --subject with CASES or --split with --input; expected the reverse; leave it out")
        cases = find_cases(self.cases, self.split) if self.cases else [case_of_inputs(self.input, self.subject)]
        if self.raw:
            cases = [case.model_copy(update={"scans": RAW}) for case in cases]
        model = SavedModel.find(
            self.model, self.device, backend=self.backend, precision=self.precision, memory=self.memory
        )
        if self.input:
            read_card(model.folder).mask(cases[0].modalities)  # mistyped, a name would pass for a foreign sequence
        if self.cases and (left := overlooked(self.cases, cases)):
            self.reporter.remark(
                f"found {len(left)} volumes not recognized as a sequence, the first {left[0]}: what they are counts "
                "as missing; use --input or a manifest to name them"
            )
        return synthesize_cases(
            model,
            cases,
            self.out,
            dataset=self.dataset,
            targets=self.targets,
            overwrite=self.overwrite,
            jobs=self.jobs,
            cluster=self.cluster,
            reporter=self.reporter,
        ).exit_code


@dataclass(frozen=True)
class Export(Verb):
    """Write a model as ONNX graphs, one per task, for synthesize --backend and for programs without PyTorch."""

    model: Positional[Path]
    """A model or run folder."""
    out: Path
    """A new folder."""
    task: UseAppendAction[tuple[str, ...]] = ()
    """A task such as "T1+T2->FLAIR"; give it once per task."""

    def run(self) -> int:
        from pmmsynth.infer.export import export
        from pmmsynth.modality import Task

        if not self.task:
            raise UsageError('found no --task; expected at least one; give for example --task "T1+T2->FLAIR"')
        out = export(self.model, self.out, [Task.parse(t) for t in self.task], self.reporter)
        self.reporter.say(f"graphs: {out}", graphs=out)
        return 0


@dataclass(frozen=True)
class Evaluate(Verb):
    """Score models and the trivial floors on a store's test cases: rows, tables, figures."""

    store: Positional[Path]
    """What prepare wrote."""
    out: Path
    """Folder for scores.jsonl, tables and figures."""
    model: UseAppendAction[tuple[str, ...]] = ()
    """A method as NAME=FOLDER or FOLDER, or NAME=FOLDER,FOLDER,... of models of one dataset each; once per method."""
    tasks: str = "paper"
    """paper, grid (every source set to every target), or tasks such as "T1->T1C, T1+T2->FLAIR"."""
    split: Literal["train", "val", "test"] = "test"
    """Which cases."""
    fold: str | None = None
    """Instead of the test cases those training patients that train --fold held out."""
    device: str = "auto"
    """auto, cpu or cuda."""
    overwrite: bool = False
    """Score again what is scored already."""

    def run(self) -> int:
        from pmmsynth.evaluate import evaluate, methods_of
        from pmmsynth.store import Fold, Store

        store = Store(self.store, fold=Fold.parse(self.fold) if self.fold else None)
        return evaluate(
            store,
            methods_of(self.model, store, self.device),
            out=self.out,
            tasks=self.tasks if self.tasks in ("paper", "grid") else [t.strip() for t in self.tasks.split(",")],
            split=self.split,
            overwrite=self.overwrite,
            reporter=self.reporter,
            command=shlex.join(["pmmsynth", *sys.argv[1:]]),
        ).exit_code


@dataclass(frozen=True)
class Demo(Verb):
    """See it work: simulate, prepare, train, synthesize and evaluate, then one page with the result."""

    out: Path = Path("demo")
    """Folder for everything."""
    jobs: int = 2
    """Cases at a time."""

    def run(self) -> int:
        from pmmsynth.demo import demo

        demo(self.out, jobs=self.jobs, reporter=self.reporter)
        return 0


Reading = (
    Annotated[study.Create, subcommand("create")]
    | Annotated[Serve, subcommand("serve")]
    | Annotated[study.Close, subcommand("close")]
    | Annotated[Score, subcommand("score")]
)
Segment = (
    Annotated[segment.Train, subcommand("train")]
    | Annotated[segment.Evaluate, subcommand("evaluate")]
    | Annotated[segment.Export, subcommand("export")]
)
Command = (
    Annotated[Check, subcommand("check")]
    | Annotated[Convert, subcommand("convert")]
    | Annotated[Simulate, subcommand("simulate")]
    | Annotated[Prepare, subcommand("prepare")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Synthesize, subcommand("synthesize")]
    | Annotated[Export, subcommand("export")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Segment, subcommand("segment", description="Lesions found with sequences real, synthesized, dropped.")]
    | Annotated[Reading, subcommand("reading", description="Reading studies: reports on real and synthesized images.")]
    | Annotated[Demo, subcommand("demo")]
)


def _counts(text: str) -> int | dict[str, int]:
    """ "12" or "TTG=12,BraTS=5"."""
    try:
        if "=" not in text:
            return int(text)
        return {name.strip(): int(count) for name, count in (part.split("=") for part in text.split(","))}
    except ValueError as error:
        raise UsageError(f"found --cases {text}; expected a number or NAME=NUMBER,...; write TTG=12,BraTS=5") from error


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code of architecture: 0, 2, 3, 4, 5, 70, 130."""
    try:
        verb: Verb = tyro.cli(
            Command,
            prog="pmmsynth",
            description="Synthesize the MRI sequences a patient lacks from those the patient has.",
            args=arguments,
        )
    except SystemExit as error:
        return 2 if error.code else 0
    return ending(verb.run)


def entry() -> None:
    """The console script."""
    sys.exit(main())
