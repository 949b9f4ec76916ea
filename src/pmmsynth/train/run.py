"""The run folder: settings and provenance at the start, the same ones on resuming; stopping on a signal."""

import hashlib
import json
import platform
import signal
from collections import Counter, defaultdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from types import FrameType, TracebackType
from typing import Any

import torch

from pmmsynth.atomic import refuse_other_things, sweep, write_json, write_text
from pmmsynth.data import ModalityConsistentBatchScheduler, SliceDataset
from pmmsynth.errors import BadInput, PmmsynthError, UsageError
from pmmsynth.learned import learned_from
from pmmsynth.modality import ordered
from pmmsynth.model import DatasetCard, ModelCard
from pmmsynth.store import Intensity, Store
from pmmsynth.train.config import TrainConfig, differences


class Stopped(PmmsynthError):
    """Training was asked to stop and did so with everything saved (exit code 130)."""

    exit_code = 130


def training_card(store: Store, config: TrainConfig) -> ModelCard:
    """What is known of the model before training: modalities and datasets of the store's training cases."""
    modalities: dict[str, set[str]] = defaultdict(set)
    scales: dict[str, dict[str, list[Intensity]]] = defaultdict(lambda: defaultdict(list))
    cases: dict[str, int] = defaultdict(int)
    training = list(store.cases("train"))
    for record in (case.record for case in training):
        cases[record.dataset] += 1
        modalities[record.dataset] |= set(record.modalities)
        for modality in record.modalities:
            scales[record.dataset][modality].append(record.intensity[modality])
    names = {entry.id: entry.name for entry in store.record.datasets}
    for name in names.values():
        if not cases[name]:
            raise BadInput(f"{store.root}: dataset {name} has no training case", "at least one", "change its split")
    datasets = tuple(
        DatasetCard(
            id=number,
            name=name,
            modalities=ordered(modalities[name]),
            intensity={m: _typical(scales[name][m]) for m in ordered(modalities[name])},
        )
        for number, name in sorted(names.items())
    )
    return ModelCard(
        method=config.method,
        architecture=config.architecture,
        modalities=ordered(m for d in datasets for m in d.modalities),
        datasets=datasets,
        matrix=store.record.matrix,
        inplane_mm=store.record.inplane_mm,
        learned=learned_from([*training, *store.cases("val")]),
        training={
            "seed": config.seed,
            "epochs": config.epochs,
            "cases": dict(cases),
            "data_sha256": data_digest(store),
            "software": _software(),
        }
        | ({"fold": str(store.fold)} if store.fold else {}),
    )


def open_run(out: Path, store: Store, config: TrainConfig, card: ModelCard, *, processes: int) -> None:
    """Write `config.toml` and `provenance.json` in a new run folder, or check them in an old one.

    Raises:
        BadInput: If there are checkpoints and nothing says which cases they have learned from.
        UsageError: If the folder was started with other settings, from another store or by another number of
            processes.
    """
    sweep(out)
    settings, provenance = out / "config.toml", out / "provenance.json"
    data = data_digest(store)
    if settings.is_file():
        changed = differences(TrainConfig.read(settings), config)
        if changed:
            raise UsageError(
                f"found a run with other settings in {out} ({'; '.join(changed)}); expected the same to resume; "
                "choose another --out"
            )
        before = read_provenance(provenance)
        if not before and any((out / "checkpoints").glob("*.pt")):
            raise BadInput(
                f"{out}: no {provenance.name} beside checkpoints",
                "what says which cases they have learned from",
                "restore it from a copy, or choose another --out",
            )
        if before.get("data_sha256", data) != data:
            raise UsageError(
                f"found a run on other cases in {out}; expected those of {store.root}; choose another --out"
            )
        if before.get("processes", processes) != processes:  # the global batch, and the order of slices, would change
            raise UsageError(
                f"found a run of {before['processes']} processes in {out}; expected the {processes} of now; "
                "start as many as then, or choose another --out"
            )
    else:
        refuse_other_things(out, marker=settings.name, kind="run")
        write_text(settings, config.toml())
    if not provenance.is_file():
        write_json(
            provenance,
            {
                "software": _software(),
                "data_sha256": data,
                "cases": card.training["cases"],
                "processes": processes,
                "threads": torch.get_num_threads(),
                "started": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        )


def read_provenance(path: Path) -> dict[str, Any]:
    """What `provenance.json` says; nothing if there is none, as after a kill. Raises BadInput."""
    if not path.is_file():
        return {}
    try:
        said = json.loads(path.read_bytes())
        if isinstance(said, dict):
            return said
        reason = f"a {type(said).__name__}"
    except (ValueError, RecursionError) as error:
        reason = str(error)
    raise BadInput(f"{path}: {reason}", "the provenance train wrote", "restore a copy, or choose another --out")


def data_digest(store: Store) -> str:
    """sha256 over the names and array digests of all cases trained and validated on."""
    cases = [case.record for split in ("train", "val") for case in store.cases(split)]
    lines = [f"{c.split} {c.dataset} {c.case} {sorted(c.arrays.items())}" for c in cases]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class StopSignal:
    """While open, SIGTERM and SIGINT only set `requested`: the loop sees it in all processes, saves, then leaves."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignal":
        for name in (signal.SIGTERM, signal.SIGINT):
            self._before[name] = signal.signal(name, self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for name, handler in self._before.items():
            signal.signal(name, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True


def ignore_signals(worker: int = 0) -> None:
    """In a process that reads slices: Slurm and Ctrl-C signal it too, but the last step needs its batch."""
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)


def _typical(scales: list[Intensity]) -> Intensity:
    """The median scale, in the unit most cases use."""
    units = [s.units for s in scales]
    unit = max(sorted(set(units)), key=units.count)
    chosen = [s for s in scales if s.units == unit]
    return chosen[0].model_copy(update={"scale": median(s.scale for s in chosen)})


def _software() -> dict[str, str]:
    return {
        "pmmsynth": version("pmmsynth"),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def describe(store: Store, config: TrainConfig, *, processes: int = 1) -> str:
    """The resolved settings as TOML and the plan: batches per group and steps in all."""
    card = training_card(store, config)
    ids = {d.name: d.id for d in card.datasets}
    slices = SliceDataset(list(store.cases("train")), modalities=card.modalities, dataset_ids=ids)
    scheduler = ModalityConsistentBatchScheduler(
        slices.groups(), batch_size=config.batch_size, seed=config.seed, world_size=processes
    )
    lines = [config.toml()]
    for (number, available), count in sorted(Counter(slices.groups()).items()):
        has = "+".join(m for m, there in zip(card.modalities, available, strict=True) if there)
        lines.append(f"# {card.datasets[number].name} {has}: {count} slices")
    total = scheduler.steps * config.epochs
    batch = f"{config.batch_size * processes} slices"
    batch += f" ({config.batch_size} in each of {processes} processes)" if processes > 1 else ""
    lines.append(f"# {scheduler.steps} steps of {batch} per epoch, {total} steps in all")
    return "\n".join(lines)
