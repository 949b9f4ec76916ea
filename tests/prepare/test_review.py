"""What a person judges cases by: pictures, the page, and what stays on it when cases come, change and go."""

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from prepare_phantoms import SMALL, SMALL_AFFINE, affine_of, cohort, phantom, save, save_case

from pmmsynth.case import Scans
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput
from pmmsynth.prepare import align as aligning
from pmmsynth.prepare import prepare, prepare_volumes
from pmmsynth.prepare.page import write_quality_page
from pmmsynth.prepare.pictures import BRIGHTEST, Pictures, pictures
from pmmsynth.prepare.register import Registration
from pmmsynth.prepare.review import Review, read_review, review_path

OTHER = (60, 66, 20)
OTHER_AFFINE = affine_of("LPS", (2, 2, 4), OTHER)
SHIFT = np.eye(4)
SHIFT[0, 3] = -12  # to the patient's left
TABLE = 'name = "A"\nroot = "in"\nlayout = "brats"\nregistered = false\nsplit = {train = ["*"]}\n'
TRUSTED = Registration(SHIFT, 0.7, 12.0, 0.2)
DOUBTED = Registration(SHIFT, 0.7, 12.0, 9.0)


def pixels(picture: str | None) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(base64.b64decode(picture or ""))))


def run(folder, table=TABLE, **options):
    return prepare(
        cohort(folder, table), folder / "store", matrix=48, inplane_mm=3, reporter=Reporter(quiet=True), **options
    )


def page(folder) -> str:
    return (folder / "store/quality/A.html").read_text()


def state(folder):
    """Bytes and times of all files of a store."""
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def two(tmp_path, monkeypatch):
    """P1, whose registration is trusted, and P2, whose is not."""
    for name in ("P1", "P2"):
        save_case(tmp_path / "in" / name, modalities=("t1",))
        save(tmp_path / "in" / name / "flair.nii.gz", phantom(OTHER, OTHER_AFFINE, phase=1).data, OTHER_AFFINE)
    monkeypatch.setattr(aligning, "register", lambda moving, *_: DOUBTED if "P2" in str(moving.path) else TRUSTED)
    return tmp_path


def drawn(monkeypatch, found=TRUSTED) -> Pictures:
    monkeypatch.setattr(aligning, "register", lambda *_: found)
    volumes = {"T1": phantom(SMALL, SMALL_AFFINE), "FLAIR": phantom(OTHER, OTHER_AFFINE)}
    mask = phantom(SMALL, SMALL_AFFINE)
    mask.data[20:, :, :] = 0  # the patient's left half
    got = prepare_volumes(volumes, matrix=48, inplane_mm=3, scans=Scans(registered=False), lesion=mask)
    assert got.lesion.any()
    return pictures(got, volumes)


def test_slices_are_those_of_the_store_the_left_on_the_right():
    t1 = phantom(SMALL, SMALL_AFFINE)
    bright = t1.data.copy()
    bright[20:] *= 1.5  # axes L, P, S: the patient's left
    volumes = {"T1": t1, "T2": type(t1)(bright, t1.affine)}
    got = prepare_volumes(volumes, matrix=48, inplane_mm=3)
    made = pictures(got, volumes)
    assert (set(made.slices), made.before, made.head_outline) == ({"T1", "T2"}, {}, None)
    plain, shown = (pixels(made.slices[name]).astype(float) for name in ("T1", "T2"))
    third = slice(shown.shape[1] // 3, 2 * shown.shape[1] // 3)
    plain, middle = plain[:, third], shown[:, third]
    ratio = np.where(plain > 40, middle / np.maximum(plain, 1), np.nan)
    left, _, right = (np.nanmedian(part) for part in np.array_split(ratio, 3, axis=1))
    assert right / left == pytest.approx(1.5, rel=0.05)
    k = np.searchsorted(np.cumsum(got.brain.sum(axis=(1, 2))), got.brain.sum() / 2)
    truth = np.clip(got.images[1][k] / BRIGHTEST, 0, 1) * 255
    assert abs(middle[middle > 40].mean() - truth[truth > 40].mean()) < 3


def test_outlines_of_brain_and_lesion_have_their_colours(monkeypatch):
    made = drawn(monkeypatch)
    lines = np.asarray(Image.open(BytesIO(base64.b64decode(made.outline))).convert("RGBA"))
    colours = {tuple(c) for c in lines.reshape(-1, 4) if c[3]}
    assert colours == {(70, 200, 255, 255), (255, 120, 40, 255)}
    assert (lines[..., 3] == 0).mean() > 0.8


def test_before_is_where_the_header_says_and_after_where_it_was_moved(monkeypatch):
    made = drawn(monkeypatch)
    before, after = (pixels(side["FLAIR"]) > 60 for side in (made.before, made.after))
    assert before.shape == after.shape
    axial = slice(0, before.shape[1] // 2)
    places = [np.flatnonzero(one[:, axial].any(axis=0)).mean() for one in (before, after)]
    assert places[1] - places[0] == pytest.approx(12, abs=1)  # pixels of 1 mm; the patient's left is on the right
    still = drawn(monkeypatch, Registration(np.eye(4), 0.7, 0.0, 0.2))
    assert still.before == still.after != made.after
    line = np.asarray(Image.open(BytesIO(base64.b64decode(made.head_outline))).convert("RGBA"))[..., 3] > 0
    inside = np.flatnonzero(line[:, axial].any(axis=0))
    assert (inside[0] + inside[-1]) / 2 == pytest.approx(places[0], abs=2)  # T1's brain: the same as before the move


def test_an_excluded_case_is_on_the_page_with_its_picture_until_accepted(two):
    outcome = run(two)
    assert [f.name for f in outcome.failures] == ["A/P2"]
    assert sorted(p.name for p in (two / "store/A").iterdir()) == ["P1"]
    review = read_review(review_path(two / "store", "A", "P2"))
    assert review is not None
    assert review.verdict == "excluded"
    assert review.pictures is not None
    assert review.failure == outcome.failures[0].reason
    text = page(two)
    assert review.pictures.before["FLAIR"] in text
    assert "two starts end 9.0 mm apart" in text
    assert text.index("P2 <span") < text.index("P1 <span")
    assert "2 cases:" in text
    assert "1 excluded" in text
    assert run(two, TABLE + 'accept = ["P2"]').exit_code == 0
    assert (two / "store/A/P2/case.json").is_file()
    accepted = read_review(review_path(two / "store", "A", "P2"))
    assert accepted is not None
    assert (accepted.verdict, accepted.failure) == ("flagged", None)
    assert accepted.pictures == review.pictures
    assert "kept because accept names it" in page(two)
    assert "0 excluded" in page(two)
    run(two)  # and out again
    assert not (two / "store/A/P2").exists()
    assert read_review(review_path(two / "store", "A", "P2")) == review


def test_a_second_run_changes_nothing_and_prepares_nothing_again(two, monkeypatch):
    save_case(two / "in/P3", modalities=("t1",))
    (two / "in/P3/t1.nii.gz").write_bytes(b"no image")
    run(two)
    before = state(two / "store")
    monkeypatch.setattr("pmmsynth.prepare.pipeline.prepare_volumes", None)
    assert [f.name for f in run(two).failures] == ["A/P2", "A/P3"]
    assert state(two / "store") == before


def test_a_case_that_cannot_be_read_has_its_line_and_no_folder(two):
    (two / "in/P1/flair.nii.gz").write_bytes(b"no image")
    run(two)
    review = read_review(review_path(two / "store", "A", "P1"))
    assert review is not None
    assert (review.verdict, review.pictures, review.quality) == ("excluded", None, {})
    assert "flair.nii.gz: not readable" in str(review.failure)
    assert str(two) not in page(two)
    save(two / "in/P1/flair.nii.gz", phantom(OTHER, OTHER_AFFINE, phase=1).data, OTHER_AFFINE)
    run(two)
    assert "not readable" not in page(two)


def test_a_case_that_goes_bad_loses_its_old_picture(two):
    run(two)
    old = read_review(review_path(two / "store", "A", "P1"))
    assert old is not None
    assert old.pictures is not None
    (two / "in/P1/flair.nii.gz").write_bytes(b"no image")
    run(two)
    assert old.pictures.slices["T1"] not in page(two).split("P2 <span")[0].split("P1 <span")[-1]
    assert "not readable" in page(two)


def test_departed_cases_and_datasets_disappear(two):
    run(two, TABLE + "\n[[dataset]]\n" + TABLE.replace('"A"', '"B"').replace('["*"]', '["P*"]'))
    assert (two / "store/quality/B.html").is_file()
    run(two, TABLE + 'exclude = ["P2"]')
    assert {p.relative_to(two / "store/quality").as_posix() for p in (two / "store/quality").rglob("*.*")} == {
        "A.html",
        "cases/A/P1.json",
    }
    assert "P2 <span" not in page(two)
    assert "1 case:" in page(two)


def test_a_page_lost_or_cut_short_is_made_again(two):
    run(two)
    whole = page(two)
    (two / "store/quality/A.html").write_text(whole[:100])
    (two / "store/quality/cases/A/.writing-x.json").write_text("half")
    review_path(two / "store", "A", "P1").write_text("{}")
    run(two)
    assert page(two) == whole
    assert not (two / "store/quality/cases/A/.writing-x.json").exists()


@pytest.mark.parametrize("place", ["Review.write", "write_case", "_note_failures", "write_quality_page"])
def test_a_run_killed_anywhere_ends_as_an_unbroken_one(two, monkeypatch, place):
    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(f"pmmsynth.prepare.pipeline.{place}", killed)
        with pytest.raises(KeyboardInterrupt):
            run(two)
    run(two)
    resumed = {p.relative_to(two): p.read_bytes() for p in (two / "store/quality").rglob("*.*")}
    run(two, overwrite=True)
    assert {p.relative_to(two): p.read_bytes() for p in (two / "store/quality").rglob("*.*")} == resumed
    assert len(resumed) == 3


def test_names_and_reasons_are_text_not_markup(tmp_path):
    Review(dataset="A", case="x", reference="<b>x", failure='found <script>alert("1")</script>').write(tmp_path)
    text = write_quality_page(tmp_path, "A").read_text()
    assert "<script" not in text
    assert "<b>x" not in text
    assert "&lt;script&gt;alert(&#34;1&#34;)" in text
    assert "http" not in text


def test_pictures_that_are_not_pictures_are_not_taken(tmp_path):
    review = Review(dataset="A", case="x", pictures=Pictures(slices={"T1": "AA=="}, outline="AA=="))
    review.write(tmp_path)
    path = review_path(tmp_path, "A", "x")
    assert read_review(path) == review
    path.write_text(path.read_text().replace("AA==", '\\") onload'))
    assert read_review(path) is None


def test_no_dataset_is_called_as_the_folder(tmp_path):
    save_case(tmp_path / "in" / "P1", modalities=("t1",))
    with pytest.raises(BadInput, match="none of sheets, quality, converted"):
        run(tmp_path, TABLE.replace('"A"', '"quality"'))
