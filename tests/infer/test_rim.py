"""A synthesized volume is as bright at the rim of the brain as the network made it, whatever the pixels."""

import numpy as np
import pytest

from model_phantoms import affine_for, brain, make_model
from pmmsynth.infer import Synthesizer
from pmmsynth.volume import Volume


class Flat:
    """A network that makes 1 everywhere."""

    def __call__(self, images, sources, dataset, targets):
        return images * 0 + 1


@pytest.mark.parametrize("pixel", [0.5, 0.9375, 1.0, 1.3])
def test_a_constant_reaches_the_rim_and_no_value_exceeds_the_scale(tmp_path, pixel) -> None:
    shape = (round(40 / pixel), round(46 / pixel), 10)
    affine = affine_for("LPS", (pixel, pixel, 4.0), shape)
    data = np.asarray(brain("T1", shape, affine), np.float32)
    loaded = Synthesizer.load(make_model(tmp_path / "model"), "cpu", precision="float32")
    model = Synthesizer(Flat(), loaded.card.model_copy(update={"shrinkage": None}), loaded.device)  # type: ignore[arg-type]
    made = model.synthesize_volumes({"T1": Volume(data, affine)}, "A", ("FLAIR",))["FLAIR"]
    inside = data > 0
    assert inside.sum() > 1000
    np.testing.assert_allclose(made.volume.data[inside], made.intensity.scale, rtol=1e-6)
    assert made.volume.data.max() <= made.intensity.scale
    assert not made.volume.data[~inside].any()
