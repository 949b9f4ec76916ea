"""Volumes in, volumes out: on the native grid whatever its axes, in the dataset's range, no target from itself."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch

from model_phantoms import CENTRE, MODALITIES, SHAPE, SPACING, affine_for, brain, make_model, save, stored_as
from pmmsynth.case import Scans
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.infer import Synthesizer
from pmmsynth.prepare import align as aligning
from pmmsynth.prepare.register import Registration
from pmmsynth.store import Intensity
from pmmsynth.volume import Volume, read_volume, write_volume


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Synthesizer:
    return Synthesizer.load(make_model(tmp_path_factory.mktemp("synthesizer") / "model"), "cpu", precision="float32")


THIN = (1.0, 1.0, 1.0)
GRIDS = {  # codes, shape, spacing, degrees
    "RAS thick": ("RAS", SHAPE, SPACING, (0, 0, 0)),
    "LPS thick": ("LPS", SHAPE, SPACING, (0, 0, 0)),
    "LPS thin": ("LPS", (38, 44, 36), THIN, (0, 0, 0)),
    "flipped": ("RPI", SHAPE, SPACING, (0, 0, 0)),
    "sagittal storage": ("ASR", (46, 10, 40), (1.0, 4.0, 1.0), (0, 0, 0)),
    "sagittal slices": ("PIR", (46, 40, 10), (1.0, 1.0, 4.0), (0, 0, 0)),
    "oblique": ("LPS", (44, 50, 12), SPACING, (11, -7, 5)),
    "oblique storage": ("ASL", (50, 14, 44), (1.0, 4.0, 1.0), (6, 4, -9)),
    "other pixels": ("RAS", (36, 40, 12), (1.3, 1.25, 3.5), (3, 0, 0)),
}


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("codes", [(1, 1), (0, 1), (1, 0), (2, 1)], ids=str)
def test_the_grid_is_that_of_the_reference(model, tmp_path, kind, codes):
    orientation, shape, spacing, degrees = GRIDS[kind]
    affine = affine_for(orientation, spacing, shape, degrees)
    data = brain("T1", shape, affine)
    path = save(tmp_path / "t1.nii.gz", data, affine, codes)
    made = model.synthesize(t1=path, dataset="A", targets="flair")["FLAIR"]
    write_volume(tmp_path / "flair.nii.gz", made.volume.data, made.volume, "x")
    given, got = nib.load(path), nib.load(tmp_path / "flair.nii.gz")
    assert got.shape == given.shape
    np.testing.assert_allclose(got.affine, given.affine, rtol=0, atol=1e-5)
    for form in ("get_qform", "get_sform"):
        np.testing.assert_allclose(getattr(got, form)(), getattr(given, form)(), rtol=0, atol=1e-5)
        assert getattr(got, form)(coded=True)[1] == getattr(given, form)(coded=True)[1]
    assert (int(got.header["qform_code"]), int(got.header["sform_code"])) == codes
    values = got.get_fdata()
    assert got.get_data_dtype() == np.float32
    assert not values[data == 0].any()
    inside = values[data > 0]
    assert (inside > 0).mean() > 0.9
    assert inside.std() > 10
    assert 0 <= values.min() <= values.max() <= 700
    coincide = np.allclose([s for c, s in zip(orientation, spacing, strict=True) if c not in "SI"], 1)
    assert made.resampled == (not coincide)


STORAGES = ["LPS", "RPI", "LAS", "ASR", "PIR", "SRA", "IPL"]


@pytest.mark.parametrize("moved", [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("codes", STORAGES)
def test_the_same_anatomy_stored_otherwise_gives_the_same_values(model, codes, moved):
    """`moved` shifts the brain by half a voxel, so that its middle falls on a voxel or between two."""
    affine = affine_for()
    t1, t2 = (brain(m, affine=affine, centre=CENTRE + np.array(moved) / 2) for m in ("T1", "T2"))
    expected = synthesized(model, {"T1": (t1, affine), "T2": (t2, affine)})
    everything = synthesized(model, {m: stored_as(d, affine, codes) for m, d in (("T1", t1), ("T2", t2))})
    one = synthesized(model, {"T1": (t1, affine), "T2": stored_as(t2, affine, codes)})
    back, there = stored_as(everything.data, everything.affine, "RAS")
    np.testing.assert_allclose(there, affine, atol=1e-9)
    np.testing.assert_array_equal(back, expected.data)
    np.testing.assert_array_equal(one.data, expected.data)
    assert expected.data.std() > 10


def synthesized(model, images, target="FLAIR", dataset="A") -> Volume:
    volumes = {m: Volume(np.asarray(data, np.float32), affine) for m, (data, affine) in images.items()}
    return model.synthesize_volumes(volumes, dataset, (target,))[target].volume


def test_a_brain_elsewhere_in_its_volume_gives_the_same_values(model):
    affine = affine_for()
    data = brain(affine=affine)
    wider = np.zeros((SHAPE[0] + 20, SHAPE[1] + 9, SHAPE[2]), np.int16)
    wider[13 : 13 + SHAPE[0], 2 : 2 + SHAPE[1]] = data
    moved = affine.copy()
    moved[:3, 3] -= affine[:3, :3] @ [13, 2, 0]
    expected = synthesized(model, {"T1": (data, affine)}).data
    got = synthesized(model, {"T1": (wider, moved)}).data
    np.testing.assert_array_equal(got[13 : 13 + SHAPE[0], 2 : 2 + SHAPE[1]], expected)
    assert np.count_nonzero(got) == np.count_nonzero(expected)


def test_the_gain_of_a_scan_changes_nothing(model):
    affine, data = affine_for(), brain()
    np.testing.assert_allclose(
        synthesized(model, {"T1": (data * 4.0, affine)}).data,
        synthesized(model, {"T1": (data, affine)}).data,
        rtol=1e-4,
    )


@pytest.fixture
def files(tmp_path):
    return {m.lower(): save(tmp_path / f"{m.lower()}.nii.gz", brain(m)) for m in ("T1", "T2", "FLAIR")}


def unit(model, files, target, dataset):
    """What the network makes, before any scale: the same model with every scale at 1."""
    ones = [
        d.model_copy(update={"intensity": {m: i.model_copy(update={"scale": 1.0}) for m, i in d.intensity.items()}})
        for d in model.card.datasets
    ]
    plain = Synthesizer(model.generator, model.card.model_copy(update={"datasets": tuple(ones)}), model.device)
    return plain.synthesize(**files, dataset=dataset, targets=[target])[target].volume.data


@pytest.mark.parametrize(
    ("dataset", "target", "scale", "origin", "units"),
    [
        ("A", "T1C", 900, "A", "arbitrary"),
        ("B", "FLAIR", 60, "B", "arbitrary"),
        ("B", "ADC", 3000, "B", "1e-6 mm2/s"),
        ("A", "ADC", 3000, "all datasets", "1e-6 mm2/s"),
        ("B", "T1C", 900, "all datasets", "arbitrary"),
        ("B", "T2", 1200, "all datasets", "arbitrary"),
    ],
)
def test_values_are_unit_times_the_scale_of_the_dataset(model, files, dataset, target, scale, origin, units):
    del files["flair"]
    made = model.synthesize(**files, dataset=dataset, targets=[target])[target]
    assert (made.intensity.scale, made.intensity_from, made.intensity.units) == (scale, origin, units)
    expected = unit(model, files, target, dataset)
    assert 0 < expected.max() <= 1
    np.testing.assert_allclose(made.volume.data, expected * scale, rtol=1e-6)


def test_a_target_nobody_here_had_takes_the_median_of_one_unit(model):
    def table(number, name, units, scale):
        adc = {"ADC": Intensity(kind="physical", scale=scale, units=units)} if units else {}
        return model.card.datasets[0].model_copy(update={"id": number, "name": name, "intensity": adc})

    rows = [("a", "mm2/s", 0.003), ("b", "1e-6 mm2/s", 3000.0), ("c", "mm2/s", 0.005), ("d", None, 0)]
    card = model.card.model_copy(update={"datasets": tuple(table(i, *row) for i, row in enumerate(rows))})
    chosen, origin = Synthesizer(model.generator, card, model.device)._intensity("d", "ADC")
    assert (chosen.scale, chosen.units, origin) == (pytest.approx(0.004), "mm2/s", "all datasets")


def test_the_dataset_decides_the_style(model, files):
    one, other = (unit(model, files, "T1C", dataset) for dataset in ("A", "B"))
    assert np.abs(one - other).max() > 0.01


def test_what_targets_stand_for(model):
    targets = model.targets
    assert targets(("T1", "T2"), "missing") == ("T1C", "FLAIR", "ADC")
    assert targets(MODALITIES, "missing") == ()
    assert targets(("T1", "T2"), "all") == MODALITIES
    assert targets(("T1",), "all") == MODALITIES[1:]
    assert targets(("T1", "T2"), "flair, t1ce,FLAIR") == ("T1C", "FLAIR")
    assert targets(("T1", "T2"), ["adc", "t2"]) == ("T2", "ADC")


@pytest.mark.parametrize(
    ("given", "wanted", "text"),
    [
        ((), "missing", "found no sequence"),
        (("T1",), "t1", "found T1 as the only source of T1; expected another"),
        (("T1",), "swi", "found modality SWI; expected one the model was trained on: T1, T2, T1C, FLAIR, ADC"),
        (("T1", "SWI"), "missing", "found modality SWI; expected one the model was trained on"),
        (("T1",), "", "found modality ''; expected one of"),
        (("T1",), "t2,,flair", "found modality ''; expected one of"),
        (("T1",), "t2/flair", "found modality 't2/flair'; expected one of"),
        (("T1",), [], "found no target; expected missing, all or names"),
    ],
)
def test_targets_that_make_no_sense(model, given, wanted, text):
    with pytest.raises(UsageError, match=text):
        model.targets(given, wanted)


def test_a_given_target_is_made_from_the_others_alone(model, files, tmp_path):
    made = model.synthesize(**files, dataset="A", targets="all")
    assert {t: m.sources for t, m in made.items()} == {
        "T1": ("T2", "FLAIR"),
        "T2": ("T1", "FLAIR"),
        "T1C": ("T1", "T2", "FLAIR"),
        "FLAIR": ("T1", "T2"),
        "ADC": ("T1", "T2", "FLAIR"),
    }
    assert {t: m.reference for t, m in made.items()} == {t: "T2" if t == "T1" else "T1" for t in MODALITIES}
    for target in ("T1", "T2", "FLAIR"):
        other = save(tmp_path / "other.nii.gz", brain("ADC"))
        changed = model.synthesize(**(files | {target.lower(): other}), dataset="A", targets="all")
        np.testing.assert_array_equal(changed[target].volume.data, made[target].volume.data)
        assert not np.array_equal(changed["T1C"].volume.data, made["T1C"].volume.data)
        left_out = {m: p for m, p in files.items() if m != target.lower()}
        without = model.synthesize(**left_out, dataset="A", targets=[target])[target]
        np.testing.assert_array_equal(without.volume.data, made[target].volume.data)


def test_targets_do_not_disturb_each_other(model, files):
    together = model.synthesize(**files, dataset="A", targets="all")
    for target in MODALITIES:
        alone = model.synthesize(**files, dataset="A", targets=[target])[target]
        np.testing.assert_array_equal(alone.volume.data, together[target].volume.data)


def test_channels_that_are_not_given_are_zero(model, files, monkeypatch):
    from pmmsynth.infer import synthesizer

    fed = []
    predict = synthesizer.predict
    monkeypatch.setattr(
        synthesizer, "predict", lambda g, card, images, **k: fed.append((images, k)) or predict(g, card, images, **k)
    )
    model.synthesize(t2=files["t2"], t1=files["t1"], dataset="B", targets=["FLAIR"])
    ((images, asked),) = fed
    assert (asked["sources"], asked["targets"], asked["dataset"]) == (("T1", "T2"), ("FLAIR",), "B")
    assert not images[:, 2:].any()
    for channel, name in enumerate(("T1", "T2")):
        data = read_volume(files[name.lower()]).data
        wanted = np.clip(data[data > 0] / (4 * data[data > 0].mean()), 0, 1)
        np.testing.assert_allclose(np.sort(images[:, channel][images[:, channel] > 0]), np.sort(wanted), rtol=1e-5)


def test_names_are_read_as_in_datasets_and_volumes_may_be_in_memory(model, files):
    by_path = model.synthesize(t1=str(files["t1"]), dataset="A", targets="t1ce")["T1C"]
    by_volume = model.synthesize(T1w=read_volume(files["t1"]), dataset="A", targets=["T1Gd"])["T1C"]
    np.testing.assert_array_equal(by_path.volume.data, by_volume.volume.data)
    with pytest.raises(UsageError, match="found a modality twice in t1, T1w"):
        model.synthesize(t1=files["t1"], T1w=files["t1"], dataset="A")


def test_wrong_calls_say_what_was_expected(model, files, tmp_path):
    with pytest.raises(UsageError, match="found dataset 'Z'; expected one the model was trained on: A, B"):
        model.synthesize(t1=files["t1"], dataset="Z")
    with pytest.raises(UsageError, match="found no sequence; expected at least one"):
        model.synthesize(dataset="A")
    with pytest.raises(BadInput, match="no file at"):
        model.synthesize(t1=tmp_path / "nothing.nii.gz", dataset="A")


def test_a_volume_in_memory_is_held_to_what_a_file_is(model, files):
    t1 = read_volume(files["t1"])
    hole, skew = t1.data.copy(), t1.affine.copy()
    hole[20, 20, 5] = np.nan
    skew[0, 1] = 0.3
    for spoilt, said in (
        (replace(t1, data=hole), r"t1\.nii\.gz: 1 NaN or infinite voxels"),
        (Volume(hole, t1.affine), "found t1: 1 NaN or infinite voxels"),
        (replace(t1, affine=skew), "sheared affine"),
        (Volume(t1.data[..., None], t1.affine), r"float32 of shape \(.*, 1\); expected real numbers, 3-D"),
        (Volume(t1.data.astype(np.complex64), t1.affine), "complex64 of shape"),
    ):
        with pytest.raises(BadInput, match=said):
            model.synthesize(t1=spoilt, dataset="A", targets="flair")


@pytest.mark.parametrize("kind", [np.float64, np.int16])
def test_a_volume_in_memory_may_hold_any_real_numbers(model, files, kind):
    t1 = read_volume(files["t1"])
    whole = Volume(np.round(t1.data), t1.affine, t1.header)
    made = [
        model.synthesize(t1=replace(whole, data=whole.data.astype(k)), dataset="A", targets="flair")["FLAIR"].volume
        for k in (np.float32, kind)
    ]
    np.testing.assert_array_equal(made[0].data, made[1].data)


def test_what_was_made_is_no_source(model, files):
    made = model.synthesize(t1=files["t1"], dataset="A", targets="flair")["FLAIR"].volume
    with pytest.raises(BadInput, match="found flair: a synthetic image, as its header says"):
        model.synthesize(t1=files["t1"], flair=made, dataset="A", targets="t2")


def test_a_limit_of_memory_is_for_the_processor_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("pmmsynth.infer.synthesizer.device_of", lambda name: torch.device("meta"))
    with pytest.raises(UsageError, match="found --memory and device meta; expected one of them"):
        Synthesizer.load(make_model(tmp_path / "model"), "cuda", memory=4, precision="float32")


@pytest.mark.parametrize("device", ["gpu", "", "cuda:7", "meta2"])
def test_a_device_that_is_not_there(tmp_path, device):
    if device.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UsageError, match=f"found device '{device}', not usable here; expected auto, cpu or cuda"):
        Synthesizer.load(make_model(tmp_path / "model"), device)


def test_a_cropped_brain_is_remarked(model):
    affine = affine_for(shape=(58, 62, 10))
    wide = brain("T1", (58, 62, 10), affine, radii=(24, 27, 17))
    made = model.synthesize(t1=Volume(wide.astype(np.float32), affine), dataset="A", targets=["T2"])["T2"]
    assert any("% of the brain lie outside the crop" in r for r in made.remarks)


def test_an_adc_is_read_in_any_unit(model):
    affine = affine_for()
    adc = (brain("ADC") * np.float32(1e-6), affine)
    same = (brain("ADC").astype(np.float32), affine)
    one, other = (synthesized(model, {"ADC": images}, "FLAIR", "B").data for images in (adc, same))
    np.testing.assert_allclose(one, other, rtol=5e-3, atol=5e-3)


def test_raw_scans_are_brought_together_first(model, files, monkeypatch):
    off = np.eye(4)
    off[:3, 3] = 7, -5, 4
    given = {name: read_volume(path) for name, path in files.items() if name in ("t1", "flair")}
    moved = given | {"flair": replace(given["flair"], affine=np.linalg.inv(off) @ given["flair"].affine)}
    monkeypatch.setattr(aligning, "register", lambda *_: Registration(off, 0.7, 9.5, 0.1))
    raw = replace(model, scans=Scans(registered=False))
    wanted = model.synthesize(dataset="A", targets="t2", **given)["T2"]
    got = raw.synthesize(dataset="A", targets="t2", **moved)["T2"]
    np.testing.assert_allclose(got.volume.data, wanted.volume.data, atol=1e-3 * wanted.intensity.scale)
    assert got.volume.grid.same_as(given["t1"].grid)
    assert set(got.moves) == {"FLAIR"}
    monkeypatch.setattr(aligning, "register", lambda *_: Registration(off, 0.7, 9.5, 5.0))
    with pytest.raises(BadInput, match=r"T1\+FLAIR: the registration of FLAIR cannot be trusted"):
        raw.synthesize(dataset="A", targets="t2", **moved)
