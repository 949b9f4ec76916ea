"""The picture of a case has its images where it says."""

import dataclasses

import matplotlib.image
import numpy as np
from PIL import Image

from pmmsynth.modality import KNOWN
from pmmsynth.study.files import IMAGES, read_key
from pmmsynth.study.images import TOP, read_levels
from pmmsynth.study.montage import DPI, INCH, write_montage
from pmmsynth.study.sets import SETS
from study_stores import LESION_AT


def picture(made, number: int = 2) -> np.ndarray:
    """Red, green, blue from 0 to 255."""
    return np.rint(matplotlib.image.imread(made.key / "montages" / "A" / f"P{number}.png")[..., :3] * 255)


def panel(shown: np.ndarray, row: int, column: int) -> np.ndarray:
    """The middle of a panel, by the margins and gaps of the figure."""
    height, width = shown.shape[:2]
    left, right, top, bottom = 0.06, 0.99, 0.94, 0.01
    wide, tall = (right - left) / (6 + 5 * 0.06), (top - bottom) / (4 + 3 * 0.06)
    x, y = (left + wide * (column * 1.06 + 0.5)) * width, (1 - top + tall * (row * 1.06 + 0.5)) * height
    return shown[int(y) - 35 : int(y) + 35, int(x) - 30 : int(x) + 30]


def reference(made, folder: str, sequence: str) -> np.ndarray:
    """The slice with most lesion, cut to the brain."""
    brain = np.asarray(made.source.cases[2].brain())
    rows, columns = (slice(line.min(), line.max() + 1) for line in np.nonzero(brain.any(0)))
    return read_levels(made.out / IMAGES / folder / f"{sequence}.nii")[LESION_AT, rows, columns]


def test_every_panel_is_its_image(made):
    """Nearest in place to the image it should be, of all 24 of the case."""
    shown = picture(made)
    assert shown.shape[:2] == (INCH * 4 * DPI, INCH * 6 * DPI)
    folders = {s.set: name for name, s in read_key(made.key).images.items() if s.case == "A/P2"}
    images = {
        (row, column): reference(made, folders[SETS[row].name], KNOWN[column])
        for row in range(4)
        for column in range(6)
    }
    height = INCH * 4 * DPI * 0.93 / (4 + 3 * 0.06)
    for row, column in images:
        seen = panel(shown, row, column)
        assert (seen.max(-1) == seen.min(-1)).mean() > 0.99, "grey"
        distances = {}
        for place, image in images.items():
            size = round(height * image.shape[1] / image.shape[0]), round(height)
            scaled = np.asarray(
                Image.fromarray((image / TOP * 255).astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
            )
            y, x = scaled.shape[0] // 2, scaled.shape[1] // 2
            distances[place] = np.abs(scaled[y - 35 : y + 35, x - 30 : x + 30] - seen[..., 0].astype(float)).mean()
        least = min(distances.values())
        nearest = {place for place, distance in distances.items() if distance < least + 1e-6}
        assert (row, column) in nearest
        assert all((images[place] == images[row, column]).all() for place in nearest)


def test_what_is_synthesized_is_framed(made):
    shown = picture(made)
    height, width = shown.shape[:2]
    orange = (shown[..., 0] > 200) & (shown[..., 2] < 60) & (np.abs(shown[..., 1] - 140) < 40)
    for row, each in enumerate(SETS):
        for column, name in enumerate(KNOWN):
            wide, tall = 0.93 / (6 + 5 * 0.06) * 1.06, 0.93 / (4 + 3 * 0.06) * 1.06
            box = (
                slice(int((0.06 + tall * (row + 0.03)) * height), int((0.06 + tall * (row + 0.95)) * height)),
                slice(int((0.06 + wide * (column - 0.03)) * width), int((0.06 + wide * (column + 0.97)) * width)),
            )
            assert (orange[box].sum() > 200) == (name in each.synthesized), (each.name, name)


def test_without_lesion_it_is_the_slice_with_most_brain(made, tmp_path):
    case = made.source.cases[2]

    @dataclasses.dataclass(frozen=True)
    class Healthy(type(case)):
        def lesion(self):
            return np.zeros_like(self.brain())

    key = read_key(made.key)
    write_montage(tmp_path, made.out, key, Healthy(case.folder, case.record), "A/P2")
    write_montage(tmp_path / "ill", made.out, key, case, "A/P2")
    pictures = [(folder / "montages" / "A" / "P2.png").read_bytes() for folder in (tmp_path, tmp_path / "ill")]
    assert pictures[0] != pictures[1] == (made.key / "montages" / "A" / "P2.png").read_bytes()
