"""Series named as hospitals name them, in several languages and by several vendors."""

import pytest

from pmmsynth.intake.recognize import Tags, by_times, doubts, recognize

NAMED = {
    "sT2W/FLAIR": "FLAIR",
    "t2_tirm_tra_dark-fluid": "FLAIR",
    "AX T2 FLAIR FS": "FLAIR",
    "T1/SE/extrp": "T1",
    "t1_mprage_sag_p2_iso": "T1",
    "Ax 3D SPGR": "T1",
    "T1 AX POST GAD": "T1C",
    "t1_tse_tra_KM": "T1C",
    "T1W +C": "T1C",
    "T1 SE transversal gd": "T1C",
    "T1 pre contrast": "T1",
    "T1 nativ ohne KM": "T1",
    "t2_tse_tra": "T2",
    "AX T2 FSE": "T2",
    "ep2d_diff_3scan_trace": "DWI",
    "DWI b1000": "DWI",
    "DTI_Biobank_2mm_MB3S2_EPI": "DWI",
    "ep2d_diff_ADC": "ADC",
    "Apparent Diffusion Coefficient (mm2/s)": "ADC",
    "ADC map of DWI": "ADC",
    "localizer": None,
    "3-plane loc": None,
    "t2*_gre": None,
    "SWI_Images": None,
    "3D TOF": None,
    "ep2d_perf": None,
    "Exponential ADC": None,
    "DTI FA": None,
    "head": None,
}


@pytest.mark.parametrize("name", NAMED)
def test_by_name(name):
    assert recognize(Tags(name))[0] == NAMED[name]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (Tags("AX", echo=12, repetition=550), ("T1", "TE 12, TR 550, TI 0 ms")),
        (Tags("SAG 3D", echo=3, repetition=2300, inversion=900), ("T1", "TE 3, TR 2300, TI 900 ms")),
        (Tags("AX", echo=12, repetition=550, agent="Gadovist"), ("T1C", "TE 12, TR 550, TI 0 ms, agent Gadovist")),
        (Tags("AX T1", agent="Gadovist"), ("T1C", "named, agent Gadovist")),
        (Tags("AX T1", agent="No"), ("T1", "named")),
        (Tags("AX T1", agent="NONE"), ("T1", "named")),
        (Tags("AX", echo=100, repetition=5000), ("T2", "TE 100, TR 5000, TI 0 ms")),
        (Tags("AX", echo=120, repetition=9000, inversion=2500), ("FLAIR", "TE 120, TR 9000, TI 2500 ms")),
        (Tags("AX", echo=40, repetition=1800), (None, "neither name nor TE 40, TR 1800, TI 0 ms tell")),
        (Tags("REG", kind=("DERIVED", "PRIMARY", "DIFFUSION", "ADC")), ("ADC", "image type ADC")),
        (Tags("x", kind=("ORIGINAL", "TRACEW")), ("DWI", "image type TRACE")),
        (Tags("x", b_values=(0.0, 1000.0)), ("DWI", "b = 1000")),
    ],
)
def test_by_header(tags, expected):
    assert recognize(tags) == expected


def test_times_that_speak_against_the_name():
    flair_times = Tags("AX T2", echo=120, repetition=9000, inversion=2500)
    assert by_times(flair_times) == "FLAIR"
    assert doubts(flair_times, "T2") == "named T2, but TE 120, TR 9000, TI 2500 ms are those of FLAIR"
    assert doubts(Tags("T1 +C", echo=10, repetition=500), "T1C") is None
    assert doubts(Tags("DWI", echo=90, repetition=5000), "DWI") is None
