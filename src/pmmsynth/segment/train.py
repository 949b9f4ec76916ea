"""Train a segmenter with Dice and focal loss for a budget of steps; the same call again resumes, bit for bit."""

import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
import torch
from monai.losses.dice import DiceFocalLoss
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked
from torch import Tensor, nn

from pmmsynth.atomic import only_writer, refuse_other_things, sweep, write_json, write_text
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, PmmsynthError, UsageError
from pmmsynth.learned import learned_from
from pmmsynth.machine import fast_bf16
from pmmsynth.manifest import first_message
from pmmsynth.modality import parse_modalities, parse_modality
from pmmsynth.model import load_tensors, save_tensors
from pmmsynth.record import Record
from pmmsynth.segment.mixing import Synthesis, synthesize_training
from pmmsynth.segment.regions import Target
from pmmsynth.segment.segmenter import DIVISOR, SegmenterCard, save_segmenter
from pmmsynth.segment.slices import TrainingSlices, digest_of, marked_cases
from pmmsynth.store import Store, verify_cases
from pmmsynth.train.run import Stopped, StopSignal, read_provenance

CHECKPOINT = "checkpoint.safetensors"
WINDOW = 20
"""Steps averaged into one line of the record."""


@checked(frozen=True, config=ConfigDict(extra="forbid"))
class SegmentConfig:
    """All that determines the weights besides the data.

    Attributes:
        target: What is segmented: the three regions of a glioma, or a lesion of one class.
        modalities: All sequences of the cohort; none means those of the store.
        left_out: The one of them this network does not see, or "".
        steps: In all.
        batch_size: Slices per step.
        learning_rate: Of Adam at the start; it falls to zero as (1 - step/steps)^0.9.
        width: Channels of the first stage.
        precision: "bf16-mixed", "32-true", or "auto": bf16 where the hardware computes in it.
        seed: Of weights, order and variations.
        checkpoint_seconds: Time between checkpoints.
    """

    target: Target = "glioma"
    modalities: tuple[str, ...] = ()
    left_out: str = ""
    steps: Annotated[int, Field(ge=1)] = 1000
    batch_size: Annotated[int, Field(ge=2)] = 16
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 5e-3
    width: Annotated[int, Field(ge=1, le=512)] = 32
    precision: Literal["auto", "bf16-mixed", "32-true"] = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 60.0

    def resolved(self, store: Store) -> "SegmentConfig":
        """With the store's modalities and the machine's precision in place. Raises UsageError."""
        names = parse_modalities(self.modalities) or store.record.modalities
        left_out = parse_modality(self.left_out) if self.left_out else ""
        if left_out and (left_out not in names or len(names) == 1):
            raise UsageError(
                f"found --left-out {left_out}; expected one of several sequences, {', '.join(names)}; choose one"
            )
        precision = self.precision
        if precision == "auto":
            precision = "bf16-mixed" if fast_bf16() else "32-true"
        return replace(self, modalities=names, left_out=left_out, precision=precision)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The network's channels."""
        return tuple(name for name in self.modalities if name != self.left_out)


@dataclass
class _State:
    """A network in training and how many steps it has done; all randomness is a function of (seed, step)."""

    network: nn.Module
    optimizer: torch.optim.Adam
    step: int = 0

    def tensors(self) -> dict[str, Tensor]:
        found = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        for (name, parameter), kind in ((p, k) for p in self.network.named_parameters() for k in _MOMENTS):
            kept = self.optimizer.state[parameter].get(kind)
            found[f"{kind}.{name}"] = torch.zeros_like(parameter) if kept is None else kept
        return found | {"step": torch.tensor(self.step)}

    def save(self, path: Path) -> None:
        save_tensors(path, self.tensors())

    def load(self, path: Path) -> None:
        found = load_tensors(path, self.tensors(), "remove it to train from the start")
        self.step = int(found["step"])
        network = {n.removeprefix("network."): t for n, t in found.items() if n.startswith("network.")}
        self.network.load_state_dict(network)
        for name, parameter in self.network.named_parameters():
            moments = {kind: torch.empty_like(parameter).copy_(found[f"{kind}.{name}"]) for kind in _MOMENTS}
            self.optimizer.state[parameter] = {
                "step": torch.tensor(float(self.step), device=parameter.device),  # where fused Adam has it
                **moments,
            }


_MOMENTS = ("exp_avg", "exp_avg_sq")


def train_segmenter(
    store: Store, out: Path, config: SegmentConfig, *, models: Sequence[Path] = (), reporter: Reporter
) -> Path:
    """Train on the marked cases of the train split that have all of `config.modalities`, seen or left out.

    Args:
        store: What `prepare` wrote.
        out: The run folder: config.toml, metrics.jsonl, the checkpoint, model/.
        config: All settings.
        models: A synthesis model or run folder, to learn from its images too (`TrainingSlices.batch`); or those of all
            folds (`Synthesis`).
        reporter: Where to speak.

    Returns:
        The folder of the segmenter, with the weights of the last step.

    Raises:
        BadInput: If no case fits, or a file of the store or the run is damaged.
        UsageError: If the run folder belongs to other settings or another store, another training writes there, or
            matrix or models do not fit.
        Stopped: After SIGTERM or SIGINT, once the checkpoint is written.
    """
    config = config.resolved(store)
    if store.record.matrix % DIVISOR:
        raise UsageError(
            f"found a store of {store.record.matrix} pixels; expected a multiple of {DIVISOR}; prepare with --matrix"
        )
    if models and config.left_out:
        raise UsageError("found --model and --left-out; expected a network on all sequences to mix in; leave out one")
    synthesis = Synthesis.of(models, store) if models else None
    cases = marked_cases(store, ["train"], config.target, config.modalities, reporter)
    origin = {"data_sha256": digest_of(cases), "cases": len(cases)} | (
        {"synthesis": synthesis.digest} if synthesis else {}
    )
    if synthesis:
        synthesis.check(cases, config.inputs)
    card = SegmenterCard(
        target=config.target,
        modalities=config.inputs,
        left_out=config.left_out,
        width=config.width,
        matrix=store.record.matrix,
        inplane_mm=store.record.inplane_mm,
        synthesis=synthesis.digest if synthesis else "",
        training={"seed": config.seed, "steps": config.steps, **origin},
        learned=learned_from(cases),
    )
    with only_writer(out):
        _open_run(out, config, origin)
        folder = out / "synthesized"
        made = synthesize_training(cases, config.inputs, synthesis, folder, reporter) if synthesis else []
        _fit(card, TrainingSlices.of(cases, config.target, config.inputs, made), config, out, reporter)
    reporter.say(f"segmenter: {out / 'model'}", segmenter=out / "model")
    return out / "model"


def _fit(card: SegmenterCard, slices: TrainingSlices, config: SegmentConfig, out: Path, reporter: Reporter) -> None:
    """From the checkpoint, or from the start, to the segmenter."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(config.seed)
    network = card.build().to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster
    state = _State(network, torch.optim.Adam(network.parameters(), lr=config.learning_rate, fused=True))
    checkpoint = out / CHECKPOINT
    if checkpoint.is_file():
        state.load(checkpoint)
        reporter.say(f"resuming at step {state.step}")
    if state.step < config.steps:
        verify_cases(slices.cases, reporter)
    record = Record(out / "metrics.jsonl", steps=state.step, epochs=0)
    with StopSignal() as stop, reporter.progress(f"training {out.name}", config.steps, state.step) as advance:
        losses, saved = [], time.monotonic()
        for loss in _steps(state, slices, config, device):
            losses.append(loss)
            advance(f"loss {loss:.3f}")
            if state.step % WINDOW == 0:
                record.add({"global_step": state.step, "loss": sum(losses) / len(losses)})
                losses = []
            if stop.requested or time.monotonic() - saved > config.checkpoint_seconds:
                state.save(checkpoint)
                saved = time.monotonic()
            if stop.requested:
                raise Stopped(f"stopped on request; all is saved in {checkpoint}; the same command goes on from there")
    state.save(checkpoint)
    save_segmenter(out / "model", network, card)


def _steps(state: _State, slices: TrainingSlices, config: SegmentConfig, device: torch.device) -> Iterator[float]:
    """Do the steps that are left, yielding the loss of each."""
    criterion = DiceFocalLoss(sigmoid=True, batch=True)
    state.network.train()
    while state.step < config.steps:
        images, truth = (part.to(device) for part in slices.batch(config.batch_size, config.seed, state.step))
        for group in state.optimizer.param_groups:
            group["lr"] = config.learning_rate * (1 - state.step / config.steps) ** 0.9
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16-mixed"):
            logits = state.network(images.contiguous(memory_format=torch.channels_last))
        loss = criterion(logits.float(), truth)
        if not loss.isfinite():
            raise PmmsynthError(f"found a loss of {loss} at step {state.step}; expected a number; lower learning_rate")
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        state.optimizer.step()
        state.step += 1
        yield loss.item()


def read_config(path: Path) -> SegmentConfig:
    """The settings of a run. Raises BadInput."""
    try:
        return TypeAdapter(SegmentConfig).validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except (ValidationError, ValueError) as error:
        reason = first_message(error) if isinstance(error, ValidationError) else str(error)
        raise BadInput(
            f"{path}: {reason}", "settings of a segmenter", "restore a copy, or choose another --out"
        ) from error


def _open_run(out: Path, config: SegmentConfig, origin: dict[str, Any]) -> None:
    """Write config.toml and provenance.json in a new folder, or check them in an old one. Raises UsageError."""
    sweep(out)
    settings, provenance = out / "config.toml", out / "provenance.json"
    if settings.is_file():
        before, now = asdict(read_config(settings)), asdict(config)
        changed = [f"{name} {before[name]}, not {now[name]}" for name in now if before[name] != now[name]]
        if read_provenance(provenance) not in ({}, origin):
            changed.append("other cases or another synthesis model")
        if changed:
            raise UsageError(
                f"found a run with other settings in {out} ({'; '.join(changed)}); expected the same to resume; "
                "choose another --out"
            )
    else:
        refuse_other_things(out, marker=settings.name, kind="run")
        write_text(settings, tomli_w.dumps(asdict(config)))
    if not provenance.is_file():
        write_json(provenance, origin)
