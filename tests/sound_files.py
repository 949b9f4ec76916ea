"""A sound file of everything we read with what reads it, and how a load of an unsound one must end.

Loads happen with little memory to spare, so that believing a size in a header shows.
"""

import io
import json
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from model_phantoms import brain, make_model, save
from phantoms import make_store
from pmmsynth.atomic import sha256
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, PmmsynthError, UsageError
from pmmsynth.evaluate.score import read_scores
from pmmsynth.infer.backends import Backend, graph_generator
from pmmsynth.infer.export import GRAPHS, file_name
from pmmsynth.intake import CohortFile
from pmmsynth.manifest import Manifest
from pmmsynth.modality import Task
from pmmsynth.model import CARD, WEIGHTS, load_model
from pmmsynth.nets import Discriminators, PMMSynth
from pmmsynth.simulate import simulate
from pmmsynth.store import IMAGES, MASKS, RECORD, Store
from pmmsynth.train import TrainConfig, tiny, train
from pmmsynth.train.checkpoint import LAST, PREVIOUS, Progress, TrainState
from pmmsynth.volume import read_volume

QUIET = Reporter(quiet=True)
SPARE = 2**29
"""Bytes a load may take, besides those in use before."""

Loader = Callable[[Path], tuple[Path, Callable[[], Any]]]
"""Makes the file in a folder; returns its place and what reads it."""


@contextmanager
def little_memory() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def refused(path: Path, load: Callable[[], Any]) -> str:
    """The one line a load is refused with."""
    began = time.process_time()
    with pytest.raises(PmmsynthError) as error, little_memory():
        load()
    assert time.process_time() - began < 5
    assert isinstance(error.value, BadInput | UsageError), error.value
    said = str(error.value)
    assert path.name in said or path.parent.name in said
    assert len(said.splitlines()) == 1
    assert "expected" in said
    return said


def weights(folder: Path) -> tuple[Path, Callable[[], Any]]:
    """With a card that vouches for whatever they are."""
    model = make_model(folder / "model")

    def load() -> Any:
        card = json.loads((model / CARD).read_text())
        (model / CARD).write_text(json.dumps(card | {"weights_sha256": sha256(model / WEIGHTS)}))
        return load_model(model)

    return model / WEIGHTS, load


def card(folder: Path) -> tuple[Path, Callable[[], Any]]:
    model = make_model(folder / "model")
    return model / CARD, lambda: load_model(model)


def state() -> TrainState:
    generator = PMMSynth(modalities=2, width=4, residual_blocks=1, embedding=8)
    discriminators = Discriminators(modalities=2, width=4)
    optimizers = [torch.optim.Adam(m.parameters()) for m in (generator, discriminators)]
    for parameter in (*generator.parameters(), *discriminators.parameters()):
        parameter.grad = torch.ones_like(parameter)
    for optimizer in optimizers:
        optimizer.step()
    return TrainState(generator, discriminators, optimizers[0], optimizers[1], Progress(epoch=1, step=2, best=3.0))


def checkpoint(folder: Path, name: str = LAST) -> tuple[Path, Callable[[], Any]]:
    state().save(folder / "checkpoints" / name)
    empty = state()
    return folder / "checkpoints" / name, lambda: empty.resume(folder / "checkpoints", QUIET)


def store_of(folder: Path) -> Store:
    return make_store(folder / "store", {"A": [("train", ["T1", "T2"])]})


def prepared(name: str) -> Loader:
    def make(folder: Path) -> tuple[Path, Callable[[], Any]]:
        store = store_of(folder)
        return store.root / "A" / "case00" / name, lambda: [
            (case.slices(case.scored_slices()), case.brain(), case.lesion()) for case in store.cases()
        ]

    return make


def store_record(folder: Path) -> tuple[Path, Callable[[], Any]]:
    store = store_of(folder)
    return store.root / "store.json", lambda: list(store.cases())


def manifest(name: str) -> Loader:
    def make(folder: Path) -> tuple[Path, Callable[[], Any]]:
        store = store_of(folder)
        return store.root / name, lambda: Manifest.read(store.root / "manifest.jsonl")

    return make


def cohorts(folder: Path) -> tuple[Path, Callable[[], Any]]:
    path = folder / "cohorts.toml"
    path.write_text('[[dataset]]\nname = "A"\nroot = "a"\nlayout = "brats"\n')
    return path, lambda: CohortFile.read(path)


def config(folder: Path) -> tuple[Path, Callable[[], Any]]:
    path = folder / "config.toml"
    path.write_text(tiny().toml())
    return path, lambda: TrainConfig.read(path)


def run(name: str) -> Loader:
    def make(folder: Path) -> tuple[Path, Callable[[], Any]]:
        store, out = store_of(folder), folder / "run"
        out.mkdir()
        (out / "config.toml").write_text(tiny().resolved().toml())
        (out / "provenance.json").write_text("{}")
        return out / name, lambda: train(store, out, tiny(), reporter=QUIET)

    return make


def volume(name: str) -> Loader:
    def make(folder: Path) -> tuple[Path, Callable[[], Any]]:
        path = save(folder / name, brain())
        return path, lambda: read_volume(path)

    return make


def graph(name: str, backend: Backend) -> Loader:
    """An exported folder whose list vouches for whatever its graph is. There is no sound graph: exporting is slow."""

    def make(folder: Path) -> tuple[Path, Callable[[], Any]]:
        pytest.importorskip(backend)
        out = make_model(folder / "graphs")
        task = Task.parse("T1->T2")
        graph = out / file_name(task)
        graph.write_bytes(b"")
        (out / GRAPHS).write_text(json.dumps({str(task): sha256(graph)}))

        def load() -> Any:
            if name != GRAPHS:
                (out / GRAPHS).write_text(json.dumps({str(task): sha256(graph)}))
            generator = graph_generator(out, backend, "float32")
            sources, targets = generator.graphs.card.mask(task.sources), generator.graphs.card.mask((task.target,))
            return generator(torch.rand(1, len(sources), 16, 16), sources, torch.tensor(0), targets)

        return out / name, load

    return make


def simulation(folder: Path) -> tuple[Path, Callable[[], Any]]:
    path = folder / "simulation.json"
    path.write_text('{"seed": 0}')
    return path, lambda: simulate(folder, cases=1, seed=0, jobs=1, overwrite=False, reporter=QUIET)


def scores(folder: Path) -> tuple[Path, Callable[[], Any]]:
    return folder / "scores.jsonl", lambda: read_scores(folder / "scores.jsonl")


LOADERS: dict[str, Loader] = {
    WEIGHTS: weights,
    CARD: card,
    LAST: checkpoint,
    PREVIOUS: lambda folder: checkpoint(folder, PREVIOUS),
    IMAGES: prepared(IMAGES),
    MASKS: prepared(MASKS),
    RECORD: prepared(RECORD),
    "store.json": store_record,
    "manifest.jsonl": manifest("manifest.jsonl"),
    "datasets.json": manifest("datasets.json"),
    "cohorts.toml": cohorts,
    "config.toml": config,
    "config.toml of a run": run("config.toml"),
    "provenance.json": run("provenance.json"),
    "t1.nii": volume("t1.nii"),
    "t1.nii.gz": volume("t1.nii.gz"),
    "graphs.json": graph(GRAPHS, "onnxruntime"),
    "graph of onnxruntime": graph("T1_to_T2.onnx", "onnxruntime"),
    "graph of openvino": graph("T1_to_T2.onnx", "openvino"),
    "simulation.json": simulation,
    "scores.jsonl": scores,
}


NOT_SOUND = {
    *("config.toml of a run", "provenance.json", "graphs.json", "graph of onnxruntime", "graph of openvino"),
    *("simulation.json", "scores.jsonl"),
}
"""Those whose file is only a place to put poison."""


def torch_file(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def numpy_file(write: Callable[..., None], value: Any) -> bytes:
    buffer = io.BytesIO()
    write(buffer, value)
    return buffer.getvalue()
