"""What the image alone tells: closed forms on phantoms, and real sequences under each other's names."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from pmmsynth.check.contrast import fluid_balance, strangers, suspicions, white_to_grey
from pmmsynth.prepare import prepare_volumes
from pmmsynth.volume import read_volume

DATA = Path(__file__).parents[3] / "shared" / "data"
GRID = np.indices((36, 80, 80)) * np.array([4.0, 2, 2]).reshape(3, 1, 1, 1)
RADIUS = np.sqrt(((GRID - np.array([70.0, 80, 80]).reshape(3, 1, 1, 1)) ** 2).sum(0))
BRAIN = RADIUS < 65
DEPTH = np.where(BRAIN, 65 - RADIUS, 0)
SPACING = (4.0, 2.0, 2.0)
NAMES = {"t1": "T1", "t2": "T2", "t1c": "T1C", "flair": "FLAIR"}


def head(fluid: float, white: float, grey: float) -> np.ndarray:
    """Ventricles of 12 mm, white matter, a shell of grey matter 10 mm thick."""
    image = np.where(RADIUS < 12, fluid, np.where(DEPTH > 10, white, grey)) * BRAIN
    texture = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal(BRAIN.shape), 1)
    return (image * (1 + 0.2 * texture)).astype(np.float32)


def test_fluid_balance_is_the_log_ratio_of_two_distances():
    image = np.full(BRAIN.shape, 0.5, np.float32)
    deep = DEPTH > 25
    image[deep & (RADIUS < 18)] = 0.9
    image[deep & (RADIUS > 37)] = 0.3
    assert fluid_balance(image, DEPTH) == pytest.approx(np.log(0.4 / 0.2), abs=1e-5)


def test_white_to_grey_is_a_ratio_of_medians():
    image = np.where(DEPTH > 10, 0.6, 0.4).astype(np.float32)
    assert white_to_grey(image, DEPTH) == pytest.approx(1.5)


T1, T2, FLAIR = head(0.05, 0.3, 0.2), head(0.9, 0.25, 0.3), head(0.05, 0.24, 0.3)


def test_ordinary_names_are_believed():
    assert suspicions({"T1": T1, "T2": T2, "FLAIR": FLAIR}, BRAIN, SPACING) == []


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ({"T1": T2}, ["T1 may be a T2 or ADC: fluid is bright"]),
        ({"T2": T1}, ["T2 may be another sequence: fluid is dark"]),
        ({"ADC": FLAIR}, ["ADC may be another sequence: fluid is dark"]),
        ({"T1": FLAIR, "FLAIR": T1}, ["T1 and FLAIR may be swapped: white matter is the brighter one in FLAIR"]),
    ],
)
def test_wrong_names_are_suspected(images, expected):
    assert suspicions(images, BRAIN, SPACING) == expected


def test_a_part_of_a_brain_is_not_judged():
    assert suspicions({"T1": T2}, BRAIN & (DEPTH < 20), SPACING) == []


def test_a_sequence_of_another_brain_shares_no_edges():
    turned = ndimage.gaussian_filter(np.random.default_rng(9).standard_normal(BRAIN.shape), 1.5)
    foreign = ((0.3 + 0.3 * turned) * BRAIN).clip(0).astype(np.float32)
    assert strangers({"T1": T1, "T2": T2, "FLAIR": FLAIR}, BRAIN) == []
    assert strangers({"T1": T1, "FLAIR": foreign}, BRAIN) == [], "two cannot tell which is the stranger"
    (said,) = strangers({"T1": T1, "T2": T2, "FLAIR": foreign}, BRAIN)
    assert said.startswith("FLAIR may be of another patient")


# --- real cases -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cases():
    """Images, brain and spacing of the thick glioma cases that have all four sequences."""
    folders = sorted((DATA / "glioma/thick").glob("*"))
    if not folders:
        pytest.skip(f"no real data at {DATA}")
    found = {}
    for folder in folders:
        volumes = {
            name: read_volume(path) for key, name in NAMES.items() if (path := folder / f"{key}.nii.gz").is_file()
        }
        if len(volumes) == 4:
            got = prepare_volumes(volumes, matrix=96, inplane_mm=2)
            found[folder.name] = (dict(zip(got.modalities, got.images, strict=True)), got.brain)
    return found


@pytest.mark.slow
def test_real_sequences_under_their_own_names_and_others(cases):
    """Nobody is suspected falsely; of wrong names most are noticed."""
    false = {name: said for name, (images, brain) in cases.items() if (said := suspicions(images, brain, SPACING))}
    assert false == {}
    noticed = dict.fromkeys([("T1", "T2"), ("T1", "FLAIR"), ("T2", "FLAIR"), ("T1C", "T2")], 0)
    for images, brain in cases.values():
        for one, other in noticed:
            swapped = images | {one: images[other], other: images[one]}
            noticed[one, other] += bool(suspicions(swapped, brain, SPACING))
    shares = {pair: count / len(cases) for pair, count in noticed.items()}
    assert shares["T1", "T2"] == 1
    assert shares["T1C", "T2"] > 0.9
    assert shares["T2", "FLAIR"] > 0.6
    assert shares["T1", "FLAIR"] > 0.6


@pytest.mark.slow
def test_real_sequences_of_another_patient(cases):
    names = list(cases)
    noticed = 0
    for number, name in enumerate(names):
        images, brain = cases[name]
        foreign, _ = cases[names[(number + 7) % len(names)]]
        said = suspicions(images | {"FLAIR": foreign["FLAIR"]}, brain, SPACING)
        noticed += any(text.startswith("FLAIR may be of another patient") for text in said)
    assert noticed / len(names) > 0.9
