"""PSNR, SSIM and MAE: closed forms, hand-made cases, and scikit-image."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pmmsynth.metrics import MAX_PSNR, mae, measure, psnr, shell, ssim, ssim_map


def reference_ssim(truth, made, data_range=1.0):
    return structural_similarity(
        truth, made, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=data_range
    )


def images(kind):
    rng = np.random.default_rng(3)
    truth = rng.random((3, 64, 64))
    if kind == "structured":
        truth = gaussian_filter(truth, (0, 4, 4))
        truth = (truth - truth.min()) / np.ptp(truth)
        truth[:, :, :20] = 0
    made = np.clip(0.9 * truth + 0.05 * rng.standard_normal(truth.shape), 0, 1)
    return truth.astype(np.float32), made.astype(np.float32)


@pytest.mark.parametrize("error", [0.5, 0.1, 0.01])
def test_constant_error(error):
    truth = np.full((2, 32, 32), 0.4)
    assert psnr(truth, truth + error) == pytest.approx(-20 * np.log10(error), abs=1e-4)
    assert mae(truth, truth + error) == pytest.approx(error, rel=1e-5)


def test_identical_images():
    truth, _ = images("structured")
    assert psnr(truth, truth) == MAX_PSNR
    assert ssim(truth, truth) == pytest.approx(1, abs=1e-6)
    assert mae(truth, truth) == 0


def test_constant_images_have_the_luminance_term_alone():
    a, b = 0.2, 0.6
    expected = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
    assert ssim(np.full((1, 32, 32), a), np.full((1, 32, 32), b)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", ["random", "structured"])
def test_agrees_with_scikit_image(kind):
    truth, made = images(kind)
    assert psnr(truth, made) == pytest.approx(peak_signal_noise_ratio(truth, made, data_range=1), abs=1e-4)
    expected = np.mean([reference_ssim(t, m) for t, m in zip(truth, made, strict=True)])
    assert ssim(truth, made) == pytest.approx(expected, abs=1e-5)  # float32 moments


def test_slices_do_not_see_each_other():
    truth, made = images("structured")
    together = ssim_map(truth, made)
    assert np.array_equal(together[1], ssim_map(truth[1:2], made[1:2])[0])


def test_error_is_pooled_before_the_logarithm_only_in_paper_v1():
    truth = np.zeros((2, 32, 32), np.float32)
    truth[:, 8:24, 8:24] = 1  # both slices have a maximum of 1
    made = truth.copy()
    made[0] -= 0.1
    made[1] -= 0.01
    found = measure(truth, made, {})
    assert found["paper-v1"].psnr == pytest.approx(-10 * np.log10((0.01 + 0.0001) / 2), abs=1e-3)
    assert found["slice-max"].psnr == pytest.approx((20 + 40) / 2, abs=1e-3)
    assert found["paper-v1"].mae == pytest.approx(0.055, abs=1e-6)
    assert found["paper-v1"].n_slices == 2


def test_slice_max_uses_each_true_slices_range():
    truth, made = images("structured")
    truth, made = truth * np.array([0.5, 1, 0.8], np.float32)[:, None, None], made * 0.6
    peaks = truth.max(axis=(1, 2))
    found = measure(truth, made, {})["slice-max"]
    pairs = list(zip(truth, made, peaks, strict=True))
    assert found.psnr == pytest.approx(
        np.mean([peak_signal_noise_ratio(t, m, data_range=p) for t, m, p in pairs]), abs=1e-4
    )
    assert found.ssim == pytest.approx(np.mean([reference_ssim(t, m, p) for t, m, p in pairs]), abs=1e-5)


def test_slice_max_leaves_out_empty_true_slices():
    truth, made = images("structured")
    truth[1] = 0
    assert measure(truth, made, {})["slice-max"].n_slices == 2
    assert "slice-max" not in measure(np.zeros_like(truth), made, {})


def test_masked_protocols_count_only_their_voxels():
    truth, made = images("structured")
    mask = np.zeros(truth.shape, bool)
    mask[1, 30:40, 30:40] = True
    found = measure(truth, made, {"lesion": mask})["lesion"]
    assert found.psnr == pytest.approx(-10 * np.log10(np.mean((truth - made)[mask] ** 2)), abs=1e-4)
    assert found.mae == pytest.approx(np.abs(truth - made)[mask].mean(), abs=1e-6)
    _, full = structural_similarity(
        truth[1], made[1], gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0, full=True
    )
    assert found.ssim == pytest.approx(full[mask[1]].mean(), abs=1e-5)
    assert found.n_slices == 1


def test_shell_is_measured_in_millimetres():
    lesion = np.zeros((5, 31, 31), bool)
    lesion[2, 15, 15] = True
    brain = np.ones_like(lesion)
    brain[:, :, 18:] = False
    found = shell(lesion, brain, np.array([4.0, 2.0, 1.0]))
    z, y, x = np.mgrid[:5, :31, :31]
    expected = (4 * (z - 2)) ** 2 + (2 * (y - 15)) ** 2 + (x - 15) ** 2 <= 25
    assert np.array_equal(found, expected & brain & ~lesion)
    assert found[2, 17, 15]
    assert not found[2, 18, 15]  # 6 mm away
    assert found[3, 16, 15]  # sqrt(16 + 4) mm
    assert not found[3, 17, 15]  # sqrt(16 + 16) mm
    assert not shell(np.zeros_like(lesion), brain, np.ones(3)).any()
