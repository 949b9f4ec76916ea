"""Real cases through a tiny model at the paper's matrix: the native grid, its codes, nothing outside the brain."""

import json

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from model_phantoms import make_model
from pmmsynth.atomic import sha256
from pmmsynth.console import Reporter
from pmmsynth.infer import SavedModel, case_of_inputs, synthesize_cases
from pmmsynth.prepare.brain import brain_mask
from pmmsynth.volume import read_volume

LONG = {"glioma/full/BraTS-MET-00110-000", "glioma/full/Brats18_CBICA_APR_1", "stroke/isles22/sub-strokecase0009"}
CASES = {  # sequences given, whether voxels map one to one
    "glioma/full/BraTS-MET-00110-000": (("t1", "t2"), True),  # RAS, 1 mm
    "glioma/full/Brats18_CBICA_APR_1": (("t1", "t1c"), True),  # LPS, 1 mm
    "glioma/thick/Brats18_CBICA_ALU_1": (("t1", "t2"), True),
    "stroke/isles22/sub-strokecase0009": (("flair", "adc"), False),  # 0.45 mm, ADC on a grid of 2 mm
    "stroke/kinghaw_test/case1": (("flair",), False),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in LONG)) for n in CASES])
def test_a_real_case_comes_back_on_its_grid(shared, tmp_path, name):
    folder = shared / name
    if not folder.is_dir():
        pytest.skip(f"no real case at {folder}")
    given, one_to_one = CASES[name]
    sources = {m: folder / f"{m}.nii.gz" for m in given}
    digests = {m: sha256(p) for m, p in sources.items()}
    model = SavedModel.find(make_model(tmp_path / "model", matrix=192), "cpu")
    case = case_of_inputs([f"{m}={p}" for m, p in sources.items()], "x")
    target = "T1C" if "t1c" not in given else "FLAIR"
    reporter = Reporter(quiet=True)
    outcome = synthesize_cases(model, [case], tmp_path / "out", dataset="A", targets=target, reporter=reporter)
    assert outcome.exit_code == 0, outcome.failures
    path = outcome.results[0].new[0]
    got, native = nib.load(path), nib.load(sources[given[0]])
    assert got.shape == native.shape
    np.testing.assert_allclose(got.affine, native.affine, rtol=0, atol=1e-5)
    for form in ("get_qform", "get_sform"):
        there, code = getattr(native, form)(coded=True)
        back, code_back = getattr(got, form)(coded=True)
        assert code_back == code
        if there is not None:
            np.testing.assert_allclose(back, there, rtol=0, atol=1e-5)
    values = got.get_fdata(dtype=np.float32)
    scale = model.load().card.dataset("A").intensity[target].scale
    assert 0 <= values.min() <= values.max() <= scale * (1 + 1e-6)
    brain = brain_mask(read_volume(sources[given[0]]), name)
    assert (values[brain] > 0).mean() > 0.3  # random weights: some of it clips at 0
    assert values[brain].std() > 0.02 * scale
    around = brain if one_to_one else ndimage.binary_dilation(brain, np.ones((5, 5, 1)))  # 0.45 mm pixels through 1 mm
    assert not values[~around].any()
    assert {m: sha256(p) for m, p in sources.items()} == digests
    said = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
    assert {s["Name"]: s["SHA256"] for s in said["InputSequences"]} == {m.upper(): d for m, d in digests.items()}
    assert said["SyntheticImage"] is True
    assert said["Geometry"] == {"Reference": given[0].upper(), "Resampled": not one_to_one, "Moved": {}}
