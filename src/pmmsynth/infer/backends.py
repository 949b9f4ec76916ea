"""What computes: PyTorch, or ONNX Runtime or OpenVINO on exported graphs; all are called as the generator is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from pmmsynth.errors import BadInput, UsageError
from pmmsynth.infer.export import DATASET, IMAGES, Graphs
from pmmsynth.machine import fast_bf16
from pmmsynth.modality import Task
from pmmsynth.nets import Generator
from pmmsynth.nets.head import head_box
from pmmsynth.tensors import Available, DatasetId, Images

Backend = Literal["torch", "onnxruntime", "openvino"]
Precision = Literal["auto", "bf16", "float32"]
Stack = NDArray[np.float32]
Run = Callable[[Stack, int], Stack]


@dataclass(frozen=True)
class TorchGenerator:
    """The network in PyTorch, with convolutions in bfloat16 or all in float32."""

    network: Generator
    bf16: bool

    @property
    def label(self) -> str:
        return f"torch {torch.__version__}, {'bfloat16' if self.bf16 else 'float32'}"

    def __call__(self, images: Images, sources: Available, dataset: DatasetId, targets: Available) -> Images:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bf16):
            return self.network(images, sources, dataset, targets)


@dataclass(frozen=True)
class GraphGenerator:
    """Exported graphs, each opened when first needed.

    Args:
        graphs: From an exported folder.
        start: Opens a graph file.
        label: Who computes and how.
    """

    graphs: Graphs
    start: Callable[[Path], Run]
    label: str
    _open: dict[Task, Run] = field(default_factory=dict)

    def __call__(self, images: Images, sources: Available, dataset: DatasetId, targets: Available) -> Images:
        """As the generator. Raises UsageError if a task was not exported, BadInput if its graph is none."""
        names = np.array(self.graphs.card.modalities)
        given = torch.where(sources[:, None, None], images, 0.0)
        box = head_box(given)
        part = np.ascontiguousarray(box.cut(given[:, sources]).numpy())
        outputs = torch.zeros_like(given)
        for i in targets.nonzero().flatten().tolist():
            made = self._run(Task(tuple(names[sources.numpy()]), str(names[i])))(part, int(dataset))
            outputs[:, i : i + 1] = box.paste(torch.from_numpy(made), given.shape[-2:])
        return outputs

    def _run(self, task: Task) -> Run:
        if task not in self._open:
            path = self.graphs.path(task)
            try:
                self._open[task] = self.start(path)
            except Exception as error:  # a file from elsewhere may make its reader raise anything
                reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
                raise BadInput(f"{path}: {reason}", "a graph that pmmsynth export wrote", "export it again") from error
        return self._open[task]


def in_bf16(precision: Precision, device: torch.device) -> bool:
    """Whether to compute in bfloat16; "auto": where the hardware does, rather than emulating it."""
    return fast_bf16(device.type) if precision == "auto" else precision == "bf16"


def graph_generator(folder: Path, backend: Backend, precision: Precision) -> GraphGenerator:
    """The graphs of an exported folder under ONNX Runtime or OpenVINO, with as many threads as PyTorch would use.

    Raises:
        BadInput: If the folder is damaged.
        UsageError: If the backend is not installed, or does not have the precision.
    """
    start, label = (_onnxruntime if backend == "onnxruntime" else _openvino)(precision)
    return GraphGenerator(Graphs.read(folder), start, label)


def _onnxruntime(precision: Precision) -> tuple[Callable[[Path], Run], str]:
    try:
        import onnxruntime
    except ImportError as error:
        raise _not_installed("onnxruntime") from error
    if precision == "bf16":
        raise UsageError("found --precision bf16 with onnxruntime; expected float32 there; use openvino for bf16")

    def start(path: Path) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda images, dataset: session.run(None, {IMAGES: images, DATASET: np.array(dataset)})[0]

    return start, f"onnxruntime {onnxruntime.__version__}, float32"


def _openvino(precision: Precision) -> tuple[Callable[[Path], Run], str]:
    try:
        import openvino
    except ImportError as error:
        raise _not_installed("openvino") from error
    core, kind = openvino.Core(), "bf16" if in_bf16(precision, torch.device("cpu")) else "f32"
    settings = {"INFERENCE_PRECISION_HINT": kind, "INFERENCE_NUM_THREADS": torch.get_num_threads()}

    def start(path: Path) -> Run:
        model = core.compile_model(path, "CPU", settings)
        return lambda images, dataset: model({IMAGES: images, DATASET: np.array(dataset)})[0]

    return start, f"openvino {openvino.__version__.split('-')[0]}, {'bfloat16' if kind == 'bf16' else 'float32'}"


def _not_installed(package: str) -> UsageError:
    return UsageError(f"found no package {package}; expected it for this backend; pip install 'pmmsynth[{package}]'")
