"""What a reader typed is nowhere lost: not as another signs in, not by a page left open, not with an answer."""

from pathlib import Path

import pytest
from browser_desk import SAVED, Desk, a_server
from playwright.sync_api import Browser, Route, expect

from pmmsynth.study.ledger import Draft, Ledger
from study_phantoms import CASES, make_study, tokens

pytestmark = pytest.mark.slow


def test_a_text_that_another_reader_cannot_save_is_kept_for_its_own(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    record = make_study(folder, tmp_path / "key", cases=CASES[:2])
    with a_server(folder) as server, Desk(browser, server, tmp_path) as desk:
        desk.sign_in("R1")
        desk.wait_for_images()
        other_tab = desk.context.request
        other_tab.post(f"{server.address}/signin", form={"token": tokens()["R2"]}, headers={"Origin": server.address})
        with desk.expecting("404"):
            desk.page.fill("#findings", "typed as R1")
            expect(desk["#findings"]).to_have_value("")
            desk.wait_for_images()
        expect(desk["#offer"]).to_be_hidden()
        desk.sign_out()
        desk.sign_in("R1")
        desk.wait_for_images()
        desk["#offer button[value=use]"].click()
        expect(desk["#findings"]).to_have_value("typed as R1")
        expect(desk["#saved"]).to_have_text(SAVED)
    with Ledger(folder) as ledger:
        own, other = (ledger.draft(reader.items[0].id) for reader in record.readers)
        assert (own, other) == (Draft("typed as R1"), None)


def test_a_stale_page_is_offered_both_texts(browser: Browser, tmp_path: Path) -> None:
    """Home and hospital: the page left open there cannot save over what was written here since."""
    folder = tmp_path / "study"
    item = make_study(folder, tmp_path / "key", cases=CASES[:2]).readers[0].items[0].id
    long = Draft("An hour of work,\nin two lines.", "glioma", "high", "GBM", 4)
    with a_server(folder) as server, Desk(browser, server, tmp_path) as home, Desk(browser, server, tmp_path) as stale:
        for desk in (home, stale):
            desk.sign_in("R1")
            desk.wait_for_images()
        home.write(long.findings, long.impression)
        home.page.select_option("#type", long.type)
        home.page.select_option("#grade", long.grade)
        home.page.check("input[value='4']")
        expect(home["#saved"]).to_have_text(SAVED)
        with stale.expecting("412"):
            stale.page.fill("#findings", "x")
            expect(stale["#newer"]).to_be_visible()
            assert draft_of(folder, item) == long
            expect(stale["#newer pre"]).to_have_text(
                "Findings: An hour of work,\nin two lines.\nType: glioma\nGrade: high\nIn your words: GBM\n"
                "Confidence: 4"
            )
            stale["#impression"].click()
            stale.page.keyboard.type("typed on meanwhile")
            expect(stale["#findings"]).to_have_value("x")
            expect(stale["#saved"]).to_contain_text("not saved: choose which text to go on with")
            stale.shoot("stale")
            submit_before_choosing(stale)
            stale.page.on("dialog", lambda dialog: dialog.accept())
            stale.page.reload()
            stale.wait_for_images()
        expect(stale["#newer"]).to_be_hidden()
        expect(stale["#findings"]).to_have_value(long.findings)
        expect(stale["#offer pre"]).to_have_text("Findings: x\nIn your words: typed on meanwhile")
        stale["#offer button[value=drop]"].click()

        stale.page.fill("#findings", "a second look")
        expect(stale["#saved"]).to_have_text(SAVED)
        with home.expecting("412"):
            home["#report > button"].click()  # of a page that was not typed on since
            home["#confirm button[value=submit]"].click()
            expect(home["#newer pre"]).to_contain_text("Findings: a second look")
        expect(home["#findings"]).to_have_value(long.findings)
        assert draft_of(folder, item).findings == "a second look"
        home["#newer button[value=drop]"].click()
        expect(home["#saved"]).to_have_text(SAVED)
        assert draft_of(folder, item) == long
        with stale.expecting("412"):
            stale.page.fill("#findings", "a third")
            expect(stale["#newer pre"]).to_contain_text("Findings: An hour of work,")
        stale["#newer button[value=use]"].click()
        expect(stale["#findings"]).to_have_value(long.findings)
        stale.submit()
        with Ledger(folder) as ledger:
            assert [(report.item, report.draft) for report in ledger.reports()] == [(item, long)]
        stale.wait_for_images()
        expect(stale["#offer"]).to_be_hidden()


def submit_before_choosing(desk: Desk) -> None:
    desk["#report > button"].click()
    expect(desk["#saved"]).to_have_text("Choose first which text to go on with.")
    expect(desk["#newer button[value=use]"]).to_be_focused()
    expect(desk["#confirm"]).to_be_hidden()


def draft_of(folder: Path, item: str) -> Draft | None:
    with Ledger(folder) as ledger:
        return ledger.draft(item)


def test_a_text_whose_answer_was_lost_is_no_other_text(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    item = make_study(folder, tmp_path / "key", cases=CASES[:2]).readers[0].items[0].id
    with a_server(folder) as server, Desk(browser, server, tmp_path) as desk:
        desk.sign_in("R1")
        desk.wait_for_images()

        def lose_the_answer(route: Route) -> None:
            route.fetch()
            route.abort()

        with desk.expecting("ERR_FAILED", "412"):
            desk.page.route("**/report", lose_the_answer, times=1)
            desk.page.fill("#findings", "saved")
            expect(desk["#saved"]).to_contain_text("not saved, trying again")
            assert draft_of(folder, item) == Draft("saved")
            desk["#findings"].press_sequentially(" and typed on")
            expect(desk["#saved"]).to_have_text(SAVED)
        expect(desk["#newer"]).to_be_hidden()
        assert draft_of(folder, item) == Draft("saved and typed on")


def test_a_tab_that_saves_leaves_what_another_could_not(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    item = make_study(folder, tmp_path / "key", cases=CASES[:2]).readers[0].items[0].id
    with a_server(folder) as server, Desk(browser, server, tmp_path) as desk:
        desk.sign_in("R1")
        desk.wait_for_images()
        other = desk.context.new_page()
        other.goto(server.address)
        expect(other.locator("figure .slice").first).to_be_visible()
        other.fill("#findings", "of the other tab")
        expect(other.locator("#saved")).to_have_text(SAVED)
        with desk.expecting("412"):
            desk.page.fill("#findings", "of this tab")
            expect(desk["#newer"]).to_be_visible()
        other.fill("#findings", "of the other tab, longer")
        expect(other.locator("#saved")).to_have_text("not saved yet")
        expect(other.locator("#saved")).to_have_text(SAVED)
        other.close()
        desk.page.on("dialog", lambda dialog: dialog.accept())
        desk.page.reload()
        desk.wait_for_images()
        expect(desk["#findings"]).to_have_value("of the other tab, longer")
        expect(desk["#offer pre"]).to_have_text("Findings: of this tab")

        desk["#findings"].press_sequentially("!")
        expect(desk["#saved"]).to_have_text(SAVED)
        assert draft_of(folder, item) == Draft("of the other tab, longer!")
        desk.page.reload()
        desk.wait_for_images()
        expect(desk["#offer pre"]).to_have_text("Findings: of this tab")
        desk["#findings"].press_sequentially(" Typed before choosing.")
        desk["#offer button[value=use]"].click()
        expect(desk["#findings"]).to_have_value("of this tab")
        expect(desk["#offer pre"]).to_have_text("Findings: of the other tab, longer! Typed before choosing.")
        desk["#offer button[value=drop]"].click()
        expect(desk["#offer"]).to_be_hidden()
        expect(desk["#saved"]).to_have_text(SAVED)
        assert draft_of(folder, item) == Draft("of this tab")
        assert desk.page.evaluate("Object.keys(localStorage)") == []


def test_who_types_without_a_pause_is_saved_all_the_same(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    item = make_study(folder, tmp_path / "key", cases=CASES[:2]).readers[0].items[0].id
    with a_server(folder) as server, Desk(browser, server, tmp_path) as desk:
        desk.sign_in("R1")
        desk.wait_for_images()
        with desk.page.expect_response("**/report", timeout=10_000) as saved:
            desk.page.evaluate("""() => {
              const type = () => {
                const findings = document.querySelector("#findings");
                findings.value += "x";
                findings.dispatchEvent(new Event("input", { bubbles: true }));
              };
              type();
              window.typing = setInterval(type, 300);
            }""")
        desk.page.evaluate("clearInterval(typing)")
        typed = len(desk["#findings"].input_value())
        assert 1 < len(saved.value.request.post_data_json["findings"]) <= typed
        expect(desk["#saved"]).to_have_text(SAVED)
        assert draft_of(folder, item) == Draft("x" * typed)


def test_an_offered_text_is_scrolled_by_keys(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    make_study(folder, tmp_path / "key", cases=CASES[:2])
    with a_server(folder) as server, Desk(browser, server, tmp_path) as desk:
        desk.sign_in("R1")
        desk.wait_for_images()
        desk.page.on("dialog", lambda dialog: dialog.accept())

        def save_nothing(route: Route) -> None:
            if route.request.method == "PUT":
                route.abort()
            else:
                route.continue_()

        desk.page.route("**/report", save_nothing)
        with desk.expecting("ERR_FAILED"):
            desk.page.fill("#findings", "A line.\n" * 40)
            expect(desk["#saved"]).to_contain_text("not saved, trying again")
            desk.page.reload()
            desk.wait_for_images()
        expect(desk["#offer pre"]).to_contain_text("A line.")
        desk["#offer pre"].focus()
        desk.press("PageDown")
        while desk["#offer pre"].evaluate("text => text.scrollTop") <= 50:  # else the test's time limit ends it
            desk.page.wait_for_timeout(50)
        expect(desk["figure .slice"].first).to_have_text("Slice 4 of 6")
        desk.press("Escape", "PageDown")
        expect(desk["figure .slice"].first).to_have_text("Slice 1 of 6")
