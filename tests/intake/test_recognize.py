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
    "T1 sag+cor": "T1",
    "T1 SE tra + cor": "T1",
    "T1 sag+contrast": "T1C",
    "T1 tra+KM": "T1C",
    "AX T1 POST NO FS": "T1C",
    "AX T1 NON FAT SAT +C": "T1C",
    "T1 pre-op +C": "T1C",
    "T1 post-op": "T1",
    "T1 w/o FS post GAD": "T1C",
    "T1 w/o GAD": "T1",
    "T1_pre_Gd": "T1",
    "T1 non-contrast": "T1",
    "T1 without IV contrast": "T1",
    "T1 ohne und mit KM": "T1C",
    "T1 ohne": "T1",
    "T1 pre": "T1",
    "t2_tse_tra": "T2",
    "AX T2 FSE": "T2",
    "ep2d_diff_3scan_trace": "DWI",
    "DWI b1000": "DWI",
    "DTI_Biobank_2mm_MB3S2_EPI": "DWI",
    "ep2d_diff_ADC": "ADC",
    "Apparent Diffusion Coefficient (mm2/s)": "ADC",
    "ADC map of DWI": "ADC",
    "Ax T1 FLAIR": "T1",
    "Ax T1 FLAIR +C": "T1C",
    "t1_tirm_tra_dark-fluid": "T1",
    "Ax T2 FLAIR": "FLAIR",
    "SAG T1 AX T2 FLAIR": "FLAIR",
    "t2_fl2d_tra_hemo": None,
    "T2W_FFE": None,
    "AX T2 GRE": None,
    "t2_grase_tra": "T2",
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
OTHERS = """SWI_Images swi3d_tra | Mag_Images swi3d | Pha_Images swi3d | mIP_Images(SW) | SWIp | MinIP
TOF_3D_multi-slab | tof_fl3d_tra_p2_multi-slab | 3D_PC_venography | B1_map | 3D_ASL | pCASL_3D | MRA_COW | MRV_2D
T1_MRA | DSC_ep2d | ep2d_fid_PWI | T1_vibe_DCE | rCBV_map | ep2d_diff_mddw_20_p2_FA | ep2d_diff_mddw_20_p2_ColFA
ep2d_diff_mddw_20_p2_TENSOR | ep2d_diff_EADC | Exponential Apparent Diffusion Coefficient"""
"""Names of what is not ours, with `_` and digits where others have spaces."""


@pytest.mark.parametrize("name", NAMED)
def test_by_name(name):
    assert recognize(Tags(name))[0] == NAMED[name]


@pytest.mark.parametrize("name", OTHERS.replace("\n", " | ").split(" | "))
def test_other_kinds_are_not_taken_for_t1_by_their_times(name):
    modality, why = recognize(Tags(name, echo=3, repetition=20, b_values=(0.0, 1000.0)))
    assert modality is None
    assert why.endswith(" is not one of the sequences used")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("t1_mpr_ns_sag_p2_iso", "T1"), ("t1_gre_tra", "T1"), ("T1_vibe_FA8", "T1"), ("t1_fl3d FA 15", "T1")],
)
def test_names_that_look_like_those_of_other_kinds(name, expected):
    assert recognize(Tags(name, echo=3, repetition=20))[0] == expected


@pytest.mark.parametrize("kind", ["P", "PHASE", "FA", "MNIP", "TENSOR", "EADC", "SWI"])
def test_image_types_of_other_kinds(kind):
    tags = Tags("head", kind=("DERIVED", "PRIMARY", kind), echo=3, repetition=20, b_values=(1000.0,))
    assert recognize(tags) == (None, f"image type {kind} is not one of the sequences used")


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
        (Tags("AX", echo=4, repetition=25), ("T1", "TE 4, TR 25, TI 0 ms")),
        (Tags("AX", echo=20, repetition=27), (None, "neither name nor TE 20, TR 27, TI 0 ms tell")),
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
