"""A model by its place: small, loaded once, and never another one than was found."""

import pickle

import pytest

from model_phantoms import make_model
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.infer import SavedModel, Synthesizer
from pmmsynth.model import read_card
from pmmsynth.nets import PMMSynthArchitecture


@pytest.fixture
def folder(tmp_path):
    return make_model(tmp_path / "run" / "model")


def test_it_is_loaded_once_and_is_the_same_after_a_journey(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved = SavedModel.find("run", "cpu")
    assert saved == SavedModel(tmp_path / "run", "cpu", Synthesizer.load(folder, "cpu").card.digest)
    sent = pickle.dumps(saved)
    assert len(sent) < 1000
    arrived = pickle.loads(sent)
    assert arrived.load() is saved.load()
    assert arrived.load().card == read_card(folder)


def test_another_model_in_its_place_is_not_used(folder):
    before = SavedModel.find(folder, "cpu")
    make_model(folder, architecture=PMMSynthArchitecture(width=8, residual_blocks=1, embedding=8))
    with pytest.raises(BadInput, match=r"found another model in .* than before; expected it to stay; run the command"):
        before.load()
    after = SavedModel.find(folder, "cpu")
    assert after.load().card.architecture.width == 8
    make_model(folder)
    assert SavedModel.find(folder, "cpu") == before
    assert before.load().card.digest == before.digest


def test_no_model_and_no_such_device(folder, tmp_path):
    with pytest.raises(BadInput, match=r"no model\.json in .*; expected a model folder"):
        SavedModel.find(tmp_path, "cpu")
    with pytest.raises(UsageError, match="found device 'abacus', not usable here"):
        SavedModel.find(folder, "abacus").load()


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("device", ["cuda", "abacus"])
def test_graphs_run_on_no_device_that_is_pytorchs(folder, backend, device):
    with pytest.raises(UsageError, match=f"found device '{device}' with {backend}; expected auto or cpu there"):
        SavedModel.find(folder, device, backend=backend).load()
