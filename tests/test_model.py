"""The model folder: what was saved comes back; what is damaged is refused in one line and nothing in it runs."""

import json

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from model_phantoms import MODALITIES, make_card, make_model
from pmmsynth.atomic import sha256
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.modality import Task
from pmmsynth.model import CARD, INTENDED_USE, WEIGHTS, Shrinkage, load_model, save_model
from pmmsynth.nets import PMMSynthArchitecture
from pmmsynth.predict import predict
from pmmsynth.store import Intensity


@pytest.fixture
def folder(tmp_path):
    return make_model(tmp_path / "model")


def seal(folder):
    """Make the card vouch for whatever the weights file holds now."""
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | {"weights_sha256": sha256(folder / WEIGHTS)}))


def edit(folder, **fields):
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | fields))


def outputs(generator, card, dataset="B"):
    images = torch.rand((3, len(MODALITIES), 16, 16), generator=torch.Generator().manual_seed(1))
    return predict(generator, card, images, sources=("T1", "ADC"), dataset=dataset, targets=("T2", "FLAIR"))


def test_what_was_saved_comes_back(tmp_path):
    card = make_card()
    generator = card.build().eval()
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.normal_(0, 0.2)
    save_model(tmp_path / "model", generator, card)
    before = torch.get_rng_state()
    loaded, read = load_model(tmp_path / "model")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(outputs(loaded, card), outputs(generator, card))
    assert outputs(loaded, card)[:, 1].std() > 0
    assert not torch.equal(outputs(loaded, card, "A"), outputs(loaded, card, "B"))
    assert read == card.model_copy(update={"weights_sha256": sha256(tmp_path / "model" / WEIGHTS)})
    assert read.intended_use == INTENDED_USE
    assert not loaded.training
    assert all(p.requires_grad and p.dtype == torch.float32 for p in loaded.parameters())
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [CARD, WEIGHTS]


def test_saving_again_replaces_the_older_model(folder):
    card = make_card(training={"seed": 1})
    save_model(folder, card.build(), card)
    assert load_model(folder)[1].training == {"seed": 1}
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


def test_a_run_folder_leads_to_its_model(folder):
    (folder.parent / "config.toml").write_text("")
    assert load_model(folder.parent)[1] == load_model(folder)[1]


def test_no_folder_and_a_file_are_no_model(tmp_path):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "nothing", tmp_path / "file", tmp_path):
        with pytest.raises(BadInput, match=rf"no {CARD} in .*; expected a model folder; use a folder that"):
            load_model(place)


def flipped(folder):
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-5] ^= 1
    (folder / WEIGHTS).write_bytes(data)


def other_shapes(folder):
    card = make_card(architecture=PMMSynthArchitecture(width=8, residual_blocks=1, embedding=8))
    save_file({k: v.contiguous() for k, v in card.build().state_dict().items()}, folder / WEIGHTS)


def truncated(folder):
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])


def changed(change):
    def spoil(folder):
        weights = load_file(folder / WEIGHTS)
        change(weights)
        save_file(weights, folder / WEIGHTS)

    return spoil


def first(weights):
    return sorted(weights)[0]


SPOILT_WEIGHTS = {
    "shapes": (other_shapes, r"common\.\S+ is float32 \(32, 32, 3, 3\), not float32 \(16, 16, 3, 3\)"),
    "truncated": (truncated, "SafetensorError"),
    "empty": (lambda f: (f / WEIGHTS).write_bytes(b""), "SafetensorError"),
    "one tensor gone": (changed(lambda w: w.pop(first(w))), "no tensor common"),
    "one tensor more": (changed(lambda w: w.update(extra=torch.ones(1))), "unknown tensor extra"),
    "half precision": (changed(lambda w: w.update({first(w): w[first(w)].half()})), "is float16 .*, not float32"),
    "not a number": (changed(lambda w: w[first(w)].view(-1)[:1].fill_(float("nan"))), "not finite"),
}


@pytest.mark.parametrize("kind", SPOILT_WEIGHTS)
def test_spoilt_weights_are_refused_though_the_digest_is_right(folder, kind):
    spoil, found = SPOILT_WEIGHTS[kind]
    spoil(folder)
    seal(folder)
    refused(folder, found, WEIGHTS)


def refused(folder, found, name):
    with pytest.raises(BadInput, match=found) as error:
        load_model(folder)
    text = str(error.value)
    assert name in text
    assert "\n" not in text
    assert "expected" in text


def test_a_flipped_byte_is_noticed(folder):
    flipped(folder)
    refused(folder, f"not the bytes {CARD} was written for", WEIGHTS)


@pytest.mark.parametrize("name", [CARD, WEIGHTS])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    refused(folder, f"no {name} in", name)


def two_names(folder):
    edit(folder, datasets=[json.loads((folder / CARD).read_text())["datasets"][0]] * 2)


SPOILT_CARDS = {
    "unknown key": (lambda f: edit(f, pickle="model.pkl"), "pickle: Extra inputs"),
    "other format": (lambda f: edit(f, format=2), "format: Input should be 1"),
    "other method": (lambda f: edit(f, method="GAN"), "method 'GAN' is none of MM-GAN, "),
    "not json": (lambda f: (f / CARD).write_text("{"), "Invalid JSON"),
    "not text": (lambda f: (f / CARD).write_bytes(b"\xff\xfe\x00"), CARD),
    "a list": (lambda f: (f / CARD).write_text("[]"), CARD),
    "no datasets": (lambda f: edit(f, datasets=[]), "names no dataset"),
    "a dataset twice": (two_names, "names no dataset, or one twice: A, A"),
    "a modality twice": (lambda f: edit(f, modalities=["T1", "T1"]), "modality, or one twice"),
    "modality nobody had": (lambda f: edit(f, modalities=[*MODALITIES, "SWI"]), "SWI are not those"),
    "giant": (lambda f: edit(f, architecture={"width": 10**9}), "architecture: width"),
    "endless": (lambda f: edit(f, architecture={"residual_blocks": 10**9}), "architecture: residual_blocks"),
    "negative": (lambda f: edit(f, architecture={"width": -4}), "architecture: width"),
    "odd matrix": (lambda f: edit(f, matrix=50), "matrix"),
    "no pixels": (lambda f: edit(f, inplane_mm=0), "inplane_mm"),
}


@pytest.mark.parametrize("kind", SPOILT_CARDS)
def test_a_spoilt_card_is_refused(folder, kind):
    spoil, found = SPOILT_CARDS[kind]
    spoil(folder)
    refused(folder, found, CARD)


@pytest.mark.parametrize("scale", [0, -1, float("inf"), float("nan")])
def test_a_scale_is_a_positive_number(scale):
    with pytest.raises(ValidationError):
        Intensity(kind="mean", scale=scale)


def test_the_card_knows_its_names():
    card = make_card()
    assert card.dataset("B").id == 1
    assert card.mask(("ADC", "T1")).tolist() == [True, False, False, False, True]
    with pytest.raises(UsageError, match=r"found dataset 'C'; expected one the model was trained on: A, B; choose"):
        card.dataset("C")
    with pytest.raises(UsageError, match=r"found modality SWI; expected .* T1, T2, T1C, FLAIR, ADC; leave it out"):
        card.mask(("T1", "SWI"))


def test_predict_reads_only_sources_and_is_the_same_in_any_portions(folder):
    generator, card = load_model(folder)
    images = torch.rand((5, len(MODALITIES), 16, 16), generator=torch.Generator().manual_seed(1))
    asked = {"sources": ("T1",), "dataset": "A", "targets": ("FLAIR",)}
    got = predict(generator, card, images, **asked)
    assert got[:, 3].std() > 0.01
    assert not got[:, [0, 1, 2, 4]].any()
    assert 0 <= got.min() <= got.max() <= 1
    blinded = torch.where(card.mask(("T1",))[:, None, None], images, torch.nan)
    assert torch.equal(predict(generator, card, blinded, **asked), got)
    torch.testing.assert_close(predict(generator, card, images, **asked, slices_at_once=2), got, rtol=0, atol=5e-6)


KEPT = Shrinkage(weight=0.25, regression={"A": (0.5, -1.0, 0.0), "B": (0.125, 0.25, 0.5)})


def test_shrinkage_by_hand(folder):
    """y = r + weight (network - r), r = 0.125 + 0.25 T1 + 0.5 ADC in dataset B; other tasks are as they were."""
    generator, card = load_model(folder)
    shrunk = outputs(generator, card.model_copy(update={"shrinkage": {"T1+ADC->FLAIR": KEPT}}))
    alone = outputs(generator, card)
    images = torch.rand((3, len(MODALITIES), 16, 16), generator=torch.Generator().manual_seed(1))
    line = 0.125 + 0.25 * images[:, 0] + 0.5 * images[:, 4]
    unclipped = (alone[:, 3] > 0) & (alone[:, 3] < 1)
    assert unclipped.float().mean() > 0.5
    torch.testing.assert_close(shrunk[:, 3][unclipped], (line + 0.25 * (alone[:, 3] - line))[unclipped])
    assert torch.equal(shrunk[:, 1], alone[:, 1])


def test_shrinkage_is_part_of_the_digest_and_comes_back(folder):
    generator, card = load_model(folder)
    shrunk = card.model_copy(update={"shrinkage": {"T1+ADC->FLAIR": KEPT}})
    assert card.digest == card.model_copy(update={"shrinkage": {}}).digest == card.weights_sha256
    assert shrunk.digest != card.digest
    save_model(folder, generator, shrunk)
    assert load_model(folder)[1].shrinkage == shrunk.shrinkage
    assert shrunk.network_weight(Task(("T1", "ADC"), "FLAIR")) == 0.25
    assert shrunk.network_weight(Task(("T1",), "FLAIR")) == 1.0


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ({"weight": 1.5, "regression": {}}, "less than 1"),
        ({"weight": 0.5, "regression": {"A": [0.0, 1.0], "B": [0.0, 1.0, 1.0]}}, "coefficients, not"),
        ({"weight": 0.5, "regression": {"A": [0.0, 1.0, 1.0]}}, "coefficients, not"),
        ({"weight": 0.5, "regression": {"A": [0.0, 1.0, float("nan")], "B": [0.0, 1.0, 1.0]}}, "finite"),
    ],
)
def test_a_shrinkage_that_does_not_fit_is_refused(folder, kept, said):
    """So is one with numbers that are none, or of a task that is none of the model's."""
    edit(folder, shrinkage={"T1+ADC->FLAIR": kept})
    with pytest.raises(BadInput, match=said):
        load_model(folder)


@pytest.mark.parametrize("text", ["T1", "FLAIR->FLAIR", "ADC+T1->FLAIR", "T1+SWI->FLAIR", "t1+adc->flair"])
def test_a_shrinkage_of_no_task_of_the_model_is_refused(folder, text):
    edit(folder, shrinkage={text: KEPT.model_dump(mode="json")})
    with pytest.raises(BadInput, match=r"model\.json"):
        load_model(folder)
