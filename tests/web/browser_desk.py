"""A server in a process of its own, and a reader's desk: a real browser that tells what went wrong in it."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, expect, sync_playwright

from study_phantoms import tokens

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    *("--no-sandbox", "--disable-background-networking"),
    *("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),  # WebGL without a graphics card
]
SAVED = re.compile(r"saved \d\d:\d\d:\d\d")
SETTLED = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  const fits = (canvas) => !canvas.clientWidth || canvas.width === canvas.clientWidth;
  do { await frame(); await frame(); await frame(); } while (![...document.querySelectorAll("canvas")].every(fits));
}"""
expect.set_options(timeout=30_000)


@contextmanager
def a_browser() -> Iterator[Browser]:
    """Skips where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"needs a browser: {', '.join(NAMES)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()


class Server:
    """`pmmsynth reading serve` as a process; the same address after a restart."""

    def __init__(self, study: Path) -> None:
        self.study = study
        self.port = 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "pmmsynth", "reading", "serve", str(self.study), "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found, line
        self.port = int(found[1])

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """As a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.communicate(timeout=30)


@contextmanager
def a_server(study: Path) -> Iterator[Server]:
    server = Server(study)
    try:
        yield server
    finally:
        server.stop()


class Desk:
    """A page of one person, closed at the end; then every error in it and every request to elsewhere counts."""

    def __init__(self, browser: Browser, server: Server, shots: Path) -> None:
        self.server, self.shots = server, shots
        self.context = browser.new_context(viewport={"width": 1200, "height": 760})
        self.page: Page = self.context.new_page()
        self.faults: list[str] = []
        self._expected: tuple[str, ...] = ()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", self._asked)
        self.page.on("response", self._answered)

    def __enter__(self) -> "Desk":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.context.close()
        if kind is None and self.faults:
            pytest.fail("\n".join(self.faults))

    def __getitem__(self, selector: str):
        return self.page.locator(selector)

    @contextmanager
    def expecting(self, *words: str) -> Iterator[None]:
        """Errors with these words are meant to be."""
        self._expected = words
        yield
        self._expected = ()

    def sign_in(self, who: str) -> None:
        self.page.goto(self.server.address)
        self.page.fill("#token", tokens()[who])
        self.page.keyboard.press("Enter")
        expect(self["#signout"]).to_be_visible()

    def sign_out(self) -> None:
        self["#signout"].click()
        expect(self["#token"]).to_be_visible()
        assert self.context.request.get(f"{self.server.address}/api/progress").status == 401

    def wait_for_images(self) -> None:
        expect(self["figure .slice"].first).to_be_visible()
        self.settle()

    def settle(self) -> None:
        """Until what was asked for is drawn."""
        self.page.evaluate(SETTLED)

    def view(self, number: int) -> np.ndarray:
        """The pixels of a view, from 0 to 1, without its frame and captions."""
        return np.asarray(self._picture(number), float)[30:-30, 2:-2] / 255

    def square(self, number: int, size: int) -> np.ndarray:
        """The largest square in the middle of a view, in this many rows and columns."""
        picture = self._picture(number)
        width, height = picture.size
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
        return np.asarray(picture.resize((size, size), Image.Resampling.BOX, box), float)

    def _picture(self, number: int) -> Image.Image:
        self.settle()
        return Image.open(BytesIO(self["figure"].nth(number - 1).screenshot())).convert("L")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def write(self, findings: str, impression: str = "as above") -> None:
        self.page.fill("#findings", findings)
        self.page.fill("#impression", impression)

    def submit(self) -> None:
        """Submit, and wait for what comes next."""
        before = self["#progress"].text_content()
        self["#report > button"].click()
        self["#confirm button[value=submit]"].click()
        expect(self["#progress"]).not_to_have_text(before)

    def shoot(self, name: str) -> None:
        self.page.screenshot(path=self.shots / f"{name}.png")

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(words in message.text for words in self._expected):
            self.faults.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.server.address, "data:")):
            self.faults.append(f"asked {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 500:
            self.faults.append(f"{response.status} of {response.url}")
