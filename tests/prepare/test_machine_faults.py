"""Too little memory is said as such, never as something wrong with the image."""

import numpy as np
import pytest
import SimpleITK as sitk
from prepare_phantoms import SMALL, SMALL_AFFINE, cohort, phantom, save_case

from pmmsynth.console import Reporter
from pmmsynth.errors import is_of_memory
from pmmsynth.prepare import extract, prepare
from pmmsynth.prepare.bias import without_bias
from pmmsynth.prepare.extract import extract_brain
from pmmsynth.prepare.register import register
from pmmsynth.store import Store

WORDS = {
    "ITK": "Exception thrown in SimpleITK Execute: itkImage.hxx:42:\nFailed to allocate memory for image.",
    "C++": "std::bad_alloc",
    "PyTorch": "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
}
HEAD = phantom(SMALL, SMALL_AFFINE)
BRAIN = HEAD.data > 0


@pytest.fixture(params=WORDS.values(), ids=WORDS)
def fail(request):
    def failing(*_args, **_options):
        raise RuntimeError(request.param)

    return failing


def refused(work):
    with pytest.raises(RuntimeError) as caught:
        work()
    assert is_of_memory(caught.value)


def test_n4_without_memory(monkeypatch, fail):
    monkeypatch.setattr(sitk.N4BiasFieldCorrectionImageFilter, "Execute", fail)
    refused(lambda: without_bias(HEAD, BRAIN))


def test_registration_without_memory(monkeypatch, fail):
    """It was taken for a pose in which the two images do not meet."""
    monkeypatch.setattr(sitk.ImageRegistrationMethod, "Execute", fail)
    refused(lambda: register(HEAD, HEAD, BRAIN))


def test_deepbet_without_memory(monkeypatch, fail):
    monkeypatch.setattr(extract, "_network", lambda: type("Network", (), {"run": fail}))
    refused(lambda: extract_brain(HEAD))


@pytest.mark.parametrize("script", ["kill -9 $$", "echo CUDA out of memory >&2; exit 1"])
def test_a_command_without_memory(monkeypatch, script):
    monkeypatch.setattr(extract, "COMMANDS", {"hd-bet": (("sh", "-c", script), "out_bet.nii.gz")})
    with pytest.raises(MemoryError, match="sh ended with code"):
        extract_brain(HEAD, "hd-bet")


def test_a_case_of_the_store_is_kept_when_memory_is_short(tmp_path, monkeypatch):
    save_case(tmp_path / "glioma" / "case0")
    path = cohort(tmp_path, 'name = "glioma"\nroot = "glioma"\nlayout = "brats"')

    def run(**options):
        return prepare(path, tmp_path / "store", matrix=48, inplane_mm=3, reporter=Reporter(quiet=True), **options)

    (before,) = (case.images().copy() for case in run().results)

    def failing(_array, *_options):
        raise MemoryError("Unable to allocate 9 GiB")

    monkeypatch.setattr("pmmsynth.volume.apply_read_scaling", failing)
    (failure,) = run(overwrite=True).failures
    assert "found too little memory (Unable to allocate 9 GiB)" in failure.reason
    (kept,) = Store(tmp_path / "store").cases()
    np.testing.assert_array_equal(kept.images(), before)
