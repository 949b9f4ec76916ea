"""Real cases: every reference comes back, sequences on other grids fall on it, heads with skull are refused."""

from pathlib import Path

import numpy as np
import pytest

from pmmsynth.errors import BadInput
from pmmsynth.prepare import Prepared, prepare_volumes, to_native, to_native_values
from pmmsynth.prepare.quality import remarks
from pmmsynth.volume import read_volume

DATA = Path(__file__).parents[3] / "shared" / "data"
SEQUENCES = {"t1": "T1", "t1c": "T1C", "t2": "T2", "flair": "FLAIR", "dwi": "DWI", "adc": "ADC"}

CASES = {
    "glioma/full/BraTS-MET-00110-000": ("T1", (192, 192, 155)),  # RAS
    "glioma/full/Brats18_CBICA_APR_1": ("T1", (192, 192, 155)),  # LPS
    "glioma/thick/Brats18_CBICA_ALU_1": ("T1", (192, 192, 39)),
    "immune/open_ms_mni/patient26": ("T1", (192, 192, 182)),  # LAS, negative overshoot
    "stroke/isles22/sub-strokecase0009": ("FLAIR", (192, 192, 29)),  # 0.45 mm, DWI on a 2 mm grid
    "stroke/kinghaw_test/case1": ("FLAIR", (192, 192, 24)),
}


def load(folder: str):
    path = DATA / folder
    if not path.is_dir():
        pytest.skip(f"no real data at {path}")
    return {name: read_volume(p) for key, name in SEQUENCES.items() if (p := path / f"{key}.nii.gz").is_file()}


@pytest.fixture(params=CASES, scope="module")
def case(request) -> tuple[str, Prepared]:
    return request.param, prepare_volumes(load(request.param))


def test_reference_and_grid(case):
    folder, got = case
    assert (got.reference, got.prepared.shape) == CASES[folder]
    assert got.quality[got.reference]["cropped"] == 0
    assert 900 < got.brain.sum() * np.prod(got.prepared.spacing) / 1000 < 2000


def test_the_reference_comes_back_inside_the_brain(case):
    _, got = case
    mapping = got.intensity[got.reference]
    stored = got.images[got.modalities.index(got.reference)].astype(np.float16).astype(np.float32)
    back = to_native_values(to_native(stored, got.prepared, got.native.grid), mapping)
    brain = to_native(got.brain, got.prepared, got.native.grid) > 0.999
    error = np.abs(back - np.clip(got.native.data, 0, mapping.scale))[brain] / mapping.scale
    if np.allclose(got.native.grid.spacing[:2], 1):
        assert error.max() <= 2**-12 + 1e-6  # half a step of float16 below 1
    else:
        assert error.mean() < 0.015  # 0.45 mm pixels went through 1 mm ones


def test_sequences_line_up(case):
    folder, got = case
    for name, score in got.quality.items():
        assert score["coverage"] > 0.9, name
        assert score["alignment"] > (0.2 if "full" in folder else 0.25), name
        if name != "ADC":
            assert score["clipped"] < 0.005, name
            image = got.images[got.modalities.index(name)]
            assert image[image > 0].mean() == pytest.approx(0.25, abs=2e-3)


def test_adc_is_physical(case):
    folder, got = case
    if "ADC" not in got.modalities:
        return
    assert got.intensity["ADC"].units == ("1e-3 mm2/s" if "isles22" in folder else "1e-6 mm2/s")
    adc = got.images[got.modalities.index("ADC")]
    assert 0.7e-3 < np.median(adc[adc > 0]) * 3e-3 < 1.1e-3  # mm2/s


@pytest.mark.parametrize(
    "folder",
    [
        "immune/open_ms_raw/patient12_study1",
        "immune/open_ms_raw/patient20_study2",
        "stroke/ads_jhu/subject01",
        "stroke/ads_jhu/subject02",
        "stroke/clinical_tutorial/case1",
    ],
)
def test_heads_with_skull_are_refused(folder):
    with pytest.raises(BadInput, match="looks like a head with skull"):
        prepare_volumes(load(folder))


def test_two_patients_of_one_space_are_remarked_by_their_edges():
    """Brains in one atlas overlap whoever they are: only the alignment score tells."""
    mixed = load("glioma/thick/Brats18_CBICA_ALU_1") | {"T2": load("glioma/thick/Brats18_CBICA_AQO_1")["T2"]}
    own = prepare_volumes(load("glioma/thick/Brats18_CBICA_ALU_1")).quality["T2"]["alignment"]
    assert prepare_volumes(mixed).quality["T2"]["alignment"] < own / 2


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("Brats18_2013_3_1", ["T1 is blurred from left to right", "FLAIR is blurred from front to back"]),
        ("Brats18_2013_11_1", ["T1 is blurred from left to right", "FLAIR is blurred from front to back"]),
        ("Brats18_2013_20_1", ["FLAIR covers 66% of the brain", "FLAIR is blurred from front to back"]),
        ("Brats18_2013_21_1", ["FLAIR is blurred from front to back"]),
        ("BraTS2021_01482", ["T1 is blurred from left to right"]),
        ("Brats18_TCIA03_265_1", ["T1 is blurred from left to right"]),
        ("Brats18_TCIA10_639_1", ["T1C is blurred from front to back"]),
        ("BraTS2021_00006", []),  # the nearest to those
        ("Brats18_CBICA_ALU_1", []),
    ],
)
def test_what_can_be_seen_in_the_images_is_said(case, said):
    """The pattern of the blur, in streaks, is plain to see in each of them."""
    found = remarks(prepare_volumes(load(f"glioma/thick/{case}")).quality)
    assert [remark.split(" (")[0] for remark in found] == said
