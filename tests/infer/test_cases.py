"""Cases found, written as BIDS derivatives that say what they are; nothing overwritten, nothing half done."""

import json
import re
from importlib.metadata import version
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from model_phantoms import affine_for, brain, make_model, save, save_case
from no_room import files_up_to
from pmmsynth.atomic import sha256
from pmmsynth.case import Case, Scans
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, NothingToDo, UsageError
from pmmsynth.infer import SavedModel, case_of_inputs, synthesize_cases
from pmmsynth.infer.naming import sidecar_path
from pmmsynth.intake import find_cases
from pmmsynth.manifest import Manifest
from pmmsynth.model import INTENDED_USE, WEIGHTS
from pmmsynth.nets import PMMSynthArchitecture


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> SavedModel:
    return SavedModel.find(make_model(tmp_path_factory.mktemp("cases") / "model"), "cpu", precision="float32")


def run(model, cases, out, dataset="A", **options):
    return synthesize_cases(model, cases, out, dataset=dataset, reporter=Reporter(quiet=True), **options)


def names(out: Path) -> set[str]:
    return {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}


def state(*folders: Path) -> dict[Path, tuple[int, str]]:
    return {p: (p.stat().st_mtime_ns, sha256(p)) for f in folders for p in f.rglob("*") if p.is_file()}


# --- what is written ------------------------------------------------------------------------------------------------


@pytest.fixture
def cases(tmp_path):
    """A BIDS tree: two time points of one patient with T1 and FLAIR, another patient with all but ADC."""
    root = tmp_path / "Jane_Doe_1970"
    forms = {"T1": "T1w", "T2": "T2w", "T1C": "ce-gd_T1w", "FLAIR": "FLAIR"}
    for number, (who, have) in enumerate(
        [("01 1", ("T1", "FLAIR")), ("01 2", ("T1", "FLAIR")), ("02 ", ("T1", "T2", "T1C", "FLAIR"))]
    ):
        subject, session = who.split(" ")
        folder = root / f"sub-{subject}" / (f"ses-{session}" if session else "") / "anat"
        prefix = f"sub-{subject}_ses-{session}" if session else f"sub-{subject}"
        for m in have:
            data = brain(m) + np.int16(number) * (brain(m) > 0)
            save(folder / f"{prefix}_{forms[m]}.nii.gz", data.astype(np.int16))
    return root


EXPECTED = {
    "dataset_description.json",
    *(
        f"sub-01/ses-{s}/{name}{end}"
        for s in "12"
        for name in (
            f"anat/sub-01_ses-{s}_desc-synth_T2w",
            f"anat/sub-01_ses-{s}_ce-gadolinium_desc-synth_T1w",
            f"dwi/sub-01_ses-{s}_desc-synth_ADC",
        )
        for end in (".json", ".nii.gz")
    ),
    *(f"sub-02/dwi/sub-02_desc-synth_ADC{end}" for end in (".json", ".nii.gz")),
}


def test_everything_missing_is_written_with_a_sidecar_and_inputs_stay_as_they_are(model, cases, tmp_path):
    before = state(cases)
    outcome = run(model, find_cases(cases), tmp_path / "out")
    assert outcome.exit_code == 0
    assert names(tmp_path / "out") == EXPECTED
    assert state(cases) == before
    assert {p.relative_to(tmp_path / "out").as_posix() for w in outcome.results for p in w.new} == {
        n for n in EXPECTED if n.endswith(".nii.gz")
    }
    description = json.loads((tmp_path / "out/dataset_description.json").read_text())
    assert description == {
        "Name": "Synthetic MRI sequences",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "pmmsynth", "Version": version("pmmsynth")}],
    }


def test_what_the_sidecar_says(model, cases, tmp_path):
    run(model, find_cases(cases), tmp_path / "out", dataset="B", targets="t2,flair,adc")
    path = tmp_path / "out/sub-01/ses-2/anat/sub-01_ses-2_desc-synth_FLAIR.json"
    text = path.read_text()
    said = json.loads(text)
    source = cases / "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz"
    date = said.pop("Date")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", date)
    assert said == {
        "Description": "Synthetic FLAIR from T1 by a neural network; not acquired",
        "SyntheticImage": True,
        "SkullStripped": True,
        "SpatialReference": source.name,
        "Sources": [source.name],
        "Target": "FLAIR",
        "InputSequences": [{"Name": "T1", "File": source.name, "SHA256": sha256(source)}],
        "Model": {
            "Name": "PMM-Synth",
            "WeightsSHA256": sha256(model.folder / WEIGHTS),
            "Digest": model.digest,
            "NetworkWeight": 1.0,
            "Training": {"seed": 0, "cases": {"A": 2, "B": 2}},
        },
        "Dataset": {"Name": "B", "ID": 1, "HowChosen": "by --dataset"},
        "IntensityMapping": {
            "Formula": "value = a * unit + b, unit in [0, 1]",
            "a": 60.0,
            "b": 0.0,
            "Kind": "mean",
            "Range": [0.0, 60.0],
            "StatisticsFrom": "B",
        },
        "Units": "arbitrary",
        "Geometry": {"Reference": "T1", "Resampled": False, "Moved": {}},
        "Preparation": {
            "BrainExtraction": None,
            "BrainMaskSHA256": None,
            "Registration": False,
            "BiasFieldCorrection": False,
        },
        "Remarks": [],
        "IntendedUse": INTENDED_USE,
        "SoftwareVersion": version("pmmsynth"),
        "Device": "cpu",
        "Backend": f"torch {version('torch')}, float32",
    }
    adc = json.loads((tmp_path / "out/sub-02/dwi/sub-02_desc-synth_ADC.json").read_text())
    assert (adc["Units"], adc["IntensityMapping"]["Kind"], adc["IntensityMapping"]["a"]) == (
        "1e-6 mm2/s",
        "physical",
        3000,
    )
    assert [s["Name"] for s in adc["InputSequences"]] == ["T1", "T2", "T1C", "FLAIR"]
    t2 = json.loads((tmp_path / "out/sub-01/ses-1/anat/sub-01_ses-1_desc-synth_T2w.json").read_text())
    assert t2["IntensityMapping"]["StatisticsFrom"] == "all datasets"
    for sidecar in (tmp_path / "out").rglob("*.json"):
        assert "Jane" not in sidecar.read_text()
        assert str(tmp_path) not in sidecar.read_text()


def test_a_given_brain_mask_counts_and_a_changed_one_is_noticed(model, cases, tmp_path):
    (case, *_) = find_cases(cases)
    half = brain() > 0
    half[:, :, 5:] = False
    mask = save(tmp_path / "mask.nii.gz", half.astype(np.uint8))
    case = case.model_copy(update={"brain": mask})
    run(model, [case], tmp_path / "out", targets="t1c")
    path = next((tmp_path / "out").rglob("*T1w.nii.gz"))
    np.testing.assert_array_equal(nib.load(path).get_fdata() > 0, half)
    assert json.loads(sidecar_path(path).read_text())["Preparation"]["BrainMaskSHA256"] == sha256(mask)
    assert run(model, [case], tmp_path / "out", targets="t1c").results[0].kept == (path,)
    save(mask, (brain() > 0).astype(np.uint8))
    (failure,) = run(model, [case], tmp_path / "out", targets="t1c").failures
    assert "prepared otherwise" in failure.reason


def test_the_volume_says_it_is_synthetic_and_holds_what_the_model_made(model, cases, tmp_path):
    source = cases / "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz"
    image = nib.load(source)
    data = np.asarray(image.dataobj)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Jane Doe"))
    for name in ("descrip", "data_type", "db_name", "aux_file", "intent_name"):
        image.header[name] = b"Jane Doe"
    nib.save(nib.Nifti1Image(data, image.affine, image.header), source)
    run(model, find_cases(cases)[:1], tmp_path / "out", targets="t1c")
    path = tmp_path / "out/sub-01/ses-1/anat/sub-01_ses-1_ce-gadolinium_desc-synth_T1w.nii.gz"
    got = nib.load(path)
    assert got.header["descrip"].item().decode() == f"SYNTHETIC T1C by pmmsynth {version('pmmsynth')}, not acquired"
    assert b"Jane" not in got.header.binaryblock
    assert not got.header.extensions
    files = {"t1": source, "flair": source.with_name("sub-01_ses-1_FLAIR.nii.gz")}
    direct = model.load().synthesize(**files, dataset="A", targets="t1c")["T1C"]
    np.testing.assert_array_equal(got.get_fdata(), direct.volume.data)


def test_a_synthetic_volume_is_no_source_under_whatever_name(model, cases, tmp_path):
    run(model, find_cases(cases)[:1], tmp_path / "out", targets="t1c")
    made = tmp_path / "out/sub-01/ses-1/anat/sub-01_ses-1_ce-gadolinium_desc-synth_T1w.nii.gz"
    renamed = made.rename(tmp_path / "t1c.nii.gz")
    case = case_of_inputs([f"t1c={renamed}"], "someone")
    (failure,) = run(model, [case], tmp_path / "second", targets="t1").failures
    assert failure.reason == (
        f"found {renamed}: a synthetic image, as its header says; expected an acquired one; leave it out"
    )
    with pytest.raises(BadInput, match="a synthetic image"):
        model.load().synthesize(t1c=renamed, dataset="A", targets="t1")
    assert not list((tmp_path / "second").rglob("*.nii.gz"))


# --- again ----------------------------------------------------------------------------------------------------------


def test_a_second_run_keeps_everything(model, cases, tmp_path):
    run(model, find_cases(cases), tmp_path / "out")
    before = state(tmp_path / "out")
    outcome = run(model, find_cases(cases), tmp_path / "out")
    assert outcome.exit_code == 0
    assert state(tmp_path / "out") == before
    assert [(len(w.new), len(w.kept)) for w in outcome.results] == [(0, 3), (0, 3), (0, 1)]


def test_only_what_is_missing_is_made(model, cases, tmp_path):
    run(model, find_cases(cases), tmp_path / "out")
    gone = tmp_path / "out/sub-01/ses-1/dwi/sub-01_ses-1_desc-synth_ADC.nii.gz"
    half = gone.with_name(".writing-abc.nii.gz")
    half.write_bytes(b"half")
    gone.unlink()
    before = state(tmp_path / "out")
    run(model, find_cases(cases), tmp_path / "out")
    after = state(tmp_path / "out")
    assert {p for p in after if after[p] != before.get(p)} == {gone, gone.with_name("sub-01_ses-1_desc-synth_ADC.json")}
    assert not half.exists()


def test_overwrite_writes_again(model, cases, tmp_path):
    run(model, find_cases(cases), tmp_path / "out")
    before = state(tmp_path / "out")
    run(model, find_cases(cases), tmp_path / "out", dataset="B", overwrite=True)
    after = state(tmp_path / "out")
    assert after.keys() == before.keys()
    changed = {p.relative_to(tmp_path / "out").as_posix() for p in after if after[p][0] != before[p][0]}
    assert changed == EXPECTED - {"dataset_description.json"}
    assert {json.loads(p.read_text())["Dataset"]["Name"] for p in (tmp_path / "out").rglob("sub-*.json")} == {"B"}


@pytest.mark.parametrize(
    "kind", ["other source", "other dataset", "other model", "other preparation", "no sidecar", "damaged sidecar"]
)
def test_what_is_there_is_not_passed_off_as_what_was_asked_for(model, tmp_path, kind):
    """Above all: two patients whose files have one name, made into one folder one after the other."""
    save(tmp_path / "a/scan_t1.nii.gz", brain())
    out, options = tmp_path / "out", {}
    first = case_of_inputs([f"t1={tmp_path}/a/scan_t1.nii.gz"])
    (written,) = run(model, [first], out, targets="flair").results
    image = written.new[0]
    sidecar, second = sidecar_path(image), first
    if kind == "other source":
        save(tmp_path / "b/scan_t1.nii.gz", brain("T2"))
        second = case_of_inputs([f"t1={tmp_path}/b/scan_t1.nii.gz"])
    elif kind == "other dataset":
        options = {"dataset": "B"}
    elif kind == "other model":
        other = PMMSynthArchitecture(width=8, residual_blocks=1, embedding=8)
        model = SavedModel.find(make_model(tmp_path / "other", architecture=other), "cpu")
    elif kind == "other preparation":
        second = first.model_copy(update={"scans": Scans(registered=False)})
    elif kind == "no sidecar":
        sidecar.unlink()
    else:
        sidecar.write_text("{}")
    before = state(out)
    outcome = run(model, [second], out, targets="flair", **options)
    assert outcome.exit_code == 4
    assert image.name in outcome.failures[0].reason
    assert "choose another --subject or --out; --overwrite replaces it" in outcome.failures[0].reason
    assert state(out) == before
    assert run(model, [second], out, targets="flair", overwrite=True, **options).exit_code == 0
    assert run(model, [second], out, targets="flair", **options).results[0].kept == (image,)


# --- places ---------------------------------------------------------------------------------------------------------


def test_the_same_case_by_folder_manifest_and_input(model, tmp_path):
    folder = save_case(tmp_path / "cohort/P7", ("t1", "flair"))
    images = {"T1": folder / "t1.nii.gz", "FLAIR": folder / "flair.nii.gz"}
    manifest = Manifest(datasets=("A",), cases=(Case(dataset="A", id="P7", subject="A:P7", images=images),))
    manifest.write(tmp_path / "store/manifest.jsonl")
    found = {
        "folder": (find_cases(tmp_path / "cohort"), "A"),
        "manifest": (find_cases(tmp_path / "store/manifest.jsonl"), None),
        "input": ([case_of_inputs([f"{m.lower()}={p}" for m, p in images.items()])], "A"),
    }
    made = {}
    for kind, (cases, dataset) in found.items():
        assert [c.images for c in cases] == [images]
        out = tmp_path / kind
        assert run(model, cases, out, dataset=dataset).exit_code == 0
        made[kind] = {n: (out / n).read_bytes() for n in names(out) if n.endswith(".nii.gz")}
        says = json.loads((out / "sub-P7/dwi/sub-P7_desc-synth_ADC.json").read_text())
        assert says["Dataset"]["HowChosen"] == ("by the manifest" if kind == "manifest" else "by --dataset")
    assert len(made["folder"]) == 3
    voxels = {
        kind: {n: np.asarray(nib.load(tmp_path / kind / n).dataobj).tobytes() for n in made[kind]} for kind in made
    }
    assert voxels["folder"] == voxels["manifest"] == voxels["input"]


# --- what cannot be done --------------------------------------------------------------------------------------------


def case(identity, folder, dataset="A"):
    images = {p.name.split(".")[0].upper(): p for p in sorted(folder.glob("*.nii.gz"))}
    return Case(dataset=dataset, id=identity, subject=f"{dataset}:{identity}", images=images)


def test_two_cases_of_one_output_name(model, tmp_path):
    folder = save_case(tmp_path / "a")
    for pair in ([case("a-1", folder), case("a1", folder)], [case("x", folder), case("x", folder, "B")]):
        with pytest.raises(BadInput, match=r"cases A/\S+ and [AB]/\S+: one output name sub-\S+; expected unique names"):
            run(model, pair, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_to_do(model, tmp_path):
    every = {m: save(tmp_path / f"full/{m}.nii.gz", brain(m)) for m in model.load().card.modalities}
    full = Case(dataset="A", id="full", subject="full", images=every)
    with pytest.raises(NothingToDo, match="found all sequences in every case"):
        run(model, [full], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    part = case("part", save_case(tmp_path / "part"))
    outcome = run(model, [full, part], tmp_path / "out")
    assert outcome.exit_code == 0
    assert [len(w.new) for w in outcome.results] == [0, 3]


def test_a_dataset_must_be_said_and_known(model, tmp_path):
    save_case(tmp_path / "in/a")
    found = find_cases(tmp_path / "in")
    with pytest.raises(UsageError, match="found no --dataset; expected the one the patients belong to: A, B"):
        run(model, found, tmp_path / "out", dataset=None)
    with pytest.raises(UsageError, match="found dataset 'Z'"):
        run(model, found, tmp_path / "out", dataset="Z")
    with pytest.raises(UsageError, match="found dataset 'Z'"):
        run(model, [case("a", tmp_path / "in/a", "Z")], tmp_path / "out", dataset=None)
    with pytest.raises(UsageError, match="found modality SWI"):
        run(model, found, tmp_path / "out", targets="swi")
    assert not (tmp_path / "out").exists()


def test_a_place_one_cannot_write_to(model, tmp_path, monkeypatch):
    cases = [case("a", save_case(tmp_path / "a"))]
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file/deeper/still"):
        with pytest.raises(BadInput, match="file: not a folder one may write to"):
            run(model, cases, out)
    monkeypatch.setattr("pmmsynth.infer.cases.os.access", lambda *_: False)
    with pytest.raises(BadInput, match="not a folder one may write to"):
        run(model, cases, tmp_path / "out")


def test_a_full_disk_is_one_failed_case_and_leaves_no_half_file(model, tmp_path, monkeypatch):
    cases = [case(n, save_case(tmp_path / n)) for n in ("a", "b")]
    save_image = nib.save

    def full(image, path):
        if "sub-a" in str(path):
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device", str(path))
        save_image(image, path)

    monkeypatch.setattr(nib, "save", full)
    outcome = run(model, cases, tmp_path / "out", targets="flair")
    assert outcome.exit_code == 5
    assert "No space left" in outcome.failures[0].reason
    assert not [n for n in names(tmp_path / "out") if ".writing-" in n or ("sub-a" in n and n.endswith(".nii.gz"))]
    monkeypatch.undo()
    assert run(model, cases, tmp_path / "out", targets="flair").exit_code == 0


@pytest.mark.parametrize("room", [100, 4000], ids=["for no sidecar", "for no volume"])
def test_without_room_what_was_there_stays(model, tmp_path, capsys, room):
    """Also when it was to be replaced; one line says which file it was."""
    out, cases = tmp_path / "out", [case("a", save_case(tmp_path / "a"))]
    run(model, cases, out, targets="flair")
    before = state(out)
    volume = next(out.rglob("*.nii.gz"))
    assert volume.stat().st_size > 4000 > sidecar_path(volume).stat().st_size > 100
    capsys.readouterr()
    with files_up_to(room):
        assert run(model, cases, out, targets="flair", overwrite=True).exit_code == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"a: found [Errno 27] File too large: '{sidecar_path(volume) if room == 100 else volume}'; expected to"
    )
    assert state(out) == before


def test_one_bad_case_does_not_stop_the_others(model, tmp_path, capsys):
    for name in ("a", "b", "c", "d"):
        save_case(tmp_path / "in" / name)
    (tmp_path / "in/b/t2.nii.gz").write_bytes((tmp_path / "in/b/t2.nii.gz").read_bytes()[:400])
    far = affine_for()
    far[0, 3] += 300
    save(tmp_path / "in/c/t2.nii.gz", brain("T2"), far)
    outcome = run(model, find_cases(tmp_path / "in"), tmp_path / "out", targets="flair")
    assert outcome.exit_code == 5
    assert [f.name for f in outcome.failures] == ["b", "c"]
    made = {f"sub-{n}/anat/sub-{n}_desc-synth_FLAIR{e}" for n in "ad" for e in (".json", ".nii.gz")}
    assert names(tmp_path / "out") == made | {"dataset_description.json"}
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines if "expected" in line] == ["b", "c"]
