"""What a reader does with the images: distances begun and never ended, and what the log says of it all."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from browser_desk import Desk, a_server
from playwright.sync_api import Browser, expect

from pmmsynth.study.ledger import Ledger
from study_phantoms import CASES, make_study

pytestmark = pytest.mark.slow


def test_a_distance_is_finished_where_it_was_begun_or_taken_back(browser: Browser, tmp_path: Path) -> None:
    with at_the_views(browser, tmp_path) as desk:
        for end in ("m", "Escape", "r", "Delete"):
            desk.press("m", "Enter", "ArrowRight", "ArrowRight")
            assert drawn(desk) == {"T1": ["4.0 mm"]}
            desk.press(end)
            assert drawn(desk) == {}, end
            desk.press("r")

        desk.press("m", "Enter", "PageDown", "ArrowRight", "Enter", "ArrowRight", "ArrowRight", "Enter")
        expect(desk["#reading"]).to_have_text("T1 4.0 mm")
        desk.press("r")
        assert drawn(desk) == {}, "of another slice"

        desk.press("m", "Enter", "ArrowRight", "2", "Enter", "ArrowRight", "Enter", "2")
        expect(desk["#reading"]).to_have_text("T2 2.0 mm")
        assert drawn(desk) == {"T2": ["2.0 mm"]}

        desk.press("1", "1", "Enter", "ArrowRight")
        assert drawn(desk) == {"T1": ["2.0 mm"], "T2": ["2.0 mm"]}
        x, y = middle(desk, 2)
        desk.page.mouse.move(x, y)
        desk.page.mouse.down(button="right")
        desk.page.mouse.move(x, y - 20)
        desk.page.mouse.up(button="right")
        assert drawn(desk) == {"T2": ["2.0 mm"]}, "another view was taken"

        desk.press("1", "1", "Enter", "ArrowRight", "Delete", "Enter", *["ArrowRight"] * 3, "Enter")
        expect(desk["#reading"]).to_have_text("T1 6.0 mm")
        assert drawn(desk) == {"T1": ["6.0 mm"]}

        x, y = middle(desk, 1)
        for end in ("m", "Escape"):
            desk.page.mouse.move(x, y)
            desk.page.mouse.down()
            desk.page.mouse.move(x + 20, y)
            desk.press(end)
            desk.page.mouse.move(x + 40, y)
            desk.page.mouse.up()
            assert drawn(desk) == {"T1": ["6.0 mm"]}, "the mouse goes on after the key"
            desk.press("m")
        assert noted(desk.server.study, "measure", 3) == ["T1 4.0 mm", "T2 2.0 mm", "T1 6.0 mm"]


def test_a_view_that_was_hidden_is_drawn_once_it_has_its_size_again(browser: Browser, tmp_path: Path) -> None:
    with at_the_views(browser, tmp_path) as desk:
        desk.press("m", "Enter", *["ArrowRight"] * 8, *["ArrowUp"] * 8, "Enter")
        at_first = ends(desk)
        for keys in ("2", "2"), ("1", "1"), ("2", "1", "1"):
            for key in keys:
                desk.press(key)
                shown = ends(desk)
                desk.press("x", "x")
                assert ends(desk) == shown, f"drawn once more after {key}, it is elsewhere"
            assert shown == at_first
        desk.page.set_viewport_size({"width": 1400, "height": 700})
        shown = ends(desk)
        assert shown != at_first
        desk.press("x", "x")
        assert ends(desk) == shown

        desk.press("2")
        desk.settle()
        desk.page.evaluate("""() => {
          const press = (key, ctrlKey) => document.querySelector("#views").dispatchEvent(
            new KeyboardEvent("keydown", { key, ctrlKey, bubbles: true }));
          press("1", false);
          press("ArrowRight", true);
        }""")
        ((x1, y1, x2, y2),) = ends(desk)
        desk.press("Control+ArrowRight")
        assert np.allclose(ends(desk), [x1 + 15, y1, x2 + 15, y2]), "moved before it had its size"


def test_the_log_says_what_is_done_with_the_viewer(browser: Browser, tmp_path: Path) -> None:
    with at_the_views(browser, tmp_path) as desk:
        desk.press("2", "+", "+", "Control+ArrowRight", "m", "ArrowRight", "ArrowUp", "Delete", "x")
        assert noted(desk.server.study, "crosshair", 1) == ["hidden"]
        desk.press("r")
        assert noted(desk.server.study, "reset", 1) == [""], "none as the images were shown"
        desk.page.select_option("#plane", label="coronal")
        assert noted(desk.server.study, "plane", 1) == ["coronal"]
        desk.press("Escape", "Escape")
        assert noted(desk.server.study, "enlarge", 2) == ["T2", "none"]
        assert noted(desk.server.study, "zoom", 1) == ["1.56"], "the last state alone"
        assert noted(desk.server.study, "point", 1) == ["45.8 54.2 58.3 %"]
        assert noted(desk.server.study, "unmeasure", 1) == [""]
        (pan,) = noted(desk.server.study, "pan", 1)
        assert re.fullmatch(r"-[1-9]\d* 0 0 mm|[1-9]\d* 0 0 mm", pan)


@contextmanager
def at_the_views(browser: Browser, tmp_path: Path) -> Iterator[Desk]:
    """A reader before the images of the first patient; keys go to the views."""
    folder = tmp_path / "study"
    make_study(folder, tmp_path / "key", cases=CASES[:2])
    with a_server(folder) as server, Desk(browser, server, tmp_path) as desk:
        desk.sign_in("R1")
        desk.wait_for_images()
        desk["#views"].focus()
        yield desk


def drawn(desk: Desk) -> dict[str, list[str]]:
    """The distances on the slice shown, by view."""
    desk.settle()
    figures = desk["figure"].all()
    texts = {figure.get_attribute("aria-label"): figure.locator("text").all_text_contents() for figure in figures}
    return {name: found for name, found in texts.items() if found}


def ends(desk: Desk) -> list[list[float]]:
    """Of the distances of the first view, in pixels; none where it is hidden."""
    desk.settle()
    lines = desk["figure"].first.locator("line:visible").all()
    return [[float(line.get_attribute(name)) for name in ("x1", "y1", "x2", "y2")] for line in lines]


def middle(desk: Desk, number: int) -> tuple[float, float]:
    box = desk["figure"].nth(number - 1).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def noted(folder: Path, action: str, count: int) -> list[str]:
    """What the log says of an action, as soon as it has so many lines of it."""
    until = time.monotonic() + 60
    with Ledger(folder) as ledger:
        while True:
            found = [line.detail for line in ledger.audit() if line.action == action]
            if len(found) >= count or time.monotonic() > until:
                return found
            time.sleep(0.2)
