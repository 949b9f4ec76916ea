"""The training loop: epochs of scheduled batches, one generator and one discriminator step each, validation."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch.nn.utils import get_total_norm
from torch.utils.data import DataLoader, Dataset

from pmmsynth.atomic import only_writer
from pmmsynth.console import Advance, Reporter
from pmmsynth.data import Batch, ModalityConsistentBatchScheduler, SliceDataset, step_random
from pmmsynth.errors import BadInput, PmmsynthError, UsageError
from pmmsynth.model import CARD, ModelCard, save_model
from pmmsynth.record import Record
from pmmsynth.store import Store, verify_cases
from pmmsynth.train.checkpoint import LAST, Progress, TrainState
from pmmsynth.train.config import TrainConfig
from pmmsynth.train.distributed import averages, by_first, leave, open_fabric
from pmmsynth.train.learner import Learner
from pmmsynth.train.run import Stopped, StopSignal, ignore_signals, open_run, training_card
from pmmsynth.train.samples import write_samples
from pmmsynth.train.shrink import shrink_model
from pmmsynth.train.validate import fixed_examples, validate

WINDOW = 20
"""Steps averaged into one line of the record."""


def train(
    store: Store,
    out: Path,
    config: TrainConfig,
    *,
    accelerator: str = "auto",
    reporter: Reporter | None = None,
) -> Path:
    """Train on the store's train split; the same call again resumes.

    Started by torchrun or srun, every process calls this: each step they share the gradients of one global batch, and
    the first alone writes, validates and speaks.

    Args:
        store: What `prepare` wrote.
        out: The run folder.
        config: All settings.
        accelerator: "cpu", "cuda" or "auto".
        reporter: Where to speak.

    Returns:
        The model folder with the weights that were best on the validation cases (the last ones without such cases),
        each task drawn towards linear regression as far as that helps these cases, unless `config.shrink` is off.

    Raises:
        BadInput: If the store has no training case, an array of it is not what prepare wrote, the checkpoint is
            damaged, or the run has lost its model or what says which cases it learned from.
        UsageError: If no validation case allows a task of `config.validation_tasks`, the run folder belongs to other
            settings, another store or another number of processes, another training writes there, or there is no such
            device.
        Stopped: After SIGTERM or SIGINT to any of the processes, once the checkpoint is written.
        LostProcess: If another process is gone.
    """
    config = config.resolved(accelerator)
    card = training_card(store, config)
    fabric = open_fabric(accelerator, config.precision)
    reporter = reporter or Reporter() if fabric.is_global_zero else Reporter(quiet=True)
    if fabric.world_size > 1:
        reporter.say(f"{fabric.world_size} processes, {fabric.world_size * config.batch_size} slices per step")
    run = _build(fabric, store, config, card)  # what is refused here leaves no folder
    with ExitStack() as held:
        by_first(fabric, lambda: held.enter_context(only_writer(out)))
        by_first(fabric, lambda: open_run(out, store, config, card, processes=fabric.world_size))
        _train(run, store, out, reporter)
    reporter.say(f"model: {out / 'model'}", model=out / "model")
    return out / "model"


@dataclass(frozen=True)
class Run:
    """All that one process holds while it trains."""

    fabric: Fabric
    config: TrainConfig
    card: ModelCard
    learner: Learner
    training: SliceDataset
    validation: SliceDataset
    scheduler: ModalityConsistentBatchScheduler

    @property
    def state(self) -> TrainState:
        return self.learner.state

    @property
    def progress(self) -> Progress:
        return self.state.progress

    @property
    def global_step(self) -> int:
        return self.progress.epoch * self.scheduler.steps + self.progress.step

    def save(self, path: Path) -> None:
        """Write a checkpoint from the first process; the others wait."""
        if self.fabric.is_global_zero:
            self.state.save(path)
        self.fabric.barrier()


def _train(run: Run, store: Store, out: Path, reporter: Reporter) -> None:
    """Go on from the checkpoint, or from the start, to the end."""
    fabric, config = run.fabric, run.config
    last = out / "checkpoints" / LAST
    if checkpoint := by_first(fabric, lambda: run.state.resume(last.parent, reporter)):
        if not fabric.is_global_zero:
            run.state.load(checkpoint)
        reporter.say(f"resuming at epoch {run.progress.epoch}, step {run.progress.step}")
    if run.progress.epoch < config.epochs:
        by_first(fabric, lambda: verify_cases([*store.cases("train"), *store.cases("val")], reporter))
    record = None
    if fabric.is_global_zero:
        record = Record(out / "metrics.jsonl", steps=run.global_step, epochs=run.progress.epoch)
    total = config.epochs * run.scheduler.steps
    with StopSignal() as stop, reporter.progress("training", total, run.global_step) as advance:
        while run.progress.epoch < config.epochs:
            _epoch(run, record, last, stop, advance)
            _after_epoch(run, record, out, reporter)
            run.save(last)
        if averages(fabric, {"stop": stop.requested})["stop"] > 0:  # during the last validation
            _stop(run, last)
    if fabric.is_global_zero and not (out / "model" / CARD).is_file():
        raise BadInput(
            f"{out}: training has ended, and there is no model",
            "the weights of the best validation",
            "restore model/ from a copy, or remove checkpoints/ to train again",
        )
    if fabric.is_global_zero and config.shrink:
        shrink_model(out / "model", store, run.validation, fabric, reporter)
    fabric.barrier()


def _build(fabric: Fabric, store: Store, config: TrainConfig, card: ModelCard) -> Run:
    ids = {dataset.name: dataset.id for dataset in card.datasets}
    training, validation = (
        SliceDataset(list(store.cases(split)), modalities=card.modalities, dataset_ids=ids)
        for split in ("train", "val")
    )
    if not len(training):
        raise BadInput(f"{store.root}: no slice with enough brain in the train split", "at least one", "see its sheets")
    if len(validation) and config.validation_tasks and not fixed_examples(validation, config.validation_tasks, card):
        raise UsageError(
            f"found validation_tasks {', '.join(config.validation_tasks)}; expected at least one of sequences that a "
            f"validation case has, among {', '.join(card.modalities)}; correct them"
        )
    learner = Learner.build(
        fabric, config, modalities=len(card.modalities), datasets=len(card.datasets), matrix=card.matrix
    )
    scheduler = ModalityConsistentBatchScheduler(
        training.groups(),
        batch_size=config.batch_size,
        seed=config.seed,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
    )
    return Run(fabric, config, card, learner, training, validation, scheduler)


def _epoch(run: Run, record: Record | None, last: Path, stop: StopSignal, advance: Advance) -> None:
    """The rest of the current epoch, from the step where progress stands."""
    config, progress = run.config, run.progress
    saved = time.monotonic()
    for batch, waited in _batches(run):
        began = time.monotonic()
        passed = progress.epoch + progress.step / run.scheduler.steps
        random = step_random(seed=config.seed, epoch=progress.epoch, step=progress.step)
        condition = run.learner.objective.draw(batch.available, random, config.learned(passed))
        torch.manual_seed(int(random.integers(2**62)) + run.fabric.global_rank)  # of dropout
        run.learner.set_rate(config.rate(passed))
        own = run.learner.step(batch, condition)
        due = run.fabric.is_global_zero and time.monotonic() - saved > config.checkpoint_seconds
        losses = averages(run.fabric, {**own, "stop": stop.requested, "save": due})
        stopping, saving = losses.pop("stop") > 0, losses.pop("save") > 0  # what one wants, all do
        _check_finite(run, losses, last)
        progress.step += 1
        worked = time.monotonic() - began
        _note(run, record, losses, waited, worked)
        advance(f"loss {losses['generator']:.2f}, data {waited / (waited + worked):.1%} of the step")
        if stopping or saving:
            run.save(last)
            saved = time.monotonic()
        if stopping:
            _stop(run, last)


def _stop(run: Run, last: Path) -> None:
    """Leave in all processes."""
    leave(run.fabric, Stopped(f"stopped on request; all is saved in {last}; the same command goes on from there"))


def _check_finite(run: Run, losses: dict[str, float], last: Path) -> None:
    """Leave before anything is saved if a step gave a loss, or left a weight, that is not finite."""
    weights = [p for module in (run.state.generator, run.state.adversary) if module for p in module.parameters()]
    fault = "weight" if all(map(isfinite, losses.values())) else "loss"
    if fault == "weight" and get_total_norm(weights).isfinite():
        return
    epoch, step = run.progress.epoch, run.progress.step
    slices = run.training.describe(run.scheduler.batch(epoch, step))
    reason = f"found a {fault} that is not finite at epoch {epoch}, step {step} on {slices}: {losses}; expected numbers"
    remedy = f"look at these slices or lower the learning rate; the last good state is in {last.parent}"
    leave(run.fabric, PmmsynthError(f"{reason}; {remedy}"))


def _batches(run: Run) -> Iterator[tuple[Batch, float]]:
    """Batches on the device, each with the seconds spent waiting for it."""
    run.scheduler.start(run.progress.epoch, run.progress.step)
    workers = 0 if run.fabric.device.type == "cpu" else 4
    slices = _Reading(run.training)
    loader = iter(
        DataLoader(slices, sampler=run.scheduler, batch_size=None, num_workers=workers, worker_init_fn=ignore_signals)
    )
    while True:
        began = time.monotonic()
        batch = next(loader, None)
        if batch is None:
            return
        if isinstance(batch, Exception):
            raise batch
        yield batch.to(run.fabric.device), time.monotonic() - began


class _Reading(Dataset[Batch | Exception]):
    """Slices as other processes read them: what a file is at fault for comes back whole, to be raised here."""

    def __init__(self, slices: SliceDataset) -> None:
        self.slices = slices

    def __getitem__(self, samples: Sequence[int]) -> Batch | Exception:
        try:
            return self.slices[samples]
        except (PmmsynthError, OSError) as error:
            return error


def _note(run: Run, record: Record | None, losses: dict[str, float], waited: float, worked: float) -> None:
    """Add a step to the window; a full window becomes a line of the record."""
    window = run.progress.window
    for name, value in {**losses, "seconds waiting for data": waited, "seconds working": worked}.items():
        window[name] = window.get(name, 0.0) + value
        window[f"n {name}"] = window.get(f"n {name}", 0.0) + 1
    if run.global_step % WINDOW and run.progress.step < run.scheduler.steps:
        return
    if record:
        means = {name: window[name] / window[f"n {name}"] for name in window if not name.startswith("n ")}
        data, work = means.pop("seconds waiting for data"), means.pop("seconds working")
        rate = run.state.generator_optimizer.param_groups[0]["lr"]
        place = {"global_step": run.global_step, "epoch": run.progress.epoch, "learning_rate": rate}
        record.add({**place, **means, "seconds_per_step": data + work, "data_share": data / (data + work)})
    window.clear()


def _after_epoch(run: Run, record: Record | None, out: Path, reporter: Reporter) -> None:
    """Count the epoch; on the first process validate, keep the best weights, write samples."""
    progress = run.progress
    progress.epoch, progress.step = progress.epoch + 1, 0
    ends = progress.epoch == run.config.epochs
    if record is None or not (ends or progress.epoch % run.config.validate_every == 0):
        return
    examples = fixed_examples(run.validation, run.config.validation_tasks, run.card)
    generator = run.state.generator
    if not examples:
        save_model(out / "model", generator, run.card)
        return
    with run.fabric.autocast():
        result = validate(generator, run.card, examples, run.fabric.device)
        write_samples(
            out / "samples" / f"epoch_{progress.epoch:04d}.png", generator, run.card, examples, run.fabric.device
        )
    record.add(
        {"global_step": run.global_step, "epoch": progress.epoch, "validation_psnr": result.mean, **result.tasks}
    )
    reporter.say(f"epoch {progress.epoch}: validation {result.mean:.2f} dB", epoch=progress.epoch, psnr=result.mean)
    if result.mean > progress.best or not (out / "model").is_dir():
        progress.best = result.mean
        trained = {
            **run.card.training,
            "epoch": progress.epoch,
            "steps": run.global_step,
            "validation_psnr": result.mean,
        }
        save_model(out / "model", generator, run.card.model_copy(update={"training": trained}))
