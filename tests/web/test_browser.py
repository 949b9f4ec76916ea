"""A reading study played through in a real browser on a real server, from the first sign-in to the score."""

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from browser_desk import SAVED, Desk, Server, a_server
from playwright.sync_api import Browser, expect

from pmmsynth.console import Reporter
from pmmsynth.reading.score import score
from pmmsynth.study.close import close
from pmmsynth.study.files import IMAGES, read_key
from pmmsynth.study.ledger import NO_FINDINGS, NO_IMPRESSION, Draft, Ledger
from study_phantoms import CASES, SEQUENCES, SETS, make_study

pytestmark = pytest.mark.slow

HARMFUL = '<img src=x onerror="document.title=1"><script>document.title = 1</script> "quoted", comma; end.'


def test_a_study_from_the_first_sign_in_to_the_score(browser: Browser, tmp_path: Path) -> None:
    folder, key = tmp_path / "study", tmp_path / "key"
    record = make_study(folder, key, washout_days=0, cases=CASES[:2])
    with a_server(folder) as server:
        with Desk(browser, server, tmp_path) as desk:
            sign_in_after_a_wrong_token(desk)
            find_every_voxel_in_its_place(desk, folder / IMAGES / record.readers[0].items[0].images)
            look_at_images(desk)
            tell_nothing_of_what_is_shown(desk)
            measure(desk)
            keep_a_draft_over_a_reload(desk)
            pause(desk)
            keep_a_draft_over_a_killed_server(desk, server)
            submit_by_keys_alone(desk)
            refuse_a_second_submission(desk, record.readers[0].items[0].id)
            find_the_next_form_empty(desk)
            report_the_rest(desk, [item.id for item in record.readers[0].items[1:]])
        with Desk(browser, server, tmp_path) as desk:
            see_how_far_the_readers_are(desk)
        with Desk(browser, server, tmp_path) as desk:
            desk.sign_in("R2")
            try_again_after_a_failed_load(desk)
            report_the_rest(desk, [item.id for item in record.readers[1].items])
            desk.sign_out()
    with Ledger(folder) as ledger:
        assert [line.action for line in ledger.audit() if line.action in ("pause", "resume")] == ["pause", "resume"]
        assert {line.detail for line in ledger.audit() if line.action == "measure"} >= {"T1 10.0 mm"}
    reports = close(folder, key, tmp_path / "reports.csv", unfinished=False, reporter=Reporter(quiet=True))
    shown = read_key(key).images
    texts = {item.id: f"Findings of {item.id}." for reader in record.readers for item in reader.items}
    texts[record.readers[0].items[0].id] = HARMFUL
    expected = {
        (reader.code, shown[item.images].case, shown[item.images].set): texts[item.id]
        for reader in record.readers
        for item in reader.items
    }
    with reports.open(encoding="utf-8", newline="") as file:
        assert {(r["reader"], r["case"], r["set"]): r["findings"] for r in csv.DictReader(file)} == expected
    page = score([reports], tmp_path / "score", reporter=Reporter(quiet=True)).read_text(encoding="utf-8")
    assert "<script>document" not in page


def sign_in_after_a_wrong_token(desk: Desk) -> None:
    desk.page.goto(desk.server.address)
    desk.shoot("sign_in")
    with desk.expecting("401"):
        desk.page.fill("#token", "wrong")
        desk.press("Enter")
        expect(desk["#error"]).to_contain_text("not known")
    desk.sign_in("R1")
    desk.wait_for_images()
    expect(desk["#progress"]).to_have_text("Sitting 1 of 4, patient 1 of 2")
    desk.shoot("reading")


def find_every_voxel_in_its_place(desk: Desk, images: Path) -> None:
    """The patient's right on the left, the front above, and each sequence under its own name."""
    desk.press("x")  # no crosshair before them
    for number, sequence in enumerate(SEQUENCES, 1):
        expect(desk["figure b"].nth(number - 1)).to_contain_text(sequence)
        voxels = nib.load(images / f"{sequence}.nii").get_fdata()[:, :, 3]  # to the right, to the front
        seen = desk.square(number, len(voxels))
        assert np.corrcoef(seen.ravel(), voxels[::-1, ::-1].T.ravel())[0, 1] > 0.9
    desk.press("x")


def look_at_images(desk: Desk) -> None:
    views = [desk.view(number) for number in range(1, 7)]
    for number, view in enumerate(views):
        assert view.std() > 0.1, "blank"
        assert all(np.abs(view - other).mean() > 0.02 for other in views[:number]), "the same twice"
    expect(desk["figure .slice"].first).to_have_text("Slice 4 of 6")
    desk.press("ArrowUp")
    expect(desk["figure .slice"].last).to_have_text("Slice 5 of 6")
    assert all(np.abs(desk.view(n) - view).mean() > 0.02 for n, view in enumerate(views, 1)), "not linked"
    desk["figure"].nth(3).hover()
    desk.page.mouse.wheel(0, 100)
    expect(desk["figure .slice"].first).to_have_text("Slice 4 of 6")
    assert all(np.abs(desk.view(n) - view).mean() < 0.001 for n, view in enumerate(views, 1)), "not the same again"

    box = desk["figure"].nth(1).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    desk.page.mouse.move(x, y)
    desk.page.mouse.down(button="right")
    desk.page.mouse.move(x, y - 60, steps=3)
    desk.page.mouse.up(button="right")
    brighter = desk.view(2)
    assert brighter.mean() > views[1].mean() + 0.05
    assert np.abs(desk.view(3) - views[2]).mean() < 0.001, "window / level is of one view"
    desk.press(*["Shift+ArrowDown"] * 8)
    assert desk.view(2).mean() < brighter.mean() - 0.05
    desk.press("r")
    assert np.abs(desk.view(2) - views[1]).mean() < 0.001, "reset"

    desk.press("+", "+", "Control+ArrowRight")
    assert all(np.abs(desk.view(n) - view).mean() > 0.02 for n, view in enumerate(views, 1)), "zoom and pan are linked"
    desk.page.select_option("#plane", label="coronal")
    expect(desk["figure .slice"].first).to_have_text("Slice 13 of 24")
    desk["#plane"].focus()
    desk.press("Escape", "r")
    expect(desk["figure .slice"].first).to_have_text("Slice 4 of 6")
    assert all(np.abs(desk.view(n) - view).mean() < 0.001 for n, view in enumerate(views, 1)), "reset"
    desk.press("x")
    assert 0.0001 < np.abs(desk.view(5) - views[4]).mean() < 0.02, "without the crosshair"
    desk.press("x")


def tell_nothing_of_what_is_shown(desk: Desk) -> None:
    text = desk.page.content()
    assert not [word for word in (*CASES, *SETS, "images0", "synth") if word in text.replace("pmmsynth", "")]


def measure(desk: Desk) -> None:
    desk["#views"].focus()
    desk.press("1")
    expect(desk["figure:visible"]).to_have_count(1)
    columns = np.flatnonzero(desk.view(1).mean(axis=0) > 0.1)
    pixels = columns[-1] - columns[0] + 1  # of 24 voxels of 2 mm
    desk.press("m", "Enter", *["ArrowRight"] * 5, "Enter")
    expect(desk["#reading"]).to_have_text("T1 10.0 mm")
    box = desk["figure:visible"].bounding_box()
    x, y = box["x"] + box["width"] / 2 - pixels / 4, box["y"] + box["height"] / 2 - 40
    desk.page.mouse.move(x, y)
    desk.page.mouse.down()
    desk.page.mouse.move(x + pixels / 2, y, steps=4)
    desk.page.mouse.up()
    desk.settle()
    drawn = desk["figure:visible text"].last
    assert float(drawn.text_content().removesuffix(" mm")) == pytest.approx(24, abs=1)
    ends = [end.bounding_box()["x"] + end.bounding_box()["width"] / 2 for end in desk["figure:visible circle"].all()]
    assert ends[-2:] == pytest.approx([x, x + pixels / 2], abs=2), "drawn elsewhere than at the mouse"
    desk.shoot("measured")
    desk.press("Delete", "Escape", "Escape")
    expect(desk["figure text"]).to_have_count(0)
    expect(desk["figure:visible"]).to_have_count(6)


def keep_a_draft_over_a_reload(desk: Desk) -> None:
    desk.press("f")
    desk.page.keyboard.type(HARMFUL)
    desk.page.check("input[value='4']")
    expect(desk["#saved"]).to_have_text(SAVED)
    desk.page.reload()
    desk.wait_for_images()
    expect(desk["#findings"]).to_have_value(HARMFUL)
    expect(desk["input[value='4']"]).to_be_checked()
    expect(desk["#offer"]).to_be_hidden()
    assert desk.page.title() == "Phantoms"


def pause(desk: Desk) -> None:
    desk["#views"].focus()
    desk.press("p")
    expect(desk["#paused"]).to_be_visible()
    desk.settle()
    desk.shoot("paused")
    corner = desk["#views"].bounding_box()
    covered = desk.page.screenshot(clip={"x": corner["x"], "y": corner["y"], "width": 200, "height": 200})
    desk.press("Escape", "Escape")
    expect(desk["#paused"]).to_be_visible()
    desk.press("Enter")
    expect(desk["#paused"]).to_be_hidden()
    assert covered != desk.page.screenshot(clip={"x": corner["x"], "y": corner["y"], "width": 200, "height": 200})


def keep_a_draft_over_a_killed_server(desk: Desk, server: Server) -> None:
    with desk.expecting("ERR_CONNECTION_REFUSED", "401"):
        server.kill()
        desk["#impression"].click()
        desk.page.keyboard.type("typed while the server is down")
        expect(desk["#saved"]).to_contain_text("not saved, trying again")
        asked = []
        desk.page.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
        desk.page.close(run_before_unload=True)
        server.start()
        expect(desk["#message h2"]).to_have_text("You are signed out")
        assert asked == ["beforeunload"]
    desk.sign_in("R1")
    desk.wait_for_images()
    expect(desk["#findings"]).to_have_value(HARMFUL)
    expect(desk["#impression"]).to_have_value("")
    expect(desk["#offer"]).to_contain_text("was not saved")
    desk["#offer button[value=use]"].click()
    expect(desk["#impression"]).to_have_value("typed while the server is down")
    expect(desk["#saved"]).to_have_text(SAVED)
    with Ledger(server.study) as ledger:
        item = next(line.item for line in reversed(ledger.audit()) if line.action == "save")
        assert ledger.draft(item) == Draft(HARMFUL, "", "", "typed while the server is down", 4)


def submit_by_keys_alone(desk: Desk) -> None:
    desk["#views"].focus()
    desk.press("f", "Tab", "g", "Tab", "h", "Tab", "Tab", "Tab", "Enter")
    expect(desk["#confirm"]).to_be_visible()
    expect(desk["#confirm li"]).to_have_count(0)
    desk.shoot("confirm")
    desk.press("Tab", "Enter")
    expect(desk["#progress"]).to_have_text("Sitting 1 of 4, patient 2 of 2")
    with Ledger(desk.server.study) as ledger:
        (report,) = ledger.reports()
        assert report.draft == Draft(HARMFUL, "glioma", "high", "typed while the server is down", 4)


def refuse_a_second_submission(desk: Desk, item: str) -> None:
    answer = desk.context.request.post(
        f"{desk.server.address}/api/items/{item}/submit",
        headers={"X-Requested-With": "pmmsynth"},
        data={"findings": "again", "type": "glioma", "grade": "", "impression": "", "confidence": 0},
    )
    assert answer.status == 409


def find_the_next_form_empty(desk: Desk) -> None:
    desk.wait_for_images()
    for field in ("#findings", "#type", "#grade", "#impression"):
        expect(desk[field]).to_have_value("")
    expect(desk["input:checked"]).to_have_count(0)
    desk["#report > button"].click()
    expect(desk["#saved"]).to_have_text(NO_FINDINGS)
    expect(desk["#findings"]).to_be_focused()
    desk.write("Findings.", " ")
    desk["#report > button"].click()
    expect(desk["#saved"]).to_have_text(NO_IMPRESSION)
    expect(desk["#type"]).to_be_focused()


def report_the_rest(desk: Desk, items: list[str]) -> None:
    for item in items:
        desk.wait_for_images()
        desk.write(f"Findings of {item}.")
        desk.submit()
    expect(desk["#message h2"]).to_have_text("All done")
    expect(desk["#progress"]).to_have_text("8 of 8 reports submitted")


def try_again_after_a_failed_load(desk: Desk) -> None:
    with desk.expecting("ERR_FAILED"):
        desk.page.route("**/FLAIR.nii", lambda route: route.abort())
        desk.page.reload()
        expect(desk["#message h2"]).to_have_text("The images could not be loaded")
    desk.page.unroute("**/FLAIR.nii")
    desk["#message button"].click()
    desk.wait_for_images()
    assert desk.view(4).std() > 0.1


def see_how_far_the_readers_are(desk: Desk) -> None:
    desk.page.clock.install()
    desk.sign_in("organiser")
    desk.shoot("organiser")
    rows = [[cell.inner_text().strip() for cell in row.locator("th, td").all()] for row in desk["tbody tr"].all()]
    assert [(row[0], row[1], row[2], row[4]) for row in rows] == [
        ("R1", "4 of 4", "8 of 8", "finished"),
        ("R2", "1 of 4", "0 of 8", "may read"),
    ]
    tell_nothing_of_what_is_shown(desk)
    assert "Findings" not in desk.page.content()
    desk.page.evaluate("document.title = 'as it was'")
    desk.page.clock.fast_forward(30_000)
    expect(desk.page).to_have_title("Progress: Phantoms")


def test_a_reader_waits_for_the_next_sitting_and_for_nothing_when_the_study_is_closed(
    browser: Browser, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    record = make_study(folder, tmp_path / "key", washout_days=14, cases=CASES[:2])
    with Ledger(folder) as ledger, a_server(folder) as server:
        for item in record.readers[0].sittings[0]:
            ledger.submit("R1", item.id, Draft("Findings.", "glioma"))
        with Desk(browser, server, tmp_path) as desk:
            desk.sign_in("R1")
            expect(desk["#message h2"]).to_have_text("This sitting is done")
            expect(desk["#message p"]).to_contain_text("The next sitting opens on")
            expect(desk["#progress"]).to_have_text("2 of 8 reports submitted")
            expect(desk["figure"]).to_have_count(0)
            desk.shoot("washout")
            ledger.close_study()
            desk["#message button"].click()
            expect(desk["#message h2"]).to_have_text("The study is closed")
