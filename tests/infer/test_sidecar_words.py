"""The sidecar says by what a volume was made: the network is not named where it had no part."""

import json

import nibabel as nib
import pytest

from model_phantoms import make_model, save_case
from pmmsynth.case import Case
from pmmsynth.console import Reporter
from pmmsynth.infer import SavedModel, synthesize_cases
from pmmsynth.infer.naming import sidecar_path
from pmmsynth.model import Shrinkage


@pytest.mark.parametrize(
    ("weight", "means"),
    [
        (0.0, "by linear regression"),
        (0.3, "by a neural network and linear regression"),
        (None, "by a neural network"),
    ],
)
def test_the_description_names_what_made_it(tmp_path, weight, means):
    line = {"A": (0.1, 0.3, 0.2), "B": (0.2, 0.1, 0.0)}
    kept = {} if weight is None else {"T1+T2->FLAIR": Shrinkage(weight=weight, regression=line)}
    model = SavedModel.find(make_model(tmp_path / "model", shrinkage=kept), "cpu", precision="float32")
    folder = save_case(tmp_path / "a")
    case = Case(dataset="A", id="a", subject="a", images={m: folder / f"{m.lower()}.nii.gz" for m in ("T1", "T2")})
    outcome = synthesize_cases(model, [case], tmp_path / "out", targets="flair", reporter=Reporter(quiet=True))
    (image,) = outcome.results[0].new
    said = json.loads(sidecar_path(image).read_bytes())
    assert said["Description"] == f"Synthetic FLAIR from T1 + T2 {means}; not acquired"
    assert said["Model"]["NetworkWeight"] == (1.0 if weight is None else weight)
    assert b"network" not in nib.load(image).header["descrip"].item()
