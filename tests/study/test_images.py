"""Grey levels of known values, and files a viewer measures in."""

import nibabel as nib
import numpy as np
import pytest

from pmmsynth.errors import BadInput
from pmmsynth.evaluate.method import Method
from pmmsynth.modality import KNOWN
from pmmsynth.study.images import TOP, grey, mean_levels, read_levels, windowed, write_images
from pmmsynth.study.sets import SETS, ImageSet
from study_stores import MATRIX, SLICES

RAMP = np.arange(1001, dtype=np.float32)


def test_the_window_cuts_half_a_percent_at_both_ends():
    assert windowed(RAMP) == pytest.approx(np.clip((RAMP - 5) / 990, 0, 1), abs=1e-6)


def test_a_mean_that_is_right_bends_nothing():
    levels = grey(RAMP, 0.5)
    assert levels.astype(int) == pytest.approx(1 + np.rint(np.clip((RAMP - 5) / 990, 0, 1) * 254), abs=1)
    assert (levels[:6] == 1).all()
    assert (levels[-6:] == TOP).all()
    assert levels[500] == 128


@pytest.mark.parametrize("mean", [0.2, 0.35, 0.5, 0.8])
def test_the_mean_is_what_was_asked_and_order_stays(mean):
    """The power of a ramp whose mean is m is 1 / m - 1."""
    levels = grey(RAMP, mean)
    assert levels.mean() == pytest.approx(1 + 254 * mean, abs=0.05)
    assert (np.diff(levels.astype(int)) >= 0).all()
    assert levels[500] == pytest.approx(1 + 254 * 0.5 ** (1 / mean - 1), abs=1.5)


def test_scale_and_offset_of_a_volume_do_not_show():
    values = np.random.default_rng(0).gamma(2, size=5000).astype(np.float32)
    difference = grey(values, 0.4).astype(int) - grey(0.1 + values / 30, 0.4)
    assert np.abs(difference).max() <= 1  # float32


@pytest.mark.parametrize("values", [np.ones(100), np.repeat([0.0, 1.0], [999, 1]), np.repeat([0.0, 1.0], [50, 50])])
def test_no_picture(values):
    with pytest.raises(ValueError, match="nearly every value"):
        grey(values.astype(np.float32), 0.4)


def test_files(made):
    """Millimetres around the middle, left and posterior as in a prepared case, little but voxels."""
    path = next((made.out / "images").glob("*/T1.nii"))
    image = nib.load(path)
    assert path.stat().st_size == 352 + 2 * MATRIX * MATRIX * SLICES
    assert np.array_equal(image.affine, [[-2, 0, 0, 63], [0, -2, 0, 63], [0, 0, 5, -37.5], [0, 0, 0, 1]])
    assert np.array_equal(image.header.get_qform(), image.header.get_sform())
    assert (image.header["qform_code"], image.header["sform_code"]) == (2, 2)
    assert (image.get_data_dtype(), image.header.get_xyzt_units()[0]) == (np.dtype(np.uint16), "mm")
    assert bytes(image.header["descrip"].tobytes()).strip(b"\0") == b""


def test_each_volume_is_where_it_belongs(made, tmp_path):
    """Real sequences show the store's values; the others what the method made of the given ones alone."""
    case = made.source.cases[0]
    brain, asked = np.asarray(case.brain()), []

    def synthesize(images, sources, target, record):
        asked.append((sources, target, record.case, images.shape))
        return images.mean(0) + KNOWN.index(target)  # beyond 1 but for T1: cut to 1

    with pytest.raises(BadInput, match=r"T1C of A/P0: nearly every value is 1; .*train the model longer"):
        write_images(tmp_path / "x", case, SETS[1], KNOWN, dict.fromkeys(KNOWN, 0.4), Method(synthesize, ""))
    assert not list(tmp_path.iterdir())

    def negative(images, sources, target, record):
        return 1 - images.mean(0)

    shown = ImageSet("most", tuple(m for m in KNOWN if m != "ADC"))
    write_images(tmp_path / "x", case, shown, KNOWN, mean_levels([case], KNOWN), Method(negative, ""))
    images = case.slices(range(SLICES))
    for row, name in enumerate(KNOWN):
        levels = read_levels(tmp_path / "x" / f"{name}.nii")
        values = images[row] if name != "ADC" else 1 - images[:5].mean(0)
        order = np.argsort(values[brain], kind="stable")
        assert (np.diff(levels[brain][order].astype(int)) >= 0).all(), name
    filled = int(brain.any((1, 2)).sum())
    assert filled < SLICES
    assert asked[0] == (("T1", "T2", "FLAIR"), "T1C", "P0", (3, filled, MATRIX, MATRIX))


def test_mean_levels_are_those_of_the_real_volumes(made):
    cases = made.source.cases
    wanted = [windowed(c.images()[1][c.brain()].astype(np.float32)).mean() for c in cases]
    assert mean_levels(cases, ("T2",)) == {"T2": pytest.approx(np.mean(wanted))}
