"""Exported graphs make what the network makes, under two runtimes; changed ones are refused."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from model_phantoms import brain, make_model, save
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.infer import Synthesizer, export
from pmmsynth.modality import Task
from pmmsynth.model import Shrinkage
from pmmsynth.predict import predict

TASK = Task.parse("T1+T2->FLAIR")
QUIET = Reporter(quiet=True)
DEPLOY = Path(__file__).parents[2] / "docs" / "how-to" / "deploy.md"
pytestmark = pytest.mark.slow


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model with its export, made in a process of its own: the shape checks of the tests cannot be exported."""
    root = tmp_path_factory.mktemp("export")
    kept = Shrinkage(weight=0.7, regression={"A": (0.1, 0.3, 0.2), "B": (0.2, 0.1, 0.0)})
    model, out = make_model(root / "model", shrinkage={str(TASK): kept}), root / "graphs"
    done = run("-m", "pmmsynth", "export", model, "--out", out, "--task", TASK, "--quiet")
    assert done.returncode == 0, done.stderr
    return model, out


@pytest.fixture
def slices() -> torch.Tensor:
    images = torch.zeros(3, 5, 48, 48)
    images[:, :, 5:40, 9:44] = torch.rand(3, 5, 35, 35)
    return images


@pytest.mark.parametrize(
    ("backend", "precision", "worst", "typical"),
    [("onnxruntime", "auto", 1e-4, 1e-5), ("openvino", "float32", 1e-4, 1e-5), ("openvino", "bf16", 0.2, 0.01)],
)
def test_a_backend_makes_what_the_network_makes(folders, slices, backend, precision, worst, typical):
    model, graphs = folders
    exact = Synthesizer.load(model, "cpu", precision="float32")
    made = Synthesizer.load(graphs, "cpu", backend=backend, precision=precision)
    card, target = exact.card, exact.card.modalities.index("FLAIR")
    inside = slices[:, 0] > 0
    for dataset in (0, 1):
        asked = (slices, card.mask(TASK.sources), torch.tensor(dataset), card.mask((TASK.target,)))
        with torch.inference_mode():
            expected, got = exact.generator(*asked), made.generator(*asked)
        assert expected[:, target][inside].std() > 0.05
        off = (got - expected)[:, target][inside].abs()
        assert off.max() <= worst
        assert off.mean() <= typical
        assert not got[:, [c for c in range(5) if c != target]].any()


def test_a_volume_through_the_command_line(folders, tmp_path):
    _, graphs = folders
    given = [f"--input={m}={save(tmp_path / f'{m}.nii.gz', brain(m.upper()))}" for m in ("t1", "t2")]
    command = ["-m", "pmmsynth", "synthesize", graphs, *given, "--dataset", "A", "--backend", "onnxruntime"]
    done = run(*command, "--targets", "flair", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    (said,) = (json.loads(p.read_text()) for p in (tmp_path / "out").rglob("*FLAIR.json"))
    assert said["Backend"].startswith("onnxruntime ")
    done = run(*command, "--targets", "t1c", "--out", tmp_path / "out")
    assert done.returncode == 4
    assert "found no graph of T1+T2->T1C" in done.stderr


def test_what_was_not_exported_or_has_changed_is_refused(folders, tmp_path):
    model, graphs = folders
    with pytest.raises(UsageError, match="expected a new folder"):
        export(model, graphs, [Task.parse("T1->T2")], QUIET)
    with pytest.raises(UsageError, match="found modality PD"):
        export(model, tmp_path / "new", [Task.parse("PD->T2")], QUIET)
    with pytest.raises(BadInput, match=r"graphs\.json"):
        Synthesizer.load(model, "cpu", backend="onnxruntime")
    with pytest.raises(UsageError, match="expected float32 there"):
        Synthesizer.load(graphs, "cpu", backend="onnxruntime", precision="bf16")
    changed = tmp_path / "changed"
    changed.mkdir()
    for file in graphs.iterdir():
        (changed / file.name).write_bytes(file.read_bytes() + b" " * (file.suffix == ".onnx"))
    volumes = {m: save(tmp_path / f"{m}.nii.gz", brain(m.upper())) for m in ("t1", "t2")}
    with pytest.raises(BadInput, match="not the file that was exported"):
        Synthesizer.load(changed, "cpu", backend="openvino").synthesize(**volumes, dataset="A", targets="flair")


def test_a_graph_runs_where_pytorch_is_not(folders, slices, tmp_path):
    """The program in the documentation, word for word but for the names, with PyTorch out of reach."""
    model, graphs = folders
    (program,) = re.findall(r"^```python\n(.*?)^```$", DEPLOY.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    program = program.replace('"graphs/', f'"{graphs}/').replace('"BraTS"', '"B"')
    np.save(tmp_path / "images.npy", slices[:, :2].numpy())
    before = f'import sys\nsys.modules["torch"] = None\nimport numpy\nimages = numpy.load("{tmp_path}/images.npy")\n'
    done = run("-c", f'{before}{program}\nnumpy.save("{tmp_path}/made.npy", made)')
    assert done.returncode == 0, done.stderr
    exact = Synthesizer.load(model, "cpu", precision="float32")
    asked = {"sources": TASK.sources, "dataset": "B", "targets": (TASK.target,)}
    expected = predict(exact.generator, exact.card, slices, **asked)[:, exact.card.modalities.index("FLAIR")]
    expected = expected.numpy() * (slices[:, :2].numpy() > 0).any(1)
    assert expected.std() > 0.05
    np.testing.assert_allclose(np.load(tmp_path / "made.npy"), expected, rtol=0, atol=1e-4)
