"""A model as ONNX graphs, one file per task: for ONNX Runtime, OpenVINO, and programs without PyTorch."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from pmmsynth.atomic import replacing_folder, sha256, write_json
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, PmmsynthError, UsageError
from pmmsynth.manifest import first_message
from pmmsynth.modality import Task
from pmmsynth.model import CARD, ModelCard, load_model, read_card
from pmmsynth.nets import PMMSynth

GRAPHS = "graphs.json"
IMAGES, DATASET, MADE = "images", "dataset", "made"
"""Names of the inputs and the output of every graph."""
TOLERANCE = 1e-4
"""How far ONNX Runtime may be from PyTorch, both in float32, before an export is refused."""


@dataclass(frozen=True)
class Graphs:
    """An exported folder: the model's card and, per task, a graph with its sha256."""

    folder: Path
    card: ModelCard
    digests: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> "Graphs":
        """Raises BadInput if the card or the list of graphs is missing or damaged."""
        card = read_card(folder)
        try:
            said = json.loads((folder / GRAPHS).read_bytes())
            digests = TypeAdapter(dict[str, str]).validate_python(said)
        except (OSError, ValueError, ValidationError, RecursionError) as error:
            reason = first_message(error) if isinstance(error, ValidationError) else str(error)
            remedy = "use a folder that pmmsynth export wrote"
            raise BadInput(f"{folder / GRAPHS}: {reason}", "a list of graphs", remedy) from error
        return cls(folder, card, digests)

    def path(self, task: Task) -> Path:
        """The graph of a task, unchanged since its export.

        Raises:
            UsageError: If the task was not exported.
            BadInput: If the file is not the one that was exported.
        """
        if str(task) not in self.digests:
            raise UsageError(
                f"found no graph of {task} in {self.folder}; expected one of {', '.join(self.digests)}; "
                f"export it with pmmsynth export --task '{task}'"
            )
        path = self.folder / file_name(task)
        if not path.is_file() or sha256(path) != self.digests[str(task)]:
            raise BadInput(f"{path}: not the file that was exported", "its sha256", "export it again")
        return path


def file_name(task: Task) -> str:
    """ "T1+T2_to_FLAIR.onnx"."""
    return f"{'+'.join(task.sources)}_to_{task.target}.onnx"


def export(model: Path, out: Path, tasks: Sequence[Task], reporter: Reporter) -> Path:
    """Write the card and one graph per task to a new folder.

    A graph maps `images` (slice, source, row, column), float32 in [0, 1], and `dataset`, the id in the card, to `made`
    (slice, 1, row, column); rows and columns are any multiples of 4. What follows the network (shrinkage, clipping,
    the brain mask) is not in it. Every graph is run once and compared with PyTorch.

    Raises:
        UsageError: If the folder is there already, a task is not one of the model, or the exporter is not installed.
        BadInput: If the model is damaged.
    """
    if out.exists():
        raise UsageError(f"found {out}; expected a new folder for the graphs; choose another --out")
    network, card = load_model(model)
    if not isinstance(network, PMMSynth):
        raise UsageError(f"found a model of {card.method}; expected PMM-Synth, which alone is exported; choose another")
    for task in tasks:
        card.mask((*task.sources, task.target))
    with replacing_folder(out) as folder, reporter.progress("export", len(tasks)) as advance:
        digests = {}
        for task in dict.fromkeys(tasks):
            path = folder / file_name(task)
            _write(path, _OneTask(network, card, task), card, task)
            digests[str(task)] = sha256(path)
            advance(str(task))
        write_json(folder / GRAPHS, digests)
        write_json(folder / CARD, card.model_dump(mode="json"))
    return out


class _OneTask(nn.Module):
    """The streams of one task, from the sources alone."""

    def __init__(self, network: PMMSynth, card: ModelCard, task: Task) -> None:
        super().__init__()
        self.network = network
        self.sources = [card.modalities.index(m) for m in task.sources]
        self.target = card.modalities.index(task.target)
        self.channels = len(card.modalities)

    def forward(self, images: Tensor, dataset: Tensor) -> Tensor:
        empty = torch.zeros_like(images[:, :1])
        places = {channel: i for i, channel in enumerate(self.sources)}
        parts = [images[:, places[c] : places[c] + 1] if c in places else empty for c in range(self.channels)]
        outputs = self.network.synthesize(torch.cat(parts, 1), self.sources, dataset, [self.target])
        return outputs[:, self.target : self.target + 1]


def _write(path: Path, network: _OneTask, card: ModelCard, task: Task) -> None:
    dim = torch.export.Dim
    shape = {0: dim("slices", min=1), 2: 4 * dim("rows", min=4), 3: 4 * dim("columns", min=4)}
    example = torch.rand(2, len(task.sources), 32, 48), torch.tensor(card.datasets[0].id)
    try:
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            network.eval(),
            example,
            input_names=[IMAGES, DATASET],
            output_names=[MADE],
            dynamic_shapes=(shape, None),
            dynamo=True,
            verbose=False,
        )
    except ImportError as error:
        raise UsageError(f"found {error}; expected the exporter; pip install 'pmmsynth[onnxruntime]'") from error
    assert program is not None
    said = {"task": str(task), "made_by": f"pmmsynth {version('pmmsynth')}", "digest": card.digest}
    program.model.metadata_props.update({**said, "note": f"makes synthetic images; {card.intended_use}"})
    program.save(path, external_data=False)
    _compare(path, network, len(task.sources), card)


def _compare(path: Path, network: _OneTask, sources: int, card: ModelCard) -> None:
    """Run a graph and the network on slices of another shape and dataset."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    images, dataset = torch.rand(3, sources, 48, 16), torch.tensor(card.datasets[-1].id)
    with torch.inference_mode():
        expected = network(images, dataset).numpy()
    found = session.run(None, {IMAGES: images.numpy(), DATASET: dataset.numpy()})[0]
    if not np.allclose(found, expected, rtol=0, atol=TOLERANCE):
        worst = float(np.abs(found - expected).max())
        raise PmmsynthError(
            f"found {path.name} {worst:.1e} away from PyTorch; expected {TOLERANCE:.0e}; report it with your versions"
        )
