"""Names of what is written, and of cases made of single files."""

import re
import unicodedata
from pathlib import Path

import pytest

from pmmsynth.case import Case
from pmmsynth.errors import BadInput, UsageError
from pmmsynth.infer import case_of_inputs
from pmmsynth.infer.naming import label, output_path, sidecar_path


@pytest.mark.parametrize(
    ("case", "modality", "path"),
    [
        ("sub-01", "T1", "sub-01/anat/sub-01_desc-synth_T1w"),
        ("sub-01", "T2", "sub-01/anat/sub-01_desc-synth_T2w"),
        ("sub-01", "T1C", "sub-01/anat/sub-01_ce-gadolinium_desc-synth_T1w"),
        ("sub-01", "FLAIR", "sub-01/anat/sub-01_desc-synth_FLAIR"),
        ("sub-01", "PD", "sub-01/anat/sub-01_desc-synth_PDw"),
        ("sub-01", "SWI", "sub-01/anat/sub-01_desc-synth_SWI"),
        ("sub-01", "DWI", "sub-01/dwi/sub-01_desc-synth_trace"),
        ("sub-01", "ADC", "sub-01/dwi/sub-01_desc-synth_ADC"),
        ("sub-01_ses-2", "ADC", "sub-01/ses-2/dwi/sub-01_ses-2_desc-synth_ADC"),
        ("sub-01_ses-pre", "T1C", "sub-01/ses-pre/anat/sub-01_ses-pre_ce-gadolinium_desc-synth_T1w"),
        ("BraTS-MET-00110-000", "T2", "sub-BraTSMET00110000/anat/sub-BraTSMET00110000_desc-synth_T2w"),
        ("Brats18_CBICA_APR_1", "T2", "sub-Brats18CBICAAPR1/anat/sub-Brats18CBICAAPR1_desc-synth_T2w"),
        ("__", "T2", "sub-unnamed/anat/sub-unnamed_desc-synth_T2w"),
    ],
)
def test_names_are_bids(case, modality, path):
    made = Case(dataset="d", id=case, subject="s", images={"T1": Path("t1.nii.gz")})
    image = output_path(Path("out"), made, modality)
    assert image.as_posix() == f"out/{path}.nii.gz"
    assert sidecar_path(image).as_posix() == f"out/{path}.json"


@pytest.mark.parametrize(
    ("inputs", "subject", "name"),
    [
        (["t1=P7/t1.nii.gz"], None, "P7"),
        (["t1=P 7/T1w.nii.gz", "t2=other/T2w.nii.gz"], None, "P7"),
        (["t1=x/BraTS2021_00006_t1.nii.gz"], None, "BraTS202100006"),
        (["flair=x/BraTS-GLI-00000-000-t2f.nii"], None, "BraTSGLI00000000"),
        (["t1=x/jo_t1_brain.nii.gz"], None, "jo"),
        (["t1=x/scan.17.nii.gz"], None, "scan17"),
        (["t1=x/Aufnahme 1 = t1.nii.gz"], None, "Aufnahme1"),
        (["t2=x/jo=T2 brain.nii"], None, "jo"),
        (["t1=P7/T1_brain.nii.gz"], None, "P7"),
        (["t1=P7/T1_1mm.nii.gz"], None, "P7"),
        (["t1=Müller/t1.nii.gz"], None, "Mullerfa6a2313"),
        (["t1=x/t1.nii.gz"], "Möller", "Mollere6e6d8b2"),
        (["t1=x/sub-01_T1w.nii.gz"], None, "sub-01"),
        (["t1=x/sub-01_ses-02_acq-a_T1w.nii.gz"], None, "sub-01_ses-02"),
        (["t1=x/sub-01_desc-synthstrip_T1w.nii.gz"], None, "sub-01"),
        (["t1=x/t1.nii.gz"], "sub-09", "09"),
        (["t1=x/t1.nii.gz"], "../../etc", "etc"),
        (["t1=/t1.nii.gz"], None, "unnamed"),
    ],
)
def test_the_name_of_single_files(inputs, subject, name):
    assert case_of_inputs(inputs, subject).id == name


@pytest.mark.parametrize(
    ("inputs", "subject", "text"),
    [
        ([], None, "found no --input"),
        (["t1.nii.gz"], None, "found --input t1.nii.gz; expected MODALITY=PATH"),
        (["t1="], None, "expected MODALITY=PATH"),
        (["=t1.nii.gz"], None, "found modality ''"),
        (["t1=a", "T1w=b"], None, "found T1 twice"),
        (["t2=sub-1_desc-synth_T2w.nii.gz"], None, "found a synthetic image given as T2, sub-1_desc-synth_T2w.nii.gz"),
        (["t1=a"], "/", "found --subject /; expected letters and digits"),
        (["t1=a"], "a" * 201, "expected a short label; choose one with --subject"),
    ],
)
def test_inputs_that_make_no_sense(inputs, subject, text):
    with pytest.raises(UsageError, match=re.escape(text)):
        case_of_inputs(inputs, subject)


@pytest.mark.parametrize(
    ("one", "other"), [("Müller", "Möller"), ("张三", "李四"), ("Muller", "Müller"), ("P1α", "P1β"), ("Иван", "Олег")]
)
def test_names_in_other_letters_are_told_apart(one, other):
    labels = label(one), label(other)
    assert labels[0] != labels[1]
    assert all(re.fullmatch("[A-Za-z0-9]+", made) for made in labels)
    assert label(unicodedata.normalize("NFD", one)) == labels[0], "as macOS writes it"


@pytest.mark.parametrize("name", ["x/M\udcfcller_t1.nii.gz", "x/a\nt1.nii.gz"])
def test_a_name_that_cannot_be_written_down_is_refused_first(name):
    with pytest.raises(BadInput, match="expected UTF-8 without line breaks; rename it"):
        case_of_inputs([f"t1={name}"])
