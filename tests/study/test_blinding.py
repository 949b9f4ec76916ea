"""Nothing of a study's files but the picture in the brain tells whether it is real."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from pmmsynth.modality import KNOWN
from pmmsynth.study.files import IMAGES, Shown, read_key
from pmmsynth.study.images import TOP, read_levels

HEADER = 352
GUESSERS = [
    DecisionTreeClassifier(max_depth=3, class_weight="balanced", random_state=0),
    make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000)),
]


def facts(folder: Path, sequence: str, brain: np.ndarray) -> list[float]:
    """All of a file and its folder but where in the brain which level is."""
    path = folder / f"{sequence}.nii"
    file, place = path.stat(), folder.stat()
    order, inside = os.listdir(folder.parent), os.listdir(folder)  # noqa: PTH208 - the order matters
    by_number = sorted(other.stat().st_ino for other in folder.parent.iterdir())
    of_file, levels = path.read_bytes(), read_levels(path)
    within, outside = levels[brain], levels[~brain]
    present = np.isin(np.arange(TOP + 2), within)
    return [
        *(
            file.st_size,
            file.st_mtime,
            file.st_atime,
            file.st_mode,
            file.st_ino - place.st_ino,
            inside.index(path.name),
        ),
        *(place.st_size, place.st_mtime, place.st_mode, order.index(folder.name), by_number.index(place.st_ino)),
        *(sorted(order).index(folder.name), int(folder.name, 16) / 2**64, len(inside)),
        *of_file[:HEADER],
        *(outside.sum(), (outside > 0).mean(), within.min(), within.max(), within.mean(), present.sum()),
        *present,
    ]


class Table:
    """Facts of all files of a study, and what is synthesized."""

    def __init__(self, images: Path, key: dict[str, Shown], brains: dict[str, np.ndarray]) -> None:
        names = sorted(key)
        self.cases = np.array([key[name].case for name in names])
        self.facts, self.truth = {}, {}
        for sequence in KNOWN:
            self.facts[sequence] = np.array([facts(images / n, sequence, brains[key[n].case]) for n in names], float)
            self.truth[sequence] = np.array([sequence in key[name].synthesized for name in names])

    def accuracy(self) -> float:
        """Of the better guesser, which learned from the other cases; 0.5 is chance."""
        scores = []
        for guesser in GUESSERS:
            guesses = {
                s: cross_val_predict(guesser, self.facts[s], self.truth[s], groups=self.cases, cv=LeaveOneGroupOut())
                for s in KNOWN[1:]
            }
            scores.append(np.mean([balanced_accuracy_score(self.truth[s], guesses[s]) for s in guesses]))
        return max(scores)


@pytest.fixture(scope="module")
def brains(made):
    return {f"A/{case.record.case}": np.asarray(case.brain()) for case in made.store.cases()}


def test_no_fact_tells(made, brains):
    table = Table(made.out / IMAGES, read_key(made.key).images, brains)
    assert table.accuracy() < 0.75


def test_what_is_equal(made, brains):
    """Sizes, times, headers, the mask and the ends of the levels are the same everywhere; the mean nearly so."""
    key = read_key(made.key).images
    files = sorted((made.out / IMAGES).glob("*/*.nii"))
    assert len(files) == len(key) * 6 == 144
    assert len({path.read_bytes()[:HEADER] for path in files}) == 1
    assert len({(path.stat().st_size, path.stat().st_mtime, path.parent.stat().st_mtime) for path in files}) == 1
    for sequence in KNOWN:
        means = []
        for name, shown in key.items():
            levels, brain = read_levels(made.out / IMAGES / name / f"{sequence}.nii"), brains[shown.case]
            assert (levels[~brain] == 0).all()
            assert (levels[brain].min(), levels[brain].max()) == (1, TOP)
            means.append(levels[brain].mean())
        assert max(means) - min(means) < 0.05


def test_real_ones_are_the_same_in_all_sets(made):
    key = read_key(made.key).images
    for case in {shown.case for shown in key.values()}:
        folders = {shown.set: made.out / IMAGES / name for name, shown in key.items() if shown.case == case}
        for sequence, real_in in {"T1": 4, "T2": 3, "FLAIR": 2, "T1C": 1}.items():
            contents = [(folder / f"{sequence}.nii").read_bytes() for folder in folders.values()]
            assert contents.count((folders["real"] / f"{sequence}.nii").read_bytes()) == real_in


def change_levels(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    content = path.read_bytes()
    levels = np.frombuffer(content[HEADER:], np.uint16)
    path.write_bytes(content[:HEADER] + change(levels).astype(np.uint16).tobytes())


def change_header(path: Path, name: str, value: object) -> None:
    content = path.read_bytes()
    header = nib.Nifti1Header(content[:348])
    header[name] = value
    path.write_bytes(header.binaryblock + content[348:])


def change_time(path: Path) -> None:
    os.utime(path, (0, path.stat().st_mtime + 60))


LEAKS = {
    "size": lambda path: path.write_bytes(path.read_bytes() + b"\0\0"),
    "time": change_time,
    "mode": lambda path: path.chmod(0o600),
    "description": lambda path: change_header(path, "descrip", b"synthesized"),
    "orientation": lambda path: change_header(path, "sform_code", 1),
    "outside": lambda path: change_levels(path, lambda v: np.where(v, v, 1)),
    "lowest": lambda path: change_levels(path, lambda v: np.where(v == 1, 2, v)),
    "highest": lambda path: change_levels(path, lambda v: np.minimum(v, TOP - 1)),
    "mean": lambda path: change_levels(path, lambda v: np.where((v > 99) & (v < 200), v + 1, v)),
    "steps": lambda path: change_levels(path, lambda v: v // 2 * 2 + (v > 0) * (v < 2) + (v == TOP)),
}


@pytest.mark.slow
@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_is_found(made, brains, tmp_path, leak):
    """The test above would see any of these."""
    images, key = tmp_path / IMAGES, read_key(made.key).images
    shutil.copytree(made.out / IMAGES, images)
    for name, shown in key.items():
        for sequence in shown.synthesized:
            path = images / name / f"{sequence}.nii"
            before = path.stat()
            LEAKS[leak](path)
            if leak != "time":
                os.utime(path, (before.st_atime, before.st_mtime))
    assert Table(images, key, brains).accuracy() > 0.9


def test_a_leak_by_name_is_found(made, brains, tmp_path):
    """As when folders were named in order of sets."""
    images, key = tmp_path / IMAGES, read_key(made.key).images
    shutil.copytree(made.out / IMAGES, images)
    named = {}
    for number, (name, shown) in enumerate(key.items()):
        new = f"{len(shown.synthesized)}{number:015x}"
        (images / name).rename(images / new)
        named[new] = shown
    assert Table(images, named, brains).accuracy() > 0.9


def test_names_do_not_follow_from_the_seed(made, tmp_path, no_images):
    """Twice the same request: other folders, items and tokens, and no text of the study names case, set or seed."""
    one, other = (made.at(tmp_path / name) for name in ("one", "other"))
    studies = [study.again(seed=987_654_321) for study in (one, other)]
    named = [{(s.case, s.set): name for name, s in read_key(study.key).images.items()} for study in (one, other)]
    assert named[0].keys() == named[1].keys()
    assert not set(named[0].values()) & set(named[1].values())
    items = [{item.id for reader in study.readers for item in reader.items} for study in studies]
    assert not items[0] & items[1]
    assert studies[0].organiser != studies[1].organiser
    text = (one.out / "study.json").read_text()
    for told in ("A/P", "3-to-3", "2-to-4", "1-to-5", "987654321"):
        assert told not in text
