"""The cohort file: what it accepts, how it splits, and what it refuses."""

from pathlib import Path

import pytest

from pmmsynth.errors import BadInput
from pmmsynth.intake import CohortFile, read_cohorts


def cohort(folder: Path, text: str, cases: dict[str, str] | None = None) -> Path:
    """A cohort file, and folders of empty files: {"root/case": "t1 t2"}."""
    for place, names in (cases or {}).items():
        for name in names.split():
            (folder / place).mkdir(parents=True, exist_ok=True)
            (folder / place / f"{name}.nii.gz").touch()
    path = folder / "cohorts.toml"
    path.write_text(text)
    return path


def table(name="a", root="a", layout="brats", more=""):
    quoted = root if root.startswith("[") else f'"{root}"'
    return f'[[dataset]]\nname = "{name}"\nroot = {quoted}\nlayout = "{layout}"\n{more}\n'


def splits(path):
    return {(c.dataset, c.id): c.split for c in read_cohorts(path)[1].cases}


def test_datasets_keep_the_order_of_the_file(tmp_path):
    cases = {"a/x": "t1", "b/y": "t2 flair"}
    file, manifest = read_cohorts(cohort(tmp_path, "seed = 3\n" + table("z", "b") + table("a", "a"), cases))
    assert (file.seed, manifest.datasets, manifest.modalities) == (3, ("z", "a"), ("T1", "T2", "FLAIR"))
    assert manifest.cases[0].images["T2"] == (tmp_path / "b/y/t2.nii.gz").resolve()


def test_several_roots_and_include(tmp_path):
    cases = {"full/Brats18_CBICA_A_1": "t1", "thick/Brats18_CBICA_B_1": "t1", "thick/Brats18_TCIA01_1_1": "t1"}
    text = table("cbica", '["full", "thick"]', more='include = ["Brats18_CBICA_*"]')
    _, manifest = read_cohorts(cohort(tmp_path, text + table("tcia", "thick", more='include = ["*TCIA*"]'), cases))
    assert [(c.dataset, c.id) for c in manifest.cases] == [
        ("cbica", "Brats18_CBICA_A_1"),
        ("cbica", "Brats18_CBICA_B_1"),
        ("tcia", "Brats18_TCIA01_1_1"),
    ]


def test_fractions_give_every_split_a_case_and_do_not_change(tmp_path):
    path = cohort(tmp_path, table(), {f"a/c{i}": "t1" for i in range(10)})
    first = splits(path)
    assert sorted(first.values()) == ["test"] * 2 + ["train"] * 7 + ["val"]
    assert splits(path) == first
    path.write_text("split = {val = 0, test = 0.5}\n" + table())
    assert sorted(splits(path).values()) == ["test"] * 5 + ["train"] * 5


def test_patterns_place_cases(tmp_path):
    more = 'split = {val = ["c1"], test = ["c[23]"]}'
    path = cohort(tmp_path, table(more=more), {f"a/c{i}": "t1" for i in range(5)})
    assert list(splits(path).values()) == ["train", "val", "test", "test", "train"]


def test_time_points_of_a_patient_and_releases_stay_together(tmp_path):
    cases = {f"a/BraTS-GLI-{i:05}-00{t}": "t1" for i in range(6) for t in range(3)}
    cases |= {f"b/BraTS2021_{i:05}": "t1" for i in range(6)}
    _, manifest = read_cohorts(cohort(tmp_path, table() + table("b", "b"), cases))
    of_patient = {}
    for case in manifest.cases:
        assert of_patient.setdefault(case.subject, case.split) == case.split
    assert len(of_patient) == 6
    assert set(of_patient.values()) == {"train", "val", "test"}


def test_one_patient_in_two_releases_is_a_leak(tmp_path):
    cases = {"a/BraTS2021_00000": "t1", "b/BraTS-GLI-00000-000": "t1n t1c"}
    text = table(more="split = {test = ['*'], train = []}") + table("b", "b", more="split = {test = []}")
    with pytest.raises(BadInput, match="patient BraTS-GLI-00000 in splits test, train"):
        read_cohorts(cohort(tmp_path, text, cases))


def test_equal_labels_in_two_bids_datasets_are_two_patients(tmp_path):
    for site in "ab":
        path = tmp_path / site / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
        path.parent.mkdir(parents=True)
        path.touch()
    text = table("a", "a", "bids", "split = {test = ['*'], train = []}") + table("b", "b", "bids")
    assert splits(cohort(tmp_path, text)) == {("a", "sub-01"): "test", ("b", "sub-01"): "train"}


def test_equal_labels_in_two_dicom_datasets_are_one_patient(tmp_path):
    """They are digests of the patient's identifier."""
    for site in "ab":
        path = tmp_path / f"converted/{site}/sub-5f0b/ses-{site}/anat/sub-5f0b_ses-{site}_T1w.nii.gz"
        path.parent.mkdir(parents=True)
        path.touch()
    tables = table("a", "a", "dicom", "split = {test = ['*'], train = []}"), table("b", "b", "dicom")
    path = cohort(tmp_path, "".join(tables))
    _, manifest = read_cohorts(path, converted=tmp_path / "converted")
    assert [(c.dataset, c.subject, c.split) for c in manifest.cases] == [
        ("a", "sub-5f0b", "test"),
        ("b", "sub-5f0b", "test"),
    ]
    path.write_text(tables[0] + table("b", "b", "dicom", "split = {test = []}"))
    with pytest.raises(BadInput, match="patient sub-5f0b in splits test, train"):
        read_cohorts(path, converted=tmp_path / "converted")


def test_withheld_modalities_stay_in_test(tmp_path):
    more = 'withhold = ["t1ce"]\nsplit = {val = ["c1"], test = ["c2"]}'
    cases = {"a/c0": "t1 t1c", "a/c1": "t1 t1c", "a/c2": "t1 t1c", "a/c3": "t1c"}
    _, manifest = read_cohorts(cohort(tmp_path, table(more=more), cases))
    assert {c.id: c.modalities for c in manifest.cases} == {"c0": ("T1",), "c1": ("T1",), "c2": ("T1", "T1C")}


def test_labels_of_the_file_win(tmp_path):
    more = 'lesion_labels = {1 = "whole tumour"}'
    _, manifest = read_cohorts(cohort(tmp_path, table(more=more), {"a/BraTS2021_00001": "t1 seg", "a/x": "t1"}))
    assert [c.lesion_labels for c in manifest.cases] == [{1: "whole tumour"}, {}]


REFUSED = {
    "not TOML": ("[[dataset", "cohorts.toml"),
    "no dataset": ("seed = 1", "dataset: Field required"),
    "unknown key": (table(more='laout = "x"'), "unknown key dataset.0.laout; did you mean layout?"),
    "misspelt key": (
        table().replace("layout", "layuot"),
        "cohorts.toml: unknown key dataset.0.layuot; did you mean layout?",
    ),
    "missing key": (table().replace('layout = "brats"', ""), "cohorts.toml: dataset.0.layout: Field required"),
    "unknown key above": ("sed = 1\n" + table(), "unknown key sed; did you mean seed?"),
    "unknown key in split": (table(more="split = {tset = 0.1}"), "dataset.0.split.tset; did you mean test?"),
    "unknown layout": (table(layout="brast"), "dataset.0.layout: Input should be 'brats'"),
    "no root": (table(root="nowhere"), "dataset a: no folder"),
    "no case": (table(layout="isles"), "dataset a: no case"),
    "include fits none": (table(more='include = ["zz*"]'), "dataset a: no case"),
    "unknown extractor": (table(more='extractor = "bet2"'), "dataset.0.extractor: Input should be 'deepbet'"),
    "exclude leaves none": (table(more='exclude = ["c*"]'), "dataset a: no case"),
    "brain elsewhere": (table(more='brain = "{case}/mask.nii.gz"'), 'belong to layout = "pattern"'),
    "brain without case": (
        table(layout="pattern", more='image = "{case}/{modality}.nii.gz"\nbrain = "mask.nii.gz"'),
        "brain needs {case}",
    ),
    "pattern without template": (table(layout="pattern"), "needs image"),
    "template elsewhere": (table(more='image = "{case}"'), 'belong to layout = "pattern"'),
    "two of one name": (table() + table(), "two datasets of one name"),
    "name is no folder": (table(name="../x"), "it names a folder"),
    "kinds of split mixed": (table(more='split = {val = 0.1, test = ["x"]}'), "mixes fractions and patterns"),
    "nothing to train on": (table(more="split = {val = 0.5, test = 0.5}"), "leave some for train"),
    "in two splits": (table(more='split = {val = ["c*"], test = ["c0"]}'), "case c0 fits the patterns of val and test"),
    "in no split": (table(more='split = {train = ["c0"], test = ["c1"]}'), "case c2 fits the patterns of no split"),
    "withheld but absent": (table(more='withhold = ["DWI"]'), "withhold names DWI"),
    "withheld without a name": (
        table() + table("b", more='withhold = ["T1", "t1-bla"]'),
        "cohorts.toml: dataset.1.withhold: found modality 't1-bla'; expected one of T1, ",
    ),
    "alias of no name": (
        table(layout="pattern", more='image = "{case}/{modality}.nii.gz"\naliases = {post = "T1+C"}'),
        "cohorts.toml: dataset.0.aliases: found modality 'T1+C'; expected one of T1, ",
    ),
    "thickness": (table(more="slice_mm = -1"), "slice_mm"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_in_one_line(tmp_path, kind):
    text, found = REFUSED[kind]
    path = cohort(tmp_path, text, {f"a/c{i}": "t1 t2" for i in range(3)})
    with pytest.raises(BadInput) as error:
        read_cohorts(path)
    assert found in str(error.value)
    assert "\n" not in str(error.value)


def test_a_case_name_that_is_no_folder_name(tmp_path):
    path = cohort(tmp_path, table(), {"a/my case": "t1"})
    with pytest.raises(BadInput, match="name 'my case'"):
        read_cohorts(path)


def test_a_byte_order_mark_is_no_statement(tmp_path):
    path = cohort(tmp_path, "seed = 5\n" + table())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert CohortFile.read(path).seed == 5


def test_read_does_not_look_at_folders(tmp_path):
    assert CohortFile.read(cohort(tmp_path, table(root="nowhere"))).datasets[0].slice_mm is None
